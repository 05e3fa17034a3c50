//! One limit, and how far each party has used it up.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{NotUntil, Quota, RateLimiter};

use crate::client_address::ClientNetwork;
use crate::extract::caller::CallerId;

/// How many parties past the most that are told apart share one state, at most.
const SHARED_STATES: u64 = 1024;

/// While there are too many parties, those that matter no more are looked for so often.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// Whose requests count together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    /// A client's network.
    Network(ClientNetwork),
    /// A back end that has authenticated itself.
    Caller(CallerId),
}

/// What a limit is: so many requests in so much time, all of them at once if need be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Policy {
    /// Its name in the headers, and in the settings.
    pub(crate) name: &'static str,
    /// How many.
    pub(crate) quota: NonZeroU32,
    /// In how much time.
    pub(crate) window: Duration,
}

/// What is left of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    pub(crate) policy: Policy,
    /// So many may come at once.
    pub(crate) remaining: u32,
    /// Until all may come again or, if nothing remains, until one may.
    pub(crate) reset: Duration,
}

/// Time since some moment; it only rises, whatever the machine's clock is set to.
#[derive(Clone)]
pub(super) struct RunningTime(pub(super) Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock for RunningTime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (self.0)()
    }
}

/// A limit and the states of all parties.
pub(super) struct Bucket {
    policy: Policy,
    limiter: RateLimiter<Request, States, RunningTime, StateInformationMiddleware>,
    time: RunningTime,
    tidied_at: Mutex<Duration>,
    states: States,
}

