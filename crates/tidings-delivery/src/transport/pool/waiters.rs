//! Who waits for room, in the order in which they came; direct messages first.

use std::collections::VecDeque;

use tidings_core::batch::Lane;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::transport::TransportError;
use crate::transport::pool::ledger::Waiting;
use crate::transport::room::Room;

pub(super) type Granted = Result<Room, TransportError>;

#[derive(Default)]
pub(super) struct Waiters {
    direct: VecDeque<Sender<Granted>>,
    bulk: VecDeque<Sender<Granted>>,
}

impl Waiters {
    pub(super) fn add(&mut self, lane: Lane) -> Receiver<Granted> {
        let (granted, wait) = oneshot::channel();
        self.queue(lane).push_back(granted);
        wait
    }

    /// The one whose turn it is, if somebody waits. Whoever gave up meanwhile is passed over.
    pub(super) fn next(&mut self, lane: Lane) -> Option<Sender<Granted>> {
        self.forget_the_gone(lane);
        self.queue(lane).pop_front()
    }

    /// There was no room after all.
    pub(super) fn put_back(&mut self, lane: Lane, waiter: Sender<Granted>) {
        self.queue(lane).push_front(waiter);
    }

    pub(super) fn take_all(&mut self) -> Vec<Sender<Granted>> {
        self.direct.drain(..).chain(self.bulk.drain(..)).collect()
    }

    /// Whether somebody of this lane waits.
    pub(super) fn any(&mut self, lane: Lane) -> bool {
        self.forget_the_gone(lane);
        !self.queue(lane).is_empty()
    }

    pub(super) fn any_at_all(&mut self) -> bool {
        Lane::ALL.into_iter().any(|lane| self.any(lane))
    }

    pub(super) fn count(&mut self) -> Waiting {
        for lane in Lane::ALL {
            self.forget_the_gone(lane);
        }
        Waiting {
            direct: self.direct.len(),
            bulk: self.bulk.len(),
        }
    }

    /// They give up in the order in which they came, so it is enough to look in front.
    fn forget_the_gone(&mut self, lane: Lane) {
        let queue = self.queue(lane);
        while queue.front().is_some_and(Sender::is_closed) {
            queue.pop_front();
        }
    }

    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Sender<Granted>> {
        match lane {
            Lane::Direct => &mut self.direct,
            Lane::Bulk => &mut self.bulk,
        }
    }
}
