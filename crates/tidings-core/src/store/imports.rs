//! Subscriptions by the million: brought from elsewhere, and brought back.

use std::num::NonZeroU32;

use async_trait::async_trait;

use crate::application::ApplicationId;
use crate::batch::Seq;
use crate::clock::Timestamp;
use crate::id::SubscriptionId;
use crate::store::{NewSubscription, StoreError};
use crate::subscription::{PushServiceGroup, SubscriptionRecord, SubscriptionState};

/// What became of one subscription of an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Imported {
    /// It is new.
    Created,
    /// The same endpoint with the same keys was known, and active: updated.
    Updated,
    /// The endpoint is known with other keys. Nothing was changed.
    OtherKeys,
    /// It would become one more active subscription of its person than are allowed. Nothing was
    /// changed.
    TooManyOfUser,
    /// It is known and cannot be sent to any more. Nothing was changed: a file, which may be old,
    /// is no sign of life, as a browser's own registration is.
    NotActive(SubscriptionState),
    /// What is kept of this endpoint is damaged, so nobody can say whether the keys are the same.
    /// Nothing was changed.
    Damaged(SubscriptionId),
}

/// Subscriptions that come from another server, or from a back end's own table.
#[async_trait]
pub trait ImportStore: Send + Sync {
    /// Registers many in their order, and says of each what became of it, in the same order. When
    /// this returns, they are durable. It is done in short pieces, between which everything else is
    /// written; of one that fails, the pieces before it stay.
    async fn import(&self, new: Vec<NewSubscription>) -> Result<Vec<Imported>, StoreError>;
}

/// What became of one that is to be restored.
#[derive(Clone, Debug)]
pub enum Restored {
    /// It is active, and was before if nothing was to do.
    Active(Box<SubscriptionRecord>),
    /// It was unsubscribed, which was not to be overruled. Nothing was changed.
    Ended,
    /// It would become one more active subscription of its person than are allowed. Nothing was
    /// changed.
    TooManyOfUser,
}

/// Which suspected subscriptions to decide about: a part of those of one push service.
#[derive(Clone, Debug)]
pub struct SuspectPage {
    /// Whose they are.
    pub application: ApplicationId,
    /// Where they are.
    pub group: PushServiceGroup,
    /// Only what comes after this one, in the order of registration.
    pub after: Seq,
    /// At most so many.
    pub limit: u16,
    /// The present.
    pub now: Timestamp,
}

/// What became of a part of the suspected ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SuspectsDecided {
    /// Those that were changed.
    pub changed: u64,
    /// Those whose person has as many active subscriptions as are allowed. They stay as they were.
    pub left: u64,
    /// Where the next part begins; `None` at the end.
    pub next: Option<Seq>,
}

/// Tombstones, and what may become one: undone or confirmed.
#[async_trait]
pub trait RestoreStore: Send + Sync {
    /// Makes a tombstone or a suspected subscription active again; one that was unsubscribed only
    /// if `even_ended`. `None` if there is none with this id. `max_per_user` as in
    /// [`NewSubscription`].
    async fn restore(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        even_ended: bool,
        max_per_user: NonZeroU32,
    ) -> Result<Option<Restored>, StoreError>;

    /// Makes suspected subscriptions active again.
    async fn restore_suspects(
        &self,
        page: SuspectPage,
        max_per_user: NonZeroU32,
    ) -> Result<SuspectsDecided, StoreError>;

    /// Makes tombstones of suspected subscriptions: the push service was right.
    async fn confirm_suspects(&self, page: SuspectPage) -> Result<SuspectsDecided, StoreError>;
}
