//! What bounds connections to other push services together: anybody can make up their names.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use crate::transport::pools::Pools;
use crate::transport::wanted::GOOD_BYE;
use crate::transport::{Limits, TransportError};

/// How often to ask whether a connection is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Lasts as long as the connection that it was given for.
pub(super) type Permit = OwnedSemaphorePermit;

pub(super) struct Strangers {
    connections: Arc<Semaphore>,
    openings: Semaphore,
    /// Told whenever a connection becomes idle.
    idle: Notify,
    pools: Weak<Pools>,
}

impl Strangers {
    pub(super) fn new(limits: &Limits, pools: Weak<Pools>) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.other_connections)),
            openings: Semaphore::new(limits.other_openings),
            idle: Notify::new(),
            pools,
        }
    }

    /// Waits until there may be another connection, as long as it is wanted; idle ones make room.
    pub(super) async fn admit(&self, is_wanted: impl Fn() -> bool) -> Option<Permit> {
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

    /// Waits until fewer connections are being opened.
    pub(super) async fn may_open(&self) -> Result<SemaphorePermit<'_>, TransportError> {
        let permit = self.openings.acquire().await;
        permit.map_err(|_| TransportError::Closed)
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
        let taken = strangers.admit(|| true).await.unwrap();
        let free = async {
            // The first has looked again by then, and the second has not.
            sleep(LOOK_AGAIN + LOOK_AGAIN / 4).await;
            drop(taken);
        };
        let second = async {
            sleep(LOOK_AGAIN / 2).await;
            strangers.admit(|| true).await
        };
        let admitted = tokio::select! {
            biased;
            _ = second => "second",
            _ = strangers.admit(|| true) => "first",
            () = async { free.await; std::future::pending().await } => "",
        };
        assert_eq!(admitted, "first");
    }
}
