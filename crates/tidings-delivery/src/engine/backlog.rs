//! How many outcomes are not recorded yet, those of all passes together: so many are forgotten when
//! the process is killed, and those messages are sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidings_core::batch::Lane;
use tokio::sync::Notify;

/// Nothing more is begun while so many wait.
const MOST: usize = 256;

/// So many of them are for direct messages alone, which do not wait for a broadcast to be recorded:
/// they begin, whatever else waits, while fewer of their own do.
const FOR_DIRECT: usize = 32;

/// The backlog, as one lane sees it.
#[derive(Clone)]
pub(super) struct Backlog {
    shared: Arc<Shared>,
    lane: Lane,
}

struct Shared {
    waiting: AtomicUsize,
    /// How many of them are direct messages'.
    direct: AtomicUsize,
    enough: usize,
    room: Notify,
}

impl Backlog {
    /// With `enough` waiting it is time to record.
    pub(super) fn new(enough: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                waiting: AtomicUsize::new(0),
                direct: AtomicUsize::new(0),
                enough: enough.min(MOST - FOR_DIRECT),
                room: Notify::new(),
            }),
            lane: Lane::Bulk,
        }
    }

    /// The same backlog, for those of a lane.
    pub(super) fn of(&self, lane: Lane) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            lane,
        }
    }

    /// One more waits, until what is returned is dropped.
    pub(super) fn add(&self) -> Waiting {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if self.lane == Lane::Direct {
            self.shared.direct.fetch_add(1, Ordering::Relaxed);
        }
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

    /// Whether so many wait that nothing more of this lane may be begun.
    pub(super) fn is_full(&self) -> bool {
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        match self.lane {
            Lane::Bulk => waiting >= MOST - FOR_DIRECT,
            Lane::Direct => {
                waiting >= MOST && self.shared.direct.load(Ordering::Relaxed) >= FOR_DIRECT
            }
        }
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
        let mut has_room = false;
        if self.backlog.lane == Lane::Direct {
            has_room = shared.direct.fetch_sub(1, Ordering::Relaxed) == FOR_DIRECT;
        }
        let waiting = shared.waiting.fetch_sub(1, Ordering::Relaxed);
        if has_room || waiting == MOST || waiting == MOST - FOR_DIRECT {
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
        let bulk = Backlog::new(96);
        let direct = bulk.of(Lane::Direct);
        let mut waiting: Vec<_> = (0..95).map(|_| bulk.add()).collect();
        assert!(!bulk.is_enough());
        waiting.extend((95..300).map(|_| bulk.add()));
        assert!(bulk.is_enough() && bulk.is_full());
        assert!(!direct.is_full(), "it has a part of its own");
        let mut others: Vec<_> = (0..40).map(|_| direct.add()).collect();
        assert!(direct.is_full());
        for (backlog, most) in [(&direct, 256), (&bulk, 224)] {
            let mut room = std::pin::pin!(backlog.room());
            assert!(room.as_mut().now_or_never().is_none());
            waiting.truncate(most - 40);
            assert!(room.as_mut().now_or_never().is_none());
            waiting.truncate(most - 41);
            assert!(room.as_mut().now_or_never().is_some());
        }
        waiting.extend((0..300).map(|_| bulk.add()));
        let mut room = std::pin::pin!(direct.room());
        assert!(room.as_mut().now_or_never().is_none());
        others.truncate(32);
        assert!(room.as_mut().now_or_never().is_none());
        others.truncate(31);
        assert!(room.as_mut().now_or_never().is_some());
        assert!(bulk.is_full());
    }
}
