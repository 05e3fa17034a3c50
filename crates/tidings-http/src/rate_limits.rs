//! How often anybody may ask: by address where anybody may come, by token where back ends do.

pub(crate) mod account;
pub(crate) mod bucket;

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::client_address::ClientNetwork;
use crate::extract::caller::CallerId;
use crate::rate_limits::bucket::{Bucket, Party, Policy, RunningTime, Standing};

/// Parties that one limit tells apart.
const MAX_PARTIES: usize = 32 * 1024;

/// Pairs of a network and a token that authenticated there.
const MAX_PROVEN: usize = 4096;

/// How often whoever was quiet for long enough is forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// How many requests are answered. Each may be used up at once, and comes back in equal shares. 0
/// means any number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimitSettings {
    /// By address: what pages ask, but for receipts.
    pub page_requests_per_minute: u32,
    /// By address: reports of receipts.
    pub receipt_requests_per_minute: u32,
    /// By address: subscriptions that were not known before.
    pub new_subscriptions_per_hour: u32,
    /// By address: requests for back ends without a token, or with a wrong one.
    pub failed_authentications_per_minute: u32,
    /// By token: what back ends ask.
    pub api_requests_per_second: u32,
}

impl Default for RateLimitSettings {
    /// `docs/decisions/0008-what-is-limited-and-by-what.md` argues for each.
    fn default() -> Self {
        Self {
            page_requests_per_minute: 600,
            receipt_requests_per_minute: 3000,
            new_subscriptions_per_hour: 200,
            failed_authentications_per_minute: 30,
            api_requests_per_second: 1000,
        }
    }
}

/// A token that a caller shows, before anybody knows whether it is one.
#[derive(Clone, Copy)]
pub(crate) struct ShownSecret {
    pub(crate) sha256: [u8; 32],
    /// Whether it has the form of the tokens that Tidings makes: 256 random bits.
    pub(crate) is_random: bool,
}

/// The limits of one server, and who has used up what. Kept in memory only.
pub struct RateLimits {
    pages: Option<Bucket>,
    receipts: Option<Bucket>,
    new_subscriptions: Option<Bucket>,
    failed_authentications: Option<Bucket>,
    api: Option<Bucket>,
    /// Who authenticated, by which token.
    proven: Mutex<HashSet<(ClientNetwork, [u8; 32])>>,
}

impl RateLimits {
    /// Limits by `settings`.
    pub fn new(settings: RateLimitSettings) -> Self {
        let start = Instant::now();
        Self::with_time(settings, Arc::new(move || start.elapsed()))
    }

    /// Limits whose time passes as `time` says: time since any moment, which must only rise.
    pub fn with_time(
        settings: RateLimitSettings,
        time: Arc<dyn Fn() -> Duration + Send + Sync>,
    ) -> Self {
        let time = RunningTime(time);
        let bucket = |name, quota, window| {
            let policy = Policy {
                name,
                quota: NonZeroU32::new(quota)?,
                window,
            };
            Some(Bucket::new(policy, MAX_PARTIES, time.clone()))
        };
        let minute = Duration::from_mins(1);
        Self {
            pages: bucket("page-requests", settings.page_requests_per_minute, minute),
            receipts: bucket(
                "receipt-requests",
                settings.receipt_requests_per_minute,
                minute,
            ),
            new_subscriptions: bucket(
                "new-subscriptions",
                settings.new_subscriptions_per_hour,
                Duration::from_hours(1),
            ),
            failed_authentications: bucket(
                "failed-authentications",
                settings.failed_authentications_per_minute,
                minute,
            ),
            api: bucket(
                "api-requests",
                settings.api_requests_per_second,
                Duration::from_secs(1),
            ),
            proven: Mutex::default(),
        }
    }

    /// Forgets, until `stop` is cancelled, whoever was quiet for so long that nothing depends on it.
    pub async fn keep_forgetting(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(FORGET_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            for bucket in self.all() {
                bucket.forget_the_past();
            }
        }
    }

    /// Counts a request of a page.
    pub(crate) fn take_page(&self, network: ClientNetwork) -> Taken {
        take(self.pages.as_ref(), Party::Network(network))
    }

    /// Counts a report of receipts.
    pub(crate) fn take_receipts(&self, network: ClientNetwork) -> Taken {
        take(self.receipts.as_ref(), Party::Network(network))
    }

    /// Counts a subscription as new, before it is known whether it is.
    pub(crate) fn take_new_subscription(&self, network: ClientNetwork) -> Taken {
        take(self.new_subscriptions.as_ref(), Party::Network(network))
    }

    /// The subscription was not new after all.
    pub(crate) fn give_back_new_subscription(&self, network: ClientNetwork) {
        if let Some(bucket) = &self.new_subscriptions {
            bucket.give_back(Party::Network(network));
        }
    }

    /// Counts a request of a back end that has authenticated itself.
    pub(crate) fn take_api(&self, caller: CallerId) -> Taken {
        take(self.api.as_ref(), Party::Caller(caller))
    }

    /// Whether a token may be looked at. It is refused before, or a right guess among too many wrong
    /// ones would still be found out. A neighbour's mistakes do not shut out who is no guesser: what
    /// authenticated from here before, and what Tidings made, which nobody guesses. Looking that up
    /// takes work, so it counts like a request of a page.
    pub(crate) fn may_authenticate(
        &self,
        network: ClientNetwork,
        shown: Option<ShownSecret>,
    ) -> Result<(), Standing> {
        let Some(bucket) = &self.failed_authentications else {
            return Ok(());
        };
        let party = Party::Network(network);
        let Err(exceeded) = bucket.look(party) else {
            return Ok(());
        };
        let Some(shown) = shown else {
            return Err(exceeded);
        };
        if self.lock_proven().contains(&(network, shown.sha256)) {
            return Ok(());
        }
        if shown.is_random {
            return take(self.pages.as_ref(), party).map(drop);
        }
        Err(exceeded)
    }

