//! What Tidings asks of its storage. Two implementations, one conformance suite.
//!
//! The traits are shaped as whole operations: one method, one transaction. Nothing of SQL, rows or
//! transactions shows.

mod api_tokens;
mod batches;
mod imports;
mod messages;
mod setup;
mod subscriptions;

use crate::sealing::SealingError;
pub use crate::store::api_tokens::{ApiTokenStore, ApiTokenUse, NewApiToken};
pub use crate::store::batches::{
    BatchStore, Claim, DueGroup, LoadedMember, LoadedMembers, PassEnd, PassTimes, Recorded,
    SendTarget, SuspectedWave,
};
pub use crate::store::imports::{
    ImportStore, Imported, RestoreStore, Restored, SuspectPage, SuspectsDecided,
};
pub use crate::store::messages::{
    Accepted, AudienceMember, IdempotencyKey, MessageStore, PlanRound, PlannedStep, ReceiptStore,
};
pub use crate::store::setup::{
    KeptToken, MOST_KEPT_TOKENS, NewVapidKey, SetupStore, Sweep, Swept, VapidKeyStore,
};
pub use crate::store::subscriptions::{
    Changed, NewSubscription, Registration, SubscriptionChange, SubscriptionFilter,
    SubscriptionPage, SubscriptionStore,
};

/// What planning and sending need of a store.
pub trait SendingStore: VapidKeyStore + MessageStore + BatchStore {}

impl<S> SendingStore for S where S: VapidKeyStore + MessageStore + BatchStore {}

/// Everything a Tidings server keeps.
pub trait Store:
    SetupStore
    + ApiTokenStore
    + SubscriptionStore
    + ImportStore
    + RestoreStore
    + SendingStore
    + ReceiptStore
{
}

impl<S> Store for S where
    S: SetupStore
        + ApiTokenStore
        + SubscriptionStore
        + ImportStore
        + RestoreStore
        + SendingStore
        + ReceiptStore
{
}

/// Why an operation of a store failed. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The batch was claimed by somebody else, or by an earlier run of this process.
    #[error("the lease on the batch is lost")]
    LeaseLost,
    /// The database cannot be used right now: locked, full, gone, overloaded.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] BoxError),
    /// The database refused: a constraint, damaged data, or a mistake of ours.
    #[error("the database refused: {0}")]
    Refused(#[source] BoxError),
    /// A stored value cannot be read.
    #[error("a stored value cannot be read: {0}")]
    Unreadable(&'static str),
    /// A secret could not be sealed or opened.
    #[error(transparent)]
    Sealing(#[from] SealingError),
}

/// An error of a database driver.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether a stored value is damaged: this one alone, and for good.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Unreadable(_) | Self::Sealing(SealingError::Damaged(_))
        )
    }
}

/// A part of a list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<K> {
    /// Only what comes after this key in the list's order.
    pub after: Option<K>,
    /// At most so many.
    pub limit: u16,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T, K> {
    /// The entries.
    pub items: Vec<T>,
    /// The key to ask for the next part with; `None` at the end.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// A page from `limit + 1` fetched entries: the surplus one only says that there are more.
    pub fn from_surplus(mut items: Vec<T>, limit: u16, key: impl Fn(&T) -> K) -> Self {
        let limit = usize::from(limit);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}
