//! Subscriptions come from elsewhere, by the million.

use tidings_webpush::{ContentEncoding, Subscription};

use crate::application::Application;
use crate::application_server::register_subscription::{active_key, keys_in_use};
use crate::application_server::{ApplicationServer, RegisterError};
use crate::attributes::Attributes;
use crate::clock::Timestamp;
use crate::id::{SubscriptionId, VapidKeyId};
use crate::store::{Imported, NewSubscription, StoreError, SubscriptionChange};
use crate::subscription::{Locale, TimeZoneName, UserId};
use crate::vapid_key::VapidKeyName;

/// One subscription of an import, as the back end that kept it says.
#[derive(Debug)]
pub struct ImportRequest {
    /// The browser's part.
    pub subscription: Subscription,
    /// The application's attributes, if they are to be set.
    pub attributes: Option<Attributes>,
    /// The language, as the browser spells it.
    pub locale: Option<String>,
    /// The time zone, as the browser spells it.
    pub timezone: Option<String>,
    /// The VAPID key it was made with.
    pub vapid_key: Option<VapidKeyName>,
    /// How to encrypt for it.
    pub encoding: Option<ContentEncoding>,
    /// `PushManager.supportedContentEncodings`, where `encoding` is not said.
    pub encodings: Option<Vec<String>>,
    /// Whom it belongs to.
    pub user: Option<UserId>,
    /// When the browser showed it last.
    pub last_seen_at: Option<Timestamp>,
}

/// The VAPID keys that the subscriptions of an import may have been made with. Read for many lines at
/// once: an import of a million lines asks for them a million times.
#[derive(Clone, Debug)]
pub struct ImportKeys {
    in_use: Vec<(VapidKeyId, String)>,
    active: VapidKeyId,
}

impl ImportKeys {
    fn find(&self, name: &VapidKeyName) -> Option<VapidKeyId> {
        let is_meant = |(id, public): &&(VapidKeyId, String)| match name {
            VapidKeyName::Id(named) => id == named,
            VapidKeyName::PublicKey(named) => public == named,
        };
        self.in_use.iter().find(is_meant).map(|(id, _)| *id)
    }
}

impl ApplicationServer {
    /// The keys for the lines that are looked at next: in the course of an import they may change.
    pub async fn import_keys(
        &self,
        application: &Application,
    ) -> Result<ImportKeys, RegisterError> {
        let keys = self.parts.store.vapid_keys(application.id).await?;
        Ok(ImportKeys {
            in_use: keys_in_use(&keys)
                .map(|key| (key.id, key.public_key.to_base64url()))
                .collect(),
            active: active_key(&keys).ok_or(RegisterError::NoActiveKey)?,
        })
    }

    /// Checks a subscription of an import as its registration would, and prepares it for
    /// [`Self::import_subscriptions`]. Takes some microseconds of computing and waits for nothing.
    pub fn prepare_import(
        &self,
        application: &Application,
        keys: &ImportKeys,
        request: ImportRequest,
    ) -> Result<NewSubscription, RegisterError> {
        let push_resource = &request.subscription.push_resource;
        self.parts.admission.admit(push_resource)?;
        let find = |name| {
            let found = keys.find(&name);
            found.ok_or(RegisterError::UnknownVapidKey(name))
        };
        let choose =
            |names: Vec<String>| ContentEncoding::choose(&names).ok_or(RegisterError::NoEncoding);
        let encoding = match request.encoding {
            Some(encoding) => Some(encoding),
            None => request.encodings.map(choose).transpose()?,
        };
        let now = self.parts.clock.now();
        Ok(NewSubscription {
            id: SubscriptionId::new(now, self.parts.randomness.as_ref()),
            application: application.id,
            endpoint_hash: self.parts.macs.endpoint(application.id, push_resource),
            subscription: request.subscription,
            vapid_key: request.vapid_key.map(find).transpose()?,
            default_vapid_key: keys.active,
            encoding,
            change: SubscriptionChange {
                user: request.user.map(Some),
                attributes: request.attributes,
                locale: request.locale.map(|tag| Locale::parse(&tag)),
                timezone: request.timezone.map(|name| TimeZoneName::parse(&name)),
            },
            max_per_user: application.max_subscriptions_per_user,
            seen_at: request.last_seen_at,
            now,
        })
    }

    /// Keeps what was prepared, and says of each what became of it, in the same order.
    pub async fn import_subscriptions(
        &self,
        prepared: Vec<NewSubscription>,
    ) -> Result<Vec<Imported>, StoreError> {
        self.parts.store.import(prepared).await
    }
}
