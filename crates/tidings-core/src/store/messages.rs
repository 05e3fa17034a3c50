//! Messages, their plans, and receipts.

use async_trait::async_trait;

use crate::application::ApplicationId;
use crate::batch::{BatchId, NewBatch, Seq};
use crate::clock::Timestamp;
use crate::id::MessageId;
use crate::message::{MessageRecord, MessageToSend, NewMessage, Plan};
use crate::receipt::Receipt;
use crate::store::{Page, PageRequest, StoreError};
use crate::subscription::PushServiceGroup;

/// A caller's promise that two requests are the same one. It counts as new after 24 hours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// SHA-256 of the key's text.
    pub key: [u8; 32],
    /// SHA-256 of the request's body.
    pub body: [u8; 32],
}

/// What became of a message that was to be accepted.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It is durable.
    New(MessageRecord),
    /// The same request was accepted before.
    Before(MessageRecord),
    /// The idempotency key was used with another body.
    KeyReused,
}

/// One subscription of an audience, as the planner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AudienceMember {
    /// Its number.
    pub seq: Seq,
    /// Its push service.
    pub group: PushServiceGroup,
}

/// How much is planned together, and who goes first.
#[derive(Clone, Copy, Debug)]
pub struct PlanRound {
    /// The present.
    pub now: Timestamp,
    /// Applications take turns: the first is the one behind this, by number.
    pub after: ApplicationId,
    /// Direct messages at most: the first of each application, then the second of each, and so on.
    pub direct: u16,
    /// Without a direct message: broadcasts at most, the first of each application.
    pub bulk: u16,
}

/// A step of the planner: batches, and how far the audience has been walked with them.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// The message.
    pub message: MessageId,
    /// Where this step began. If the stored cursor is elsewhere, the step is not taken.
    pub from: Seq,
    /// Where it ended.
    pub to: Seq,
    /// The batches it cut.
    pub batches: Vec<NewBatch>,
    /// Whether the whole audience has been walked.
    pub complete: bool,
    /// The present.
    pub now: Timestamp,
}

/// Messages and their plans.
#[async_trait]
pub trait MessageStore: Send + Sync {
    /// Accepts a message. When this returns it is durable. Its cutoff, the highest seq of the
    /// application, is read in the same transaction.
    async fn accept(
        &self,
        new: NewMessage,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Accepted, StoreError>;

    /// One message with its counts.
    async fn message(
        &self,
        app: ApplicationId,
        id: MessageId,
    ) -> Result<Option<MessageRecord>, StoreError>;

    /// Messages, newest first.
    async fn messages(
        &self,
        app: ApplicationId,
        page: PageRequest<MessageId>,
    ) -> Result<Page<MessageRecord, MessageId>, StoreError>;

    /// What a worker needs to send a message.
    async fn message_to_send(&self, id: MessageId) -> Result<Option<MessageToSend>, StoreError>;

    /// The messages that are due and to be planned next: direct ones before broadcasts, and fairly
    /// among applications. An application's own come in the order of their ids, those that wait for
    /// an instant behind those to be sent at once. What this costs does not depend on how many
    /// messages wait. One that cannot be read any more has failed and keeps no other from its turn.
    async fn next_plans(&self, round: PlanRound) -> Result<Vec<Plan>, StoreError>;

    /// What is kept of a message cannot be read: it has failed, and nothing more of it is sent.
    /// `false` if it was neither being planned nor being sent.
    async fn fail_message(&self, id: MessageId, now: Timestamp) -> Result<bool, StoreError>;

    /// The next members of a plan's audience behind its cursor, in rising order: the active ones,
    /// at most `limit`, none behind the cutoff or behind `through`.
    async fn audience(
        &self,
        plan: &Plan,
        through: Seq,
        limit: u16,
    ) -> Result<Vec<AudienceMember>, StoreError>;

    /// Adds a step's batches and moves the cursor, both or neither. The numbers of the batches;
    /// `None` if the stored cursor is not where the step began. A plan that is complete and has no
    /// open batch is done.
    async fn add_planned(&self, step: PlannedStep) -> Result<Option<Vec<BatchId>>, StoreError>;
}

/// Receipts.
#[async_trait]
pub trait ReceiptStore: Send + Sync {
    /// Keeps receipts of one application's messages and counts those that are new; each event of a
    /// subscription counts once. Returns how many were new.
    async fn add_receipts(
        &self,
        app: ApplicationId,
        receipts: Vec<Receipt>,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}
