//! The connections to one origin.

pub(super) mod ledger;
mod waiters;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::batch::Lane;
use tokio::sync::oneshot::Sender;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::transport::dialer::{Dialed, Dialer, Target};
use crate::transport::http1::Http1Connection;
use crate::transport::http2::{Change, Http2Connection};
use crate::transport::pool::ledger::{Ledger, Protocol, Ticket};
use crate::transport::pool::waiters::{Granted, Waiters};
use crate::transport::room::{Connection, Room};
use crate::transport::strangers::{Permit, Strangers};
use crate::transport::{Limits, OriginLimits, TransportError};

/// What the pools of a transport share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) dialer: Arc<Dialer>,
    pub(super) limits: Arc<Limits>,
    pub(super) tasks: TaskTracker,
    /// Once cancelled, nobody gets a turn any more.
    pub(super) closed: CancellationToken,
}

pub(super) struct Pool {
    shared: Shared,
    target: Target,
    /// What bounds this origin together with others, if it is a stranger's.
    strangers: Option<Arc<Strangers>>,
    state: Mutex<State>,
}

struct State {
    ledger: Ledger<Connection>,
    waiters: Waiters,
    /// Whether it is known that there is a push service, and no invention.
    is_proven: bool,
    last_used: Instant,
    tidied_at: Instant,
}

/// Room, and who gets it. Handed over when the lock is not held: whoever is gone gives it back.
type Grants = Vec<(Sender<Granted>, Room)>;

impl Pool {
    pub(super) fn new(
        shared: Shared,
        target: Target,
        limits: OriginLimits,
        strangers: Option<Arc<Strangers>>,
        now: Instant,
    ) -> Self {
        let state = State {
            ledger: Ledger::new(limits, now),
            waiters: Waiters::default(),
            is_proven: false,
            last_used: now,
            tidied_at: now,
        };
        Self {
            shared,
            target,
            strangers,
            state: Mutex::new(state),
        }
    }