    /// A back end has authenticated itself.
    pub(crate) fn authenticated(&self, network: ClientNetwork, token: [u8; 32]) {
        let mut proven = self.lock_proven();
        if proven.len() >= MAX_PROVEN {
            proven.clear();
        }
        proven.insert((network, token));
    }

    /// A back end has not.
    pub(crate) fn failed_to_authenticate(&self, network: ClientNetwork) {
        let bucket = self.failed_authentications.as_ref();
        // What could not be counted any more is refused by the next look.
        let _ = take(bucket, Party::Network(network));
    }

    fn all(&self) -> impl Iterator<Item = &Bucket> {
        [
            &self.pages,
            &self.receipts,
            &self.new_subscriptions,
            &self.failed_authentications,
            &self.api,
        ]
        .into_iter()
        .flatten()
    }

    fn lock_proven(&self) -> std::sync::MutexGuard<'_, HashSet<(ClientNetwork, [u8; 32])>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

/// What is left, if there is a limit; or that there was nothing.
pub(crate) type Taken = Result<Option<Standing>, Standing>;

fn take(bucket: Option<&Bucket>, party: Party) -> Taken {
    bucket.map(|bucket| bucket.take(party)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> ClientNetwork {
        ClientNetwork::of(address.parse().unwrap())
    }

    fn two_of_each() -> RateLimits {
        let settings = RateLimitSettings {
            page_requests_per_minute: 2,
            receipt_requests_per_minute: 2,
            new_subscriptions_per_hour: 2,
            failed_authentications_per_minute: 2,
            api_requests_per_second: 2,
        };
        RateLimits::with_time(settings, Arc::new(|| Duration::ZERO))
    }

    #[test]
    fn who_guesses_too_often_is_not_listened_to_but_who_was_let_in_is() {
        let limits = two_of_each();
        let here = network("192.0.2.1");
        let chosen = |octet| {
            Some(ShownSecret {
                sha256: [octet; 32],
                is_random: false,
            })
        };
        let (right, guess) = (chosen(1), chosen(2));
        limits.authenticated(here, [1; 32]);
        for _ in 0..5 {
            limits.failed_to_authenticate(here);
        }
        assert!(limits.may_authenticate(here, guess).is_err());
        assert!(limits.may_authenticate(here, None).is_err());
        assert!(limits.may_authenticate(here, right).is_ok());
        let elsewhere = network("192.0.2.2");
        for _ in 0..5 {
            limits.failed_to_authenticate(elsewhere);
        }
        assert!(
            limits.may_authenticate(elsewhere, right).is_err(),
            "elsewhere the right one would be a lucky guess"
        );
    }

    #[test]
    fn guessers_do_not_shut_out_what_nobody_can_guess() {
        let limits = two_of_each();
        let here = network("192.0.2.1");
        for _ in 0..5 {
            limits.failed_to_authenticate(here);
        }
        let made_by_tidings = Some(ShownSecret {
            sha256: [3; 32],
            is_random: true,
        });
        for _ in 0..2 {
            assert!(limits.may_authenticate(here, made_by_tidings).is_ok());
        }
        assert!(
            limits.may_authenticate(here, made_by_tidings).is_err(),
            "looking tokens up without end"
        );
    }

    #[test]
    fn nothing_is_limited_by_zero() {
        let settings = RateLimitSettings {
            page_requests_per_minute: 0,
            receipt_requests_per_minute: 0,
            new_subscriptions_per_hour: 0,
            failed_authentications_per_minute: 0,
            api_requests_per_second: 0,
        };
        let limits = RateLimits::new(settings);
        let here = network("192.0.2.1");
        for _ in 0..10_000 {
            assert_eq!(limits.take_page(here), Ok(None));
            assert_eq!(limits.take_receipts(here), Ok(None));
            assert_eq!(limits.take_new_subscription(here), Ok(None));
            assert_eq!(limits.take_api(CallerId::Admin), Ok(None));
            limits.failed_to_authenticate(here);
            assert!(limits.may_authenticate(here, None).is_ok());
        }
    }

    #[test]
    fn each_limit_counts_for_itself() {
        let limits = two_of_each();
        let here = network("192.0.2.1");
        for _ in 0..2 {
            assert!(limits.take_page(here).is_ok());
        }
        assert!(limits.take_page(here).is_err());
        assert!(limits.take_receipts(here).is_ok());
        assert!(limits.take_new_subscription(here).is_ok());
        assert!(limits.take_api(CallerId::Admin).is_ok());
        assert!(limits.may_authenticate(here, None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_matters_no_more_is_forgotten_though_nobody_asks() {
        let start = tokio::time::Instant::now();
        let limits = RateLimits::with_time(
            RateLimitSettings::default(),
            Arc::new(move || start.elapsed()),
        );
        limits.take_page(network("192.0.2.1")).unwrap();
        let parties = || limits.pages.as_ref().unwrap().parties();
        assert_eq!(parties(), 1);
        let stop = CancellationToken::new();
        let forgetting = limits.keep_forgetting(stop.clone());
        let a_while = tokio::time::sleep(FORGET_INTERVAL * 2);
        tokio::select! {
            () = forgetting => panic!("it ended"),
            () = a_while => {}
        }
        assert_eq!(parties(), 0);
    }
}
