//! How many outcomes are not recorded yet, those of all passes together: so many are forgotten when
//! the process is killed, and those messages are sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Nothing more is begun while so many wait.
const MOST: usize = 256;

#[derive(Clone)]
pub(super) struct Backlog {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: AtomicUsize,
    enough: usize,
    room: Notify,
}

impl Backlog {
    /// With `enough` waiting it is time to record.
    pub(super) fn new(enough: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                waiting: AtomicUsize::new(0),
                enough: enough.min(MOST),
                room: Notify::new(),
            }),
        }
    }

    /// One more waits, until what is returned is dropped.
    pub(super) fn add(&self) -> Waiting {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting {
            backlog: self.clone(),
        }
    }

    pub(super) fn enough(&self) -> usize {
        self.shared.enough
    }

    /// Whether it is time to record.
    pub(super) fn is_enough(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) >= self.shared.enough
    }

    /// Whether so many wait that nothing more may be begun.
    pub(super) fn is_full(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) >= MOST
    }

    /// Waits until it is not full.
    pub(super) async fn room(&self) {
        loop {
            let mut told = std::pin::pin!(self.shared.room.notified());
            // In the queue before looking, or what is recorded in between would tell nobody.
            told.as_mut().enable();
            if !self.is_full() {
                return;
            }
            told.await;
        }
    }
}

/// An outcome that is not recorded yet.
pub(super) struct Waiting {
    backlog: Backlog,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let shared = &self.backlog.shared;
        if shared.waiting.fetch_sub(1, Ordering::Relaxed) == MOST {
            shared.room.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_room_is_told_when_there_is_some() {
        let backlog = Backlog::new(96);
        let mut waiting: Vec<_> = (0..95).map(|_| backlog.add()).collect();
        assert!(!backlog.is_enough());
        waiting.extend((95..300).map(|_| backlog.add()));
        assert!(backlog.is_enough() && backlog.is_full());
        let mut room = std::pin::pin!(backlog.room());
        assert!(room.as_mut().now_or_never().is_none());
        waiting.truncate(256);
        assert!(room.as_mut().now_or_never().is_none());
        waiting.truncate(255);
        assert!(room.as_mut().now_or_never().is_some());
        assert!(!backlog.is_full());
    }
}
