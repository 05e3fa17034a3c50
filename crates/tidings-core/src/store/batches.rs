//! Batches: claiming, loading, recording.

use async_trait::async_trait;
use tidings_webpush::{ContentEncoding, Subscription};

use crate::application::ApplicationId;
use crate::batch::{Batch, Lane, Lease, LeasedBatch, Position};
use crate::clock::Timestamp;
use crate::delivery::Outcome;
use crate::id::{SubscriptionId, VapidKeyId};
use crate::store::StoreError;
use crate::subscription::PushServiceGroup;

/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Batches of this application.
    pub application: ApplicationId,
    /// Batches of this push service.
    pub group: PushServiceGroup,
    /// Batches of this lane.
    pub lane: Lane,
    /// At most so many.
    pub limit: u16,
    /// The random token of this claim, new each time.
    pub token: [u8; 16],
    /// Batches whose `not_before` is not after this instant.
    pub now: Timestamp,
}

/// Somewhere, something is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueGroup {
    /// Whose batches they are.
    pub application: ApplicationId,
    /// The push service.
    pub group: PushServiceGroup,
    /// The lane.
    pub lane: Lane,
    /// When the first batch that nobody has claimed is due.
    pub not_before: Timestamp,
}

/// Members of a batch, as far as they were asked for.
#[derive(Clone, Debug, Default)]
pub struct LoadedMembers {
    /// Those whose turn it is.
    pub turn: Vec<LoadedMember>,
    /// Those who wait for a later attempt, and until when.
    pub waiting: Vec<(Position, Timestamp)>,
}

/// A member of a batch whose turn it is.
#[derive(Clone, Debug)]
pub struct LoadedMember {
    /// Its place in the batch.
    pub position: Position,
    /// Attempts made before.
    pub attempts: u32,
    /// Its subscription; `None` if, since the batch was cut, that was ended, is gone, came to belong to
    /// nobody that the message names, or cannot be read any more.
    pub target: Option<Box<SendTarget>>,
}

/// A subscription, as far as sending needs it.
#[derive(Clone, Debug)]
pub struct SendTarget {
    /// Its identifier.
    pub id: SubscriptionId,
    /// Where and for whom to encrypt.
    pub subscription: Subscription,
    /// How to encrypt.
    pub encoding: ContentEncoding,
    /// Which key to sign with.
    pub vapid_key: VapidKeyId,
    /// Whether a push service has accepted a message for it that was signed with this key.
    pub has_accepted: bool,
}

/// What recording led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recorded {
    /// Subscriptions that became suspect: those recorded as gone in a wave, and tombstones from
    /// right before it.
    pub suspected: u32,
}

/// Suspect subscriptions of one application at one push service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SuspectedWave {
    /// Whose they are.
    pub application: ApplicationId,
    /// The push service that said they are gone.
    pub group: PushServiceGroup,
    /// How many there are.
    pub subscriptions: u64,
    /// Since when the first of them is suspect.
    pub since: Timestamp,
}

/// When a pass over a batch was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassTimes {
    /// When it looked last who is due: at its beginning, or later.
    pub looked_at: Timestamp,
    /// When it ends: the present.
    pub now: Timestamp,
    /// When members are due whose turn it was and who have no outcome; without it at once.
    pub resume_at: Option<Timestamp>,
}

impl PassTimes {
    /// One that takes no time and leaves out nobody.
    pub fn at(now: Timestamp) -> Self {
        Self {
            looked_at: now,
            now,
            resume_at: None,
        }
    }
}

/// How a pass over a batch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassEnd {
    /// All outcomes are final.
    Done {
        /// And with them those of the whole message.
        message_done: bool,
    },
    /// Some deliveries wait for another attempt, the first of them for this instant.
    Again {
        /// When the batch is due again.
        not_before: Timestamp,
    },
}

/// Batches.
#[async_trait]
pub trait BatchStore: Send + Sync {
    /// The applications, push services and lanes with batches that nobody has claimed, due or not.
    /// Costs a step for each of them, however many batches there are.
    async fn due_groups(&self) -> Result<Vec<DueGroup>, StoreError>;

    /// Claims due batches, the earliest due first. A claim ends when its pass is finished, when it
    /// is released, or when it is lost: on SQLite with the process, on PostgreSQL with its time.
    async fn claim_due(&self, claim: Claim) -> Result<Vec<LeasedBatch>, StoreError>;

    /// The members at `positions`: whose turn it is, and who waits for a later attempt. One that is not
    /// active any more has no target, nor has one that the message named by its person and that is
    /// not that person's any more.
    async fn load_members(
        &self,
        batch: &Batch,
        positions: Vec<Position>,
        now: Timestamp,
    ) -> Result<LoadedMembers, StoreError>;

    /// Records outcomes: final ones once and for all (recording one again changes nothing),
    /// others as the delivery's next attempt. Who accepts is known to have done so from then on, until
    /// it is registered with another VAPID key. Subscriptions that are gone become tombstones, or in a
    /// wave suspect ([`crate::pruning`]). All or nothing; [`StoreError::LeaseLost`] without the right
    /// token.
    async fn record(
        &self,
        lease: &Lease,
        outcomes: Vec<Outcome>,
        now: Timestamp,
    ) -> Result<Recorded, StoreError>;

    /// Where subscriptions are suspect: said to be gone in a wave, and waiting for an operator or for
    /// time to confirm it.
    async fn suspected_waves(&self) -> Result<Vec<SuspectedWave>, StoreError>;

    /// Ends a pass: the batch is done, or due again at its earliest next attempt. One that came due
    /// after the pass looked last is due as it was told; who had their turn in it and were not
    /// recorded are due at `resume_at`.
    async fn finish_pass(&self, lease: &Lease, times: PassTimes) -> Result<PassEnd, StoreError>;

    /// The clock was set back: what was never tried is due at once, and so is what waits for an instant
    /// later than `latest`. No delay is as long, so that instant was reckoned from a time that has not
    /// come. What a caller scheduled stays. How many batches.
    async fn due_after_clock_jump(
        &self,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Gives a claim back; what is recorded stays.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Keeps a claim alive. `false` if it is lost.
    async fn renew(&self, lease: &Lease) -> Result<bool, StoreError>;
}
