//! The queue between planner and workers carries hints and nothing else: a lost one costs time, not
//! messages, because due batches without a lease are looked for anyway.

use async_trait::async_trait;

use crate::batch::Lane;
use crate::subscription::PushServiceGroup;

/// Says that something is due at a push service.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DueHint {
    /// The push service.
    pub group: PushServiceGroup,
    /// The lane.
    pub lane: Lane,
}

/// Carries hints to whoever claims batches: in one process a channel, in a cluster a stream.
#[async_trait]
pub trait BatchQueue: Send + Sync {
    /// Tells that batches are due. Never waits: a hint that finds no room is dropped.
    async fn announce(&self, hint: DueHint);

    /// The next hint.
    async fn next(&self) -> DueHint;
}

/// How a use case tells the engine that there is something to plan, without knowing it.
pub trait WakePlanner: Send + Sync {
    /// A message was accepted.
    fn message_accepted(&self);
}
