//! Receipts: what browsers report about a notification.

use crate::clock::Timestamp;
use crate::id::{MessageId, SubscriptionId};

/// What happened to a notification on a screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The message it showed.
    pub message: MessageId,
    /// The subscription it arrived through.
    pub subscription: SubscriptionId,
    /// What happened.
    pub event: ReceiptEvent,
    /// The action that was clicked, if it was not the notification itself.
    pub action: Option<String>,
    /// When, by the browser's clock; never later than when it was received.
    pub at: Timestamp,
}

/// The most receipts one report may hold.
pub const MAX_RECEIPTS: usize = 100;

/// The most octets of [`Receipt::action`].
pub const MAX_ACTION_BYTES: usize = 64;

/// What can happen to a notification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReceiptEvent {
    /// It was shown.
    Shown,
    /// It, or one of its actions, was clicked.
    Clicked,
    /// It was closed without a click.
    Dismissed,
}

impl ReceiptEvent {
    /// All events.
    pub const ALL: [Self; 3] = [Self::Shown, Self::Clicked, Self::Dismissed];

    /// The event's name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Clicked => "clicked",
            Self::Dismissed => "dismissed",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}
