//! Who encrypts next. Encryption is most of the work, and a broadcast has a thousand deliveries that
//! are ready for it: were all of them handed to the runtime at once, everything else, direct
//! messages among it, would wait behind them at every step.

use std::num::NonZeroUsize;

use tidings_core::batch::Lane;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Deliveries of broadcasts that encrypt at once, for each thread of the runtime. After so many a
/// thread looks for other work, and what they made is written: a few would make many small writes,
/// each of which wakes the other side; many would keep direct messages waiting (decision 16).
const FOR_EACH_THREAD: usize = 16;

#[derive(Debug)]
pub(super) struct Encrypting {
    bulk: Semaphore,
}

/// The right to encrypt once.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Encrypting {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self {
            bulk: Semaphore::new(threads.get().saturating_mul(FOR_EACH_THREAD)),
        }
    }

    /// Waits for the turn of a delivery: at once in the direct lane, when nothing else is to be
    /// done in the other.
    pub(super) async fn turn(&self, lane: Lane) -> Turn<'_> {
        if lane == Lane::Direct {
            return Turn { _permit: None };
        }
        // The semaphore is never closed.
        let permit = self.bulk.acquire().await.ok();
        // Behind all that is ready to go on.
        tokio::task::yield_now().await;
        Turn { _permit: permit }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn direct_messages_do_not_queue_and_broadcasts_do() {
        let encrypting = Encrypting::new(NonZeroUsize::MIN);
        let mut turns = Vec::new();
        for _ in 0..FOR_EACH_THREAD {
            turns.push(encrypting.turn(Lane::Bulk).await);
        }
        assert!(encrypting.turn(Lane::Bulk).now_or_never().is_none());
        assert!(encrypting.turn(Lane::Direct).now_or_never().is_some());
        turns.pop();
        encrypting.turn(Lane::Bulk).await;
    }

    #[tokio::test]
    async fn whatever_is_ready_goes_before_a_broadcast() {
        let encrypting = Encrypting::new(NonZeroUsize::MIN);
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let ready = told.clone();
        tasks.spawn(async move {
            encrypting.turn(Lane::Bulk).await;
            told.send("a broadcast").unwrap();
        });
        tasks.spawn(async move { ready.send("something else").unwrap() });
        tasks.join_all().await;
        assert_eq!(order.recv().await, Some("something else"));
        assert_eq!(order.recv().await, Some("a broadcast"));
    }
}
