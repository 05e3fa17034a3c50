//! Batches: one message, one push service, one due instant, some subscriptions. The unit of
//! lease, of restart, of throttling and, in a cluster, of distribution.

mod bitmap;

use crate::application::ApplicationId;
pub use crate::batch::bitmap::Bitmap;
use crate::clock::Timestamp;
use crate::id::MessageId;
use crate::subscription::PushServiceGroup;

/// A subscription's number within its application: 1, 2, 3 … in the order in which the
/// registrations were committed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Seq(i64);

impl Seq {
    /// Before the first subscription.
    pub const ZERO: Self = Self(0);

    /// From the number a store keeps.
    pub const fn from_i64(number: i64) -> Self {
        Self(number)
    }

    /// The number a store keeps.
    pub const fn as_i64(self) -> i64 {
        self.0
    }

    /// The number that is `offset` higher.
    #[must_use]
    pub const fn plus(self, offset: u16) -> Self {
        Self(self.0.saturating_add(offset as i64))
    }

    /// How far this number lies behind `first`, if that is less than a window.
    pub fn offset_from(self, first: Self) -> Option<u16> {
        u16::try_from(self.0.checked_sub(first.0)?)
            .ok()
            .filter(|offset| *offset < WINDOW)
    }
}

/// The most seqs a batch of a broadcast spans.
pub const WINDOW: u16 = 4096;

/// The most subscriptions a batch of hand-picked ones has.
pub const MAX_MEMBERS: usize = 256;

/// A store's own number of a batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BatchId(i64);

impl BatchId {
    /// From the number a store keeps.
    pub const fn from_i64(number: i64) -> Self {
        Self(number)
    }

    /// The number a store keeps.
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

/// A place in a batch, counted from 0: the offset from a range's first seq, or the index in a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(pub u16);

/// Which of two queues a batch waits in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Messages to people and hand-picked subscriptions: they pass a running broadcast.
    Direct,
    /// Broadcasts.
    Bulk,
}

impl Lane {
    /// Both, the one that goes first first.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Bulk];

    /// The number a store keeps; a smaller one goes first.
    pub const fn as_i64(self) -> i64 {
        match self {
            Self::Direct => 0,
            Self::Bulk => 1,
        }
    }

    /// Reads [`Self::as_i64`].
    pub fn from_i64(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_i64() == number)
    }
}

/// The subscriptions of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selection {
    /// Those of the range's seqs whose bit is set.
    Range {
        /// Seq of position 0.
        first: Seq,
        /// One bit a seq, at most [`WINDOW`].
        members: Bitmap,
    },
    /// A short list, in rising order.
    Members(Vec<Seq>),
}

impl Selection {
    /// How many positions there are, members or not.
    pub fn span(&self) -> u16 {
        match self {
            Self::Range { members, .. } => members.len(),
            Self::Members(seqs) => u16::try_from(seqs.len()).unwrap_or(u16::MAX),
        }
    }

    /// How many members there are.
    pub fn member_count(&self) -> u32 {
        match self {
            Self::Range { members, .. } => members.count(),
            Self::Members(seqs) => u32::try_from(seqs.len()).unwrap_or(u32::MAX),
        }
    }

    /// The member at a position.
    pub fn seq_at(&self, position: Position) -> Option<Seq> {
        match self {
            Self::Range { first, members } => {
                members.get(position.0).then(|| first.plus(position.0))
            }
            Self::Members(seqs) => seqs.get(usize::from(position.0)).copied(),
        }
    }

    /// The positions of all members whose bit in `settled` is not set, in rising order.
    pub fn unsettled<'a>(
        &'a self,
        settled: &'a Bitmap,
    ) -> impl Iterator<Item = (Position, Seq)> + 'a {
        (0..self.span())
            .filter(|position| !settled.get(*position))
            .filter_map(|position| Some((Position(position), self.seq_at(Position(position))?)))
    }
}

/// A batch that the planner cut and no store has numbered yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBatch {
    /// The push service all of its members have.
    pub group: PushServiceGroup,
    /// When its deliveries are due. Their deadline is this plus the message's TTL.
    pub due_at: Timestamp,
    /// Its members.
    pub selection: Selection,
}

/// A batch as a worker gets it.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The store's number of it.
    pub id: BatchId,
    /// The message to send.
    pub message: MessageId,
    /// Whose message it is.
    pub application: ApplicationId,
    /// The push service all of its members have.
    pub group: PushServiceGroup,
    /// The queue it waited in.
    pub lane: Lane,
    /// When its deliveries were due.
    pub due_at: Timestamp,
    /// Its members.
    pub selection: Selection,
    /// One bit a position: set where the outcome is final.
    pub settled: Bitmap,
}

/// A worker's claim on a batch. Whoever does not hold the token can record nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The batch that is claimed.
    pub batch: BatchId,
    /// Random, new with each claim.
    pub token: [u8; 16],
}

/// A batch together with the claim on it.
#[derive(Clone, Debug)]
pub struct LeasedBatch {
    /// The batch.
    pub batch: Batch,
    /// The claim.
    pub lease: Lease,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_less_than_a_window() {
        assert_eq!(
            Seq::from_i64(4097).offset_from(Seq::from_i64(4096)),
            Some(1)
        );
        assert_eq!(Seq::from_i64(8192).offset_from(Seq::from_i64(4096)), None);
        assert_eq!(Seq::from_i64(1).offset_from(Seq::from_i64(4096)), None);
    }

    #[test]
    fn both_selections_tell_their_unsettled_members() {
        let mut members = Bitmap::new(10);
        for position in [1, 3, 9] {
            members.set(position);
        }
        let range = Selection::Range {
            first: Seq::from_i64(100),
            members,
        };
        let mut settled = Bitmap::new(10);
        settled.set(3);
        let left: Vec<_> = range.unsettled(&settled).collect();
        assert_eq!(
            left,
            [
                (Position(1), Seq::from_i64(101)),
                (Position(9), Seq::from_i64(109))
            ]
        );
        assert_eq!(range.member_count(), 3);

        let list = Selection::Members(vec![Seq::from_i64(5), Seq::from_i64(900)]);
        let mut settled = Bitmap::new(2);
        settled.set(0);
        assert_eq!(
            list.unsettled(&settled).collect::<Vec<_>>(),
            [(Position(1), Seq::from_i64(900))]
        );
        assert_eq!(list.seq_at(Position(2)), None);
    }
}
