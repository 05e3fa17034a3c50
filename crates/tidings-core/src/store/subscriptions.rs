//! Subscriptions.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use tidings_webpush::{ContentEncoding, Subscription};

use crate::application::ApplicationId;
use crate::attributes::Attributes;
use crate::batch::Seq;
use crate::clock::Timestamp;
use crate::id::{SubscriptionId, VapidKeyId};
use crate::mac::EndpointHash;
use crate::store::{PageRequest, StoreError};
use crate::subscription::{Locale, SubscriptionRecord, SubscriptionState, TimeZoneName, UserId};

/// A subscription to register.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// The identifier it gets if it is new.
    pub id: SubscriptionId,
    /// Whose it is.
    pub application: ApplicationId,
    /// The browser's part.
    pub subscription: Subscription,
    /// The endpoint's identity within the application.
    pub endpoint_hash: EndpointHash,
    /// The VAPID key it was made with, if that was said. Not said, a known subscription keeps its
    /// own; said, it corrects that.
    pub vapid_key: Option<VapidKeyId>,
    /// The key of a new subscription if none was said.
    pub default_vapid_key: VapidKeyId,
    /// How to encrypt for it, if that was said.
    pub encoding: Option<ContentEncoding>,
    /// What was said about it. What was not said stays as it was.
    pub change: SubscriptionChange,
    /// How many active subscriptions its person may have.
    pub max_per_user: NonZeroU32,
    /// When the browser showed it last, if that was long ago and somebody kept it. A new one was seen
    /// now if nothing is said.
    pub seen_at: Option<Timestamp>,
    /// The present.
    pub now: Timestamp,
}

/// What to change about a subscription. `None` leaves a part as it is.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionChange {
    /// The person; `Some(None)` detaches it from everybody.
    pub user: Option<Option<UserId>>,
    /// All of the attributes.
    pub attributes: Option<Attributes>,
    /// The language.
    pub locale: Option<Option<Locale>>,
    /// The time zone.
    pub timezone: Option<Option<TimeZoneName>>,
}

/// What became of a registration.
#[derive(Clone, Debug)]
pub enum Registration {
    /// It is new.
    Created(SubscriptionRecord),
    /// The same endpoint with the same keys was known: updated, and active again.
    Updated(SubscriptionRecord),
    /// The endpoint is known with other keys. Nothing was changed: knowing an endpoint gives
    /// nobody its subscription.
    OtherKeys,
    /// It would become one more active subscription of its person than are allowed. Nothing was
    /// changed.
    TooManyOfUser,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Changed {
    /// It was made.
    Changed(Box<SubscriptionRecord>),
    /// It would give the person one more active subscription than are allowed. Nothing was
    /// changed.
    TooManyOfUser,
}

/// Which subscriptions to list.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionFilter {
    /// Only those in this state.
    pub state: Option<SubscriptionState>,
    /// Only this person's.
    pub user: Option<UserId>,
}

/// A part of a list of subscriptions.
#[derive(Clone, Debug)]
pub struct SubscriptionPage {
    /// Those that can be read.
    pub items: Vec<SubscriptionRecord>,
    /// The others of this part: what is kept of them is damaged.
    pub damaged: Vec<SubscriptionId>,
    /// The key to ask for the next part with; `None` at the end.
    pub next: Option<Seq>,
}

/// Subscriptions.
#[async_trait]
pub trait SubscriptionStore: Send + Sync {
    /// Registers a subscription. When this returns it is durable and has a seq above that of
    /// every registration that returned before.
    async fn register(&self, new: NewSubscription) -> Result<Registration, StoreError>;

    /// Whether a subscription with this endpoint is kept, in any state.
    async fn knows_endpoint(
        &self,
        app: ApplicationId,
        endpoint: EndpointHash,
    ) -> Result<bool, StoreError>;

    /// One subscription, in any state.
    async fn subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
    ) -> Result<Option<SubscriptionRecord>, StoreError>;

    /// Subscriptions, newest first. A damaged one is named and keeps no other from being listed.
    async fn subscriptions(
        &self,
        app: ApplicationId,
        filter: SubscriptionFilter,
        page: PageRequest<Seq>,
    ) -> Result<SubscriptionPage, StoreError>;

    /// Changes what is said about a subscription. `None` if there is none with this id.
    /// `max_per_user` as in [`NewSubscription`].
    async fn change_subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        change: SubscriptionChange,
        max_per_user: NonZeroU32,
    ) -> Result<Option<Changed>, StoreError>;

    /// Ends a subscription: it becomes a tombstone. `false` if there is none with this id.
    async fn end_subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Takes the turn for a test notification. If the last one was less than `pause` ago, says how
    /// long to wait instead.
    async fn take_test_turn(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        now: Timestamp,
        pause: Duration,
    ) -> Result<Option<Duration>, StoreError>;
}
