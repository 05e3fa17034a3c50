//! A page, or the back end on its behalf, hands over a subscription.

use std::num::NonZeroU32;

use tidings_webpush::{AdmissionError, ContentEncoding, PushResource, Subscription};

use crate::application::{Application, ApplicationId};
use crate::application_server::ApplicationServer;
use crate::application_server::page_user::{self, PageUserError};
use crate::attributes::Attributes;
use crate::id::{SubscriptionId, VapidKeyId};
use crate::mac::SubscriptionToken;
use crate::store::{NewSubscription, Registration, StoreError, SubscriptionChange};
use crate::subscription::{Locale, SubscriptionRecord, TimeZoneName, UserId};
use crate::user_token::UserToken;
use crate::vapid_key::{VapidKeyName, VapidKeyRecord, VapidKeyState};

/// Who says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// A page or service worker: a stranger.
    ByPage,
    /// The application's own back end: believed.
    ByBackEnd,
}

/// What is handed over.
#[derive(Debug)]
pub struct RegistrationRequest {
    /// The browser's part.
    pub subscription: Subscription,
    /// The application's attributes, if they are to be set.
    pub attributes: Option<Attributes>,
    /// The language, as the browser spells it.
    pub locale: Option<String>,
    /// The time zone, as the browser spells it.
    pub timezone: Option<String>,
    /// The VAPID key it was made with.
    pub vapid_key: Option<VapidKeyId>,
    /// `PushManager.supportedContentEncodings`.
    pub encodings: Option<Vec<String>>,
    /// Whom it belongs to.
    pub user: Option<UserId>,
    /// What proves that, where a page says it. A back end needs none: what its page brought is
    /// not looked at, so that it can hand over a page's words as they are.
    pub user_token: Option<UserToken>,
    /// Who says so.
    pub said: Said,
}

/// A registered subscription.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The subscription.
    pub record: SubscriptionRecord,
    /// What its page shows to change, test or end it.
    pub token: SubscriptionToken,
    /// Whether it is new.
    pub created: bool,
}

/// Why a subscription was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The endpoint must not be sent to.
    #[error(transparent)]
    NotAdmitted(#[from] AdmissionError),
    /// The endpoint is known with other keys.
    #[error("this endpoint is registered with other keys")]
    OtherKeys,
    /// A page was not believed about `user`.
    #[error(transparent)]
    User(#[from] PageUserError),
    /// The person has as many active subscriptions as the application allows.
    #[error("the user has {cap} active subscriptions already")]
    TooManySubscriptions {
        /// How many are allowed.
        cap: NonZeroU32,
    },
    /// The application has no such key, or it is retired.
    #[error("the application has no VAPID key {0} in use")]
    UnknownVapidKey(VapidKeyName),
    /// The browser supports no encoding that Tidings can make.
    #[error("`encodings` must contain `aes128gcm` or `aesgcm`")]
    NoEncoding,
    /// The application has no active key, so nothing can be sent to a subscription.
    #[error("the application has no active VAPID key")]
    NoActiveKey,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApplicationServer {
    /// Registers a subscription, or updates the known one with the same endpoint and keys.
    pub async fn register_subscription(
        &self,
        application: &Application,
        request: RegistrationRequest,
    ) -> Result<Registered, RegisterError> {
        self.parts
            .admission
            .admit(&request.subscription.push_resource)?;
        let now = self.parts.clock.now();
        let user = match request.said {
            Said::ByPage => {
                let token = request.user_token.as_ref();
                page_user::believed(application, request.user, token, now)?
            }
            Said::ByBackEnd => request.user,
        };
        let encoding = request
            .encodings
            .as_deref()
            .map(|names| ContentEncoding::choose(names).ok_or(RegisterError::NoEncoding))
            .transpose()?;
        let default_vapid_key = self
            .choose_vapid_key(application, request.vapid_key)
            .await?;
        let new = NewSubscription {
            id: SubscriptionId::new(now, self.parts.randomness.as_ref()),
            application: application.id,
            endpoint_hash: self
                .parts
                .macs
                .endpoint(application.id, &request.subscription.push_resource),
            subscription: request.subscription,
            vapid_key: request.vapid_key,
            default_vapid_key,
            encoding,
            change: SubscriptionChange {
                user: user.map(Some),
                attributes: request.attributes,
                locale: request.locale.map(|tag| Locale::parse(&tag)),
                timezone: request.timezone.map(|name| TimeZoneName::parse(&name)),
            },
            max_per_user: application.max_subscriptions_per_user,
            seen_at: None,
            now,
        };
        let (record, created) = match self.parts.store.register(new).await? {
            Registration::Created(record) => (record, true),
            Registration::Updated(record) => (record, false),
            Registration::OtherKeys => return Err(RegisterError::OtherKeys),
            Registration::TooManyOfUser => {
                let cap = application.max_subscriptions_per_user;
                return Err(RegisterError::TooManySubscriptions { cap });
            }
        };
        let token = self
            .parts
            .macs
            .subscription_token(record.id, &record.subscription.auth);
        Ok(Registered {
            record,
            token,
            created,
        })
    }

    /// Whether registering this push resource would make no new subscription.
    pub async fn knows(
        &self,
        application: ApplicationId,
        push_resource: &PushResource,
    ) -> Result<bool, StoreError> {
        let endpoint = self.parts.macs.endpoint(application, push_resource);
        self.parts.store.knows_endpoint(application, endpoint).await
    }

    /// The key that was named, if it is in use, else the active one.
    async fn choose_vapid_key(
        &self,
        application: &Application,
        named: Option<VapidKeyId>,
    ) -> Result<VapidKeyId, RegisterError> {
        let keys = self.parts.store.vapid_keys(application.id).await?;
        match named {
            Some(named) => keys_in_use(&keys)
                .find(|key| key.id == named)
                .map(|key| key.id)
                .ok_or(RegisterError::UnknownVapidKey(VapidKeyName::Id(named))),
            None => active_key(&keys).ok_or(RegisterError::NoActiveKey),
        }
    }
}

/// The keys that may be said to be a subscription's.
pub(super) fn keys_in_use(keys: &[VapidKeyRecord]) -> impl Iterator<Item = &VapidKeyRecord> {
    keys.iter()
        .filter(|key| key.state != VapidKeyState::Retired)
}

/// The key that pages subscribe with.
pub(super) fn active_key(keys: &[VapidKeyRecord]) -> Option<VapidKeyId> {
    keys.iter()
        .find(|key| key.state == VapidKeyState::Active)
        .map(|key| key.id)
}