impl Bucket {
    pub(super) fn new(policy: Policy, max_parties: usize, time: RunningTime) -> Self {
        let states = States::new(max_parties);
        // No quota in use is so large that a share of its window is none.
        let share = (policy.window / policy.quota.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(share).unwrap_or(Quota::per_second(policy.quota));
        let quota = quota.allow_burst(policy.quota);
        Self {
            policy,
            limiter: RateLimiter::new(quota, states.clone(), time.clone()),
            tidied_at: Mutex::new(time.now()),
            time,
            states,
        }
    }

    /// Counts a request, unless there were too many.
    pub(super) fn take(&self, party: Party) -> Result<Standing, Standing> {
        self.ask(Request {
            party,
            counts: true,
        })
    }

    /// Whether [`Self::take`] would count a request.
    pub(super) fn look(&self, party: Party) -> Result<Standing, Standing> {
        let request = Request {
            party,
            counts: false,
        };
        self.ask(request)
    }

    /// Undoes one [`Self::take`] that counted.
    pub(super) fn give_back(&self, party: Party) {
        let share = self.policy.window / self.policy.quota.get();
        self.states.lower(party, share.into());
    }

    /// Forgets whoever could ask for the whole quota again.
    pub(super) fn forget_the_past(&self) {
        self.limiter.retain_recent();
    }

    #[cfg(test)]
    pub(super) fn parties(&self) -> usize {
        self.states.len()
    }

    fn ask(&self, request: Request) -> Result<Standing, Standing> {
        self.make_room();
        match self.limiter.check_key(&request) {
            Ok(snapshot) => Ok(self.standing(&snapshot)),
            Err(not_until) => Err(self.exceeded(&not_until)),
        }
    }

    fn make_room(&self) {
        if !self.states.are_full() {
            return;
        }
        let now = self.time.now();
        {
            let mut tidied_at = self
                .tidied_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(*tidied_at) < TIDY_INTERVAL {
                return;
            }
            *tidied_at = now;
        }
        self.forget_the_past();
    }

    fn standing(&self, snapshot: &StateSnapshot) -> Standing {
        let remaining = snapshot.remaining_burst_capacity();
        let used = self.policy.quota.get().saturating_sub(remaining);
        Standing {
            policy: self.policy,
            remaining,
            reset: self.policy.window / self.policy.quota.get() * used,
        }
    }

    fn exceeded(&self, not_until: &NotUntil<Duration>) -> Standing {
        Standing {
            policy: self.policy,
            remaining: 0,
            reset: not_until.wait_time_from(self.time.now()),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The key that the limiter looks states up by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Request {
    party: Party,
    /// Whether it changes the state, or only looks.
    counts: bool,
}

/// The states of all parties, so many at most. Who comes when there are as many shares a state with
/// its neighbourhood: whoever has many addresses takes nothing from the rest of the world, and no
/// memory from us.
#[derive(Clone)]
struct States {
    shared: Arc<Mutex<Kept>>,
    max_parties: usize,
    hasher: RandomState,
}

#[derive(Default)]
struct Kept {
    own: HashMap<Party, Nanos>,
    common: HashMap<u64, Nanos>,
}

/// Where a party's state is.
enum Slot {
    Own(Party),
    Common(u64),
}

impl Kept {
    fn get(&self, slot: &Slot) -> Option<Nanos> {
        match slot {
            Slot::Own(party) => self.own.get(party).copied(),
            Slot::Common(number) => self.common.get(number).copied(),
        }
    }

    fn set(&mut self, slot: &Slot, state: Nanos) {
        match slot {
            Slot::Own(party) => self.own.insert(*party, state),
            Slot::Common(number) => self.common.insert(*number, state),
        };
    }
}

impl States {
    fn new(max_parties: usize) -> Self {
        Self {
            shared: Arc::default(),
            max_parties,
            hasher: RandomState::new(),
        }
    }

    fn are_full(&self) -> bool {
        self.lock().own.len() >= self.max_parties
    }

    fn lower(&self, party: Party, by: Nanos) {
        let mut kept = self.lock();
        let slot = self.slot(&kept, party);
        if let Some(state) = kept.get(&slot) {
            kept.set(&slot, state.saturating_sub(by));
        }
    }

    fn slot(&self, kept: &Kept, party: Party) -> Slot {
        if kept.own.len() < self.max_parties || kept.own.contains_key(&party) {
            return Slot::Own(party);
        }
        let hash = match party {
            Party::Network(network) => self.hasher.hash_one(network.neighbourhood()),
            Party::Caller(caller) => self.hasher.hash_one(caller),
        };
        Slot::Common(hash % SHARED_STATES)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for States {
    type Key = Request;

    fn measure_and_replace<T, F, E>(&self, request: &Request, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut kept = self.lock();
        let slot = self.slot(&kept, request.party);
        let (answer, state) = decide(kept.get(&slot))?;
        if request.counts {
            kept.set(&slot, state);
        }
        Ok(answer)
    }
}

impl ShrinkableKeyedStateStore<Request> for States {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut kept = self.lock();
        kept.own.retain(|_, state| *state > drop_below);
        kept.own.shrink_to_fit();
        kept.common.retain(|_, state| *state > drop_below);
    }

    fn len(&self) -> usize {
        let kept = self.lock();
        kept.own.len() + kept.common.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Three requests in a minute.
    struct Rig {
        bucket: Bucket,
        milliseconds: Arc<AtomicU64>,
    }

    impl Rig {
        fn new(max_parties: usize) -> Self {
            let milliseconds = Arc::new(AtomicU64::new(5));
            let now = Arc::clone(&milliseconds);
            let time = RunningTime(Arc::new(move || {
                Duration::from_millis(now.load(Ordering::SeqCst))
            }));
            let policy = Policy {
                name: "requests",
                quota: NonZeroU32::new(3).unwrap(),
                window: Duration::from_mins(1),
            };
            Self {
                bucket: Bucket::new(policy, max_parties, time),
                milliseconds,
            }
        }

        fn wait(&self, time: Duration) {
            let milliseconds = u64::try_from(time.as_millis()).unwrap();
            self.milliseconds.fetch_add(milliseconds, Ordering::SeqCst);
        }

        /// How many of `count` requests pass.
        fn passing(&self, party: Party, count: usize) -> usize {
            (0..count)
                .filter(|_| self.bucket.take(party).is_ok())
                .count()
        }
    }

    fn party(address: &str) -> Party {
        Party::Network(ClientNetwork::of(address.parse().unwrap()))
    }

    #[test]
    fn the_quota_may_be_used_at_once_and_comes_back_in_equal_shares() {
        let rig = Rig::new(10);
        let one = party("192.0.2.1");
        let first = rig.bucket.take(one).unwrap();
        assert_eq!((first.remaining, first.reset), (2, Duration::from_secs(20)));
        assert_eq!(rig.passing(one, 5), 2);
        let exceeded = rig.bucket.take(one).unwrap_err();
        assert_eq!(
            (exceeded.remaining, exceeded.reset),
            (0, Duration::from_secs(20))
        );
        rig.wait(Duration::from_millis(19_999));
        assert_eq!(rig.passing(one, 1), 0);
        rig.wait(Duration::from_millis(1));
        assert_eq!(rig.passing(one, 5), 1);
        rig.wait(Duration::from_hours(10));
        assert_eq!(rig.passing(one, 5), 3);
        assert_eq!(rig.passing(party("192.0.2.2"), 5), 3, "somebody else");
    }

    #[test]
    fn looking_counts_nothing_and_what_is_given_back_can_be_taken_again() {
        let rig = Rig::new(10);
        let one = party("192.0.2.1");
        for _ in 0..10 {
            assert!(rig.bucket.look(one).is_ok());
        }
        assert_eq!(rig.passing(one, 5), 3);
        assert!(rig.bucket.look(one).is_err());
        rig.bucket.give_back(one);
        assert_eq!(rig.passing(one, 5), 1);
    }

    #[test]
    fn more_parties_than_can_be_told_apart_share_a_state_with_their_neighbourhood() {
        let rig = Rig::new(2);
        let known = party("198.51.100.1");
        assert_eq!(rig.passing(known, 1), 1);
        assert_eq!(rig.passing(party("198.51.100.2"), 1), 1);
        for third in 0..100 {
            for fourth in 0..100 {
                rig.passing(party(&format!("2001:db8:{third}:{fourth}::1")), 1);
            }
        }
        assert_eq!(
            rig.bucket.states.len(),
            3,
            "two, and one for all of the attacker's"
        );
        assert!(rig.bucket.take(party("2001:db8:ffff::1")).is_err());
        assert_eq!(
            rig.passing(known, 5),
            2,
            "who was there before is still alone"
        );
        // Neighbourhoods are spread over many states: hardly any of these meets the attacker's.
        let others = (0..32).filter(|number| {
            let address = IpAddr::from([100 + number, 7, 7, 7]);
            rig.bucket
                .take(Party::Network(ClientNetwork::of(address)))
                .is_ok()
        });
        assert!(others.count() > 24);
        assert!(rig.bucket.states.len() <= 2 + 33);
    }

    #[test]
    fn states_have_a_hard_limit() {
        let rig = Rig::new(2);
        for first in 1..=200 {
            for second in 0..20 {
                rig.passing(party(&format!("{first}.{second}.0.1")), 1);
            }
        }
        let most = 2 + usize::try_from(SHARED_STATES).unwrap();
        assert!(
            rig.bucket.states.len() <= most,
            "{}",
            rig.bucket.states.len()
        );
    }

    #[test]
    fn whoever_has_been_quiet_is_forgotten_and_makes_room() {
        let rig = Rig::new(2);
        rig.passing(party("192.0.2.1"), 3);
        rig.passing(party("192.0.2.2"), 1);
        rig.wait(Duration::from_secs(45));
        rig.bucket.forget_the_past();
        assert_eq!(rig.bucket.states.len(), 1);
        assert_eq!(
            rig.passing(party("192.0.2.1"), 3),
            2,
            "not forgotten too early"
        );
        rig.passing(party("192.0.2.3"), 3);
        rig.wait(Duration::from_mins(2));
        // Full, so this looks for room by itself.
        assert_eq!(rig.passing(party("192.0.2.4"), 3), 3);
        assert_eq!(rig.bucket.states.len(), 1);
    }
}