    /// Room on a connection, as soon as there is some.
    pub(super) async fn turn(
        self: &Arc<Self>,
        lane: Lane,
        has_accepted: bool,
        now: Instant,
    ) -> Result<Room, TransportError> {
        if self.shared.closed.is_cancelled() {
            return Err(TransportError::Closed);
        }
        let wait = {
            let mut state = self.lock();
            state.last_used = now;
            state.is_proven |= has_accepted;
            self.tidy(&mut state, now);
            // Nobody is overtaken, but by direct messages.
            let overtakes =
                state.waiters.any(lane) || (lane == Lane::Bulk && state.waiters.any(Lane::Direct));
            let taken = if overtakes {
                None
            } else {
                self.take(&mut state, lane)
            };
            let wait = taken.map_or_else(|| Err(state.waiters.add(lane)), Ok);
            self.grow(&mut state, now);
            wait
        };
        let wait = match wait {
            Ok(room) => return Ok(room),
            Err(wait) => wait,
        };
        tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => Err(TransportError::Closed),
            granted = timeout(self.shared.limits.wait, wait) => match granted {
                Ok(Ok(granted)) => granted,
                // The pool is held here, so it has not gone.
                Ok(Err(_)) => Err(TransportError::Closed),
                Err(_) => Err(self.without_room()),
            },
        }
    }

    /// Opens connections for what comes soon.
    pub(super) fn expect(self: &Arc<Self>, deliveries: usize, now: Instant) {
        let mut state = self.lock();
        state.last_used = now;
        state.ledger.expect(deliveries, now);
        self.grow(&mut state, now);
    }

    /// Whether it is known that there is a push service, and no invention.
    pub(super) fn is_proven(&self) -> bool {
        self.lock().is_proven
    }

    /// Whether nobody waits, and nothing is under way.
    pub(super) fn is_unused(&self) -> bool {
        let mut state = self.lock();
        state.ledger.is_unused() && !state.waiters.any_at_all()
    }

    fn without_room(&self) -> TransportError {
        if self.lock().ledger.takes_requests() {
            TransportError::NoRoom
        } else {
            TransportError::NotOpened
        }
    }

    pub(super) fn last_used(&self) -> Instant {
        self.lock().last_used
    }

    /// Since when it keeps a connection open that carries nothing, if it does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.lock().ledger.idle_since()
    }

    /// Closes the connection that has carried nothing for longest. Whether there was one.
    pub(super) fn close_longest_idle(&self) -> bool {
        let idle = self.lock().ledger.take_longest_idle();
        // Dropped without the lock.
        idle.is_some()
    }

    fn somebody_waits(&self) -> bool {
        self.lock().waiters.any_at_all()
    }

    pub(super) fn give_back(self: &Arc<Self>, ticket: &Ticket) {
        let (grants, is_idle) = {
            let mut state = self.lock();
            let is_idle = state.ledger.give_back(ticket, Instant::now);
            (self.grants(&mut state), is_idle)
        };
        hand_out(grants);
        if is_idle && let Some(strangers) = &self.strangers {
            strangers.became_idle();
        }
    }

    /// A connection takes no further requests.
    pub(super) fn retire(self: &Arc<Self>, id: u64) {
        let mut state = self.lock();
        let retired = state.ledger.remove(id);
        self.grow(&mut state, Instant::now());
        drop(state);
        drop(retired);
    }

    fn changed(self: &Arc<Self>, id: u64, change: Change) {
        match change {
            Change::Streams(streams) => {
                let grants = {
                    let mut state = self.lock();
                    state.ledger.limit_changed(id, streams);
                    self.grow(&mut state, Instant::now());
                    self.grants(&mut state)
                };
                hand_out(grants);
            }
            Change::GoingAway => self.retire(id),
            Change::TooMuch => {
                self.lock().ledger.pause(Instant::now());
                self.retire(id);
            }
        }
    }

    fn take(self: &Arc<Self>, state: &mut State, lane: Lane) -> Option<Room> {
        let (ticket, connection) = state.ledger.take(lane)?;
        Some(Room {
            pool: Arc::clone(self),
            ticket,
            connection,
        })
    }

    fn grants(self: &Arc<Self>, state: &mut State) -> Grants {
        let mut grants = Grants::new();
        for lane in Lane::ALL {
            while let Some(waiter) = state.waiters.next(lane) {
                let Some(room) = self.take(state, lane) else {
                    state.waiters.put_back(lane, waiter);
                    break;
                };
                grants.push((waiter, room));
            }
        }
        grants
    }

    /// Begins to open as many connections as are missing.
    fn grow(self: &Arc<Self>, state: &mut State, now: Instant) {
        if self.shared.closed.is_cancelled() {
            return;
        }
        let waiting = state.waiters.count();
        let (count, from) = state.ledger.begin_to_open(waiting, now);
        for _ in 0..count {
            let pool = Arc::clone(self);
            self.shared.tasks.spawn(pool.open(from));
        }
    }

    async fn open(self: Arc<Self>, from: Instant) {
        let id = self.lock().ledger.reserve_id();
        let opened = tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => Err(TransportError::Closed),
            opened = self.try_to_open(id, from) => opened,
        };
        self.end_opening(id, from, opened);
    }

    fn end_opening(
        self: &Arc<Self>,
        id: u64,
        from: Instant,
        opened: Result<Option<Connection>, TransportError>,
    ) {
        let now = Instant::now();
        let mut state = self.lock();
        // Whoever tells of its end has to take this lock as well: not before it is asked here and,
        // if it is open, known.
        let opened = match opened {
            Ok(Some(connection)) if !connection.is_open() => Err(closed_at_once()),
            opened => opened,
        };
        match opened {
            Ok(Some(connection)) => {
                let spoken = match &connection {
                    Connection::Http2(http2) => (Protocol::Http2, http2.streams()),
                    Connection::Http1(_) => (Protocol::Http1, None),
                };
                state.ledger.opened(id, connection, spoken, now);
                state.is_proven = true;
                self.grow(&mut state, now);
                let grants = self.grants(&mut state);
                drop(state);
                hand_out(grants);
            }
            Ok(None) => {
                state.ledger.not_wanted();
                // Somebody may have come just now.
                if state.waiters.any_at_all() {
                    self.grow(&mut state, now);
                }
            }
            Err(failure) => {
                tracing::debug!(push_service.origin = %self.target, %failure, "no connection");
                if state.ledger.not_opened(failure.may_be_chance(), from, now) {
                    self.grow(&mut state, now);
                    return;
                }
                // A thousand requests to a dead host shall not each wait for a failure of their
                // own.
                let waiters = state.waiters.take_all();
                drop(state);
                for waiter in waiters {
                    let _ = waiter.send(Err(failure.clone()));
                }
            }
        }
    }

    /// Nothing if nobody waits for it any more.
    async fn try_to_open(
        self: &Arc<Self>,
        id: u64,
        from: Instant,
    ) -> Result<Option<Connection>, TransportError> {
        let Shared { limits, .. } = &self.shared;
        sleep_until(from).await;
        let (_opening, permit) = match &self.strangers {
            Some(strangers) => {
                let is_wanted = || self.somebody_waits();
                let admitted = strangers.admit(self.is_proven(), is_wanted).await;
                let Some((opening, permit)) = admitted else {
                    return Ok(None);
                };
                (Some(opening), Some(permit))
            }
            None => (None, None),
        };
        let opened = timeout(limits.connect, self.handshake(id, permit)).await;
        opened
            .unwrap_or(Err(TransportError::TimedOut("connecting")))
            .map(Some)
    }

    async fn handshake(
        self: &Arc<Self>,
        id: u64,
        permit: Option<Permit>,
    ) -> Result<Connection, TransportError> {
        let Shared { limits, tasks, .. } = &self.shared;
        let http1 = |opened: Http1Connection| Connection::Http1(Arc::new(Mutex::new(Some(opened))));
        let pool = Arc::downgrade(self);
        let tell = move |change| {
            if let Some(pool) = pool.upgrade() {
                pool.changed(id, change);
            }
        };
        Ok(match self.shared.dialer.dial(&self.target).await? {
            Dialed::Http2(stream) => Connection::Http2(
                Http2Connection::open(*stream, limits, tasks, (tell, permit)).await?,
            ),
            Dialed::Http1(stream) => {
                http1(Http1Connection::open(*stream, limits, tasks, (tell, permit)).await?)
            }
            Dialed::PlainHttp1(stream) => {
                http1(Http1Connection::open(stream, limits, tasks, (tell, permit)).await?)
            }
        })
    }

    /// Closes what nobody has used for long, looking twice in that time.
    fn tidy(&self, state: &mut State, now: Instant) {
        let idle = self.shared.limits.idle;
        if now.saturating_duration_since(state.tidied_at) > idle / 2 {
            state.tidied_at = now;
            drop(state.ledger.take_idle(now, idle));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hand_out(grants: Grants) {
    for (waiter, room) in grants {
        // Whoever is gone by now gives it back.
        drop(waiter.send(Ok(room)));
    }
}

fn closed_at_once() -> TransportError {
    TransportError::Broken("it was closed right after it was opened".to_owned())
}

#[cfg(test)]
mod tests;
