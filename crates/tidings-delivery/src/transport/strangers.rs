//! What bounds connections to other push services together: anybody can make up their names.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use crate::transport::Limits;
use crate::transport::pools::Pools;
use crate::transport::wanted::GOOD_BYE;

/// How often to ask whether a connection is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Lasts as long as the connection that it was given for.
pub(super) type Permit = OwnedSemaphorePermit;

pub(super) struct Strangers {
    connections: Arc<Semaphore>,
    openings: Semaphore,
    /// Of these, those for origins that may be inventions.
    newcomers: Semaphore,
    /// Told whenever a connection becomes idle.
    idle: Notify,
    pools: Weak<Pools>,
}

/// Lasts as long as a connection is being opened.
pub(super) struct Opening<'a> {
    _newcomer: Option<SemaphorePermit<'a>>,
    _opening: SemaphorePermit<'a>,
}

impl Strangers {
    pub(super) fn new(limits: &Limits, pools: Weak<Pools>) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.other_connections)),
            openings: Semaphore::new(limits.other_openings),
            newcomers: Semaphore::new(limits.other_openings.div_ceil(2)),
            idle: Notify::new(),
            pools,
        }
    }

    /// Waits until another connection may be opened, as long as it is wanted. Of those to origins that
    /// may be inventions, and all of them dead, only half as many are opened at once.
    pub(super) async fn admit(
        &self,
        is_proven: bool,
        is_wanted: impl Fn() -> bool,
    ) -> Option<(Opening<'_>, Permit)> {
        let newcomer = if is_proven {
            None
        } else {
            Some(while_wanted(self.newcomers.acquire(), &is_wanted).await?)
        };
        let opening = Opening {
            _newcomer: newcomer,
            _opening: while_wanted(self.openings.acquire(), &is_wanted).await?,
        };
        // Last: whoever stands in a queue with a permit keeps it from those who could use it.
        let permit = self.place(is_wanted).await?;
        Some((opening, permit))
    }

    /// Waits until there may be another connection; idle ones make room.
    async fn place(&self, is_wanted: impl Fn() -> bool) -> Option<Permit> {
        // One place in the queue, for as long as it takes.
        let mut permit = pin!(Arc::clone(&self.connections).acquire_owned());
        let mut closed_at: Option<Instant> = None;
        loop {
            if let Some(permit) = permit.as_mut().now_or_never() {
                return permit.ok();
            }
            // What is closing takes its time, and only then gives up its place.
            let closes = closed_at.is_some_and(|at| at.elapsed() < GOOD_BYE);
            if !closes
                && let Some(pools) = self.pools.upgrade()
                && pools.close_an_idle_stranger()
            {
                closed_at = Some(Instant::now());
            }
            tokio::select! {
                permit = &mut permit => return permit.ok(),
                () = self.idle.notified() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
            if !is_wanted() {
                return None;
            }
        }
    }

    /// A connection is not used any more.
    pub(super) fn became_idle(&self) {
        self.idle.notify_one();
    }
}

/// Waits for a permit, as long as it is wanted.
async fn while_wanted<P>(
    permit: impl Future<Output = Result<P, AcquireError>>,
    is_wanted: &impl Fn() -> bool,
) -> Option<P> {
    let mut permit = pin!(permit);
    loop {
        tokio::select! {
            biased;
            permit = &mut permit => return permit.ok(),
            () = sleep(LOOK_AGAIN) => {}
        }
        if !is_wanted() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_longest_is_admitted_first() {
        let limits = Limits {
            other_connections: 1,
            ..Limits::default()
        };
        let strangers = Strangers::new(&limits, Weak::new());
        let taken = strangers.place(|| true).await.unwrap();
        let free = async {
            // The first has looked again by then, and the second has not.
            sleep(LOOK_AGAIN + LOOK_AGAIN / 4).await;
            drop(taken);
        };
        let second = async {
            sleep(LOOK_AGAIN / 2).await;
            strangers.place(|| true).await
        };
        let admitted = tokio::select! {
            biased;
            _ = second => "second",
            _ = strangers.place(|| true) => "first",
            () = async { free.await; std::future::pending().await } => "",
        };
        assert_eq!(admitted, "first");
    }

    #[tokio::test]
    async fn whoever_may_be_an_invention_leaves_some_to_the_others() {
        let limits = Limits {
            other_openings: 4,
            ..Limits::default()
        };
        let strangers = Strangers::new(&limits, Weak::new());
        let opening = |is_proven| strangers.admit(is_proven, || true).now_or_never();
        let newcomers: Vec<_> = (0..3).filter_map(|_| opening(false)).collect();
        assert_eq!(newcomers.len(), 2);
        let others: Vec<_> = (0..3).filter_map(|_| opening(true)).collect();
        assert_eq!(others.len(), 2);
        drop(newcomers);
        assert!(opening(false).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_in_the_queue_keeps_no_connection_from_others() {
        let limits = Limits {
            other_connections: 2,
            other_openings: 2,
            ..Limits::default()
        };
        let strangers = Strangers::new(&limits, Weak::new());
        let dead = strangers.admit(false, || true).await;
        let mut next = Box::pin(strangers.admit(false, || false));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(strangers.admit(true, || true).now_or_never().is_some());
        // Nobody waits for it any more.
        assert!(next.await.is_none());
        drop(dead);
    }
}
