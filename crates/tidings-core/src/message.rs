//! Messages: what a caller asks to send, and what became of it.

use std::time::Duration;

use tidings_webpush::{Topic, Urgency};

use crate::application::ApplicationId;
use crate::batch::{Lane, Seq};
use crate::clock::Timestamp;
use crate::content::Content;
use crate::id::{MessageId, SubscriptionId};
use crate::subscription::UserId;

/// A message that is about to be accepted.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its identifier.
    pub id: MessageId,
    /// Whose it is.
    pub application: ApplicationId,
    /// Who gets it.
    pub audience: Audience,
    /// What they get.
    pub content: Content,
    /// How push services are to treat it.
    pub options: MessageOptions,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is due.
    pub due_at: Timestamp,
}

/// Who gets a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Every active subscription of the application.
    All,
    /// These subscriptions, and all subscriptions of these people. Unknown ones are nobody.
    Listed {
        /// Hand-picked subscriptions.
        subscriptions: Vec<SubscriptionId>,
        /// People.
        users: Vec<UserId>,
    },
}

/// The most entries of an [`Audience::Listed`] that still go by the direct lane.
pub const DIRECT_AUDIENCE: usize = 100;

impl Audience {
    /// The lane its batches wait in.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Listed {
                subscriptions,
                users,
            } if subscriptions.len() + users.len() <= DIRECT_AUDIENCE => Lane::Direct,
            Self::Listed { .. } | Self::All => Lane::Bulk,
        }
    }
}

/// How push services are to treat a message (RFC 8030 §5.2 to §5.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageOptions {
    /// How long after its due instant it may still arrive. Whole seconds, at most 28 days.
    pub ttl: Duration,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Which undelivered message it replaces.
    pub topic: Option<Topic>,
}

/// The TTL of a message whose caller names none.
pub const DEFAULT_TTL: Duration = Duration::from_hours(24);

/// The longest TTL: what the strictest push service takes (`docs/api.md`).
pub const MAX_TTL: Duration = Duration::from_hours(28 * 24);

/// A message as the API shows it.
#[derive(Clone, Debug)]
pub struct MessageRecord {
    /// Its identifier.
    pub id: MessageId,
    /// Whose it is.
    pub application: ApplicationId,
    /// How far it is.
    pub state: MessageState,
    /// How push services are to treat it.
    pub options: MessageOptions,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is due.
    pub due_at: Timestamp,
    /// When its last outcome was recorded.
    pub done_at: Option<Timestamp>,
    /// What became of its deliveries.
    pub counts: MessageCounts,
    /// What the browsers reported.
    pub receipts: ReceiptCounts,
}

/// How far a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageState {
    /// Waits for its due instant.
    Scheduled,
    /// Its audience is being walked.
    Planning,
    /// All of its batches are cut; some are not finished.
    Sending,
    /// Every outcome is recorded.
    Done,
    /// Cancelled by a caller.
    Cancelled,
    /// Could not be planned.
    Failed,
}

impl MessageState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Planning,
        Self::Sending,
        Self::Done,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The state's name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Planning => "planning",
            Self::Sending => "sending",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What became of a message's deliveries. `targeted` is the sum of [`Self::pending`] and all other
/// counts at any instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageCounts {
    /// Members of all batches cut so far.
    pub targeted: u64,
    /// Waiting for another attempt.
    pub retrying: u64,
    /// Taken by the push service.
    pub accepted: u64,
    /// Answered with 404 or 410: the subscription is gone.
    pub gone: u64,
    /// Refused by the push service, this delivery only.
    pub refused: u64,
    /// Not accepted before the deadline.
    pub expired: u64,
    /// Ended before its turn.
    pub ended: u64,
    /// Cancelled before its turn.
    pub cancelled: u64,
}

impl MessageCounts {
    /// Deliveries whose first attempt has no outcome yet.
    pub fn pending(&self) -> u64 {
        let other = self.retrying
            + self.accepted
            + self.gone
            + self.refused
            + self.expired
            + self.ended
            + self.cancelled;
        self.targeted.saturating_sub(other)
    }
}

/// What browsers reported of a message. Each event of a subscription counts once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceiptCounts {
    /// Notifications shown.
    pub shown: u64,
    /// Notifications clicked.
    pub clicked: u64,
    /// Notifications dismissed.
    pub dismissed: u64,
}

/// A message whose audience the planner is to walk.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The message.
    pub message: MessageId,
    /// Whose it is.
    pub application: ApplicationId,
    /// Who gets it.
    pub audience: Audience,
    /// The last seq that existed when the message was accepted.
    pub cutoff: Seq,
    /// How far the audience was walked.
    pub cursor: Seq,
    /// When its deliveries are due.
    pub due_at: Timestamp,
}

/// What a worker needs of a message besides its batch.
#[derive(Clone, Debug)]
pub struct MessageToSend {
    /// What to send.
    pub content: Content,
    /// How push services are to treat it.
    pub options: MessageOptions,
    /// Whether it was cancelled.
    pub cancelled: bool,
}
