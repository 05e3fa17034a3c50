//! What pages and back ends say about a subscription.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidings_core::application_server::{OwnChange, Registered, RegistrationRequest, Said};
use tidings_core::attributes::Attributes;
use tidings_core::id::VapidKeyId;
use tidings_core::store::SubscriptionChange;
use tidings_core::subscription::{Locale, TimeZoneName, UserId};
use tidings_core::user_token::UserToken;
use tidings_webpush::{AuthSecret, PushResource, Subscription, UserAgentPublicKey};
use utoipa::ToSchema;

use crate::extract::body::escape;
use crate::extract::object::Object;
use crate::extract::patch::Patch;
use crate::extract::text::Text;
use crate::problem::ApiError;

/// `PushSubscription.toJSON()` as the browser gives it, with members of Tidings beside it. Members
/// that a browser adds are ignored. What is left out stays as it was, if the subscription is known.
#[derive(Deserialize, ToSchema)]
#[schema(as = Registration)]
pub(crate) struct RegistrationBody {
    /// The push resource.
    #[schema(value_type = String, format = "uri", max_length = 2048)]
    endpoint: Text<PushResource>,
    #[schema(value_type = SubscriptionKeys)]
    keys: Object<SubscriptionKeys>,
    /// What the application knows: a flat object of texts, numbers, booleans and lists of texts.
    #[schema(value_type = Option<crate::api::document::Attributes>)]
    attributes: Option<Object<Map<String, Value>>>,
    /// The user agent's language (BCP 47). One that is not valid is not kept.
    locale: Option<String>,
    /// The user agent's time zone (IANA). An unknown one is kept and treated as UTC.
    timezone: Option<String>,
    /// The id that came with the public key it was made with. If left out: the active key.
    #[schema(value_type = Option<String>, pattern = "^key_[0-9a-f]{32}$")]
    vapid_key: Option<Text<VapidKeyId>>,
    /// `PushManager.supportedContentEncodings`.
    encodings: Option<Vec<String>>,
    /// The application's own id of the person. A page is believed with a `user_token`, or if the
    /// application's setting `page_users` says so.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    user: Option<Text<UserId>>,
    /// What proves the person where a page says it: a JWT that the application's back end signed. Its
    /// `sub` is the user, also where `user` is left out. From a back end it is not looked at.
    #[schema(value_type = Option<String>, max_length = 4096)]
    user_token: Option<Text<UserToken>>,
}

/// The user agent's keys.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SubscriptionKeys {
    /// The public key: 65 octets in base64url.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{87}$")]
    pub(crate) p256dh: Text<UserAgentPublicKey>,
    /// The authentication secret: 16 octets in base64url.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{22}$")]
    pub(crate) auth: Text<AuthSecret>,
}

impl RegistrationBody {
    pub(crate) fn into_request(self, said: Said) -> Result<RegistrationRequest, ApiError> {
        let (Text(p256dh), Text(auth)) = (self.keys.0.p256dh, self.keys.0.auth);
        Ok(RegistrationRequest {
            subscription: Subscription {
                push_resource: self.endpoint.0,
                p256dh,
                auth,
            },
            attributes: self.attributes.as_ref().map(read_attributes).transpose()?,
            locale: self.locale,
            timezone: self.timezone,
            vapid_key: self.vapid_key.map(|Text(id)| id),
            encodings: self.encodings,
            user: self.user.map(|Text(user)| user),
            user_token: self.user_token.map(|Text(token)| token),
            said,
        })
    }
}

/// What is left out stays as it is; `null` clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SubscriptionChange)]
pub(crate) struct ChangeBody {
    /// All of the attributes: those that are not named here are removed.
    #[serde(default)]
    #[schema(value_type = Option<crate::api::document::Attributes>)]
    attributes: Patch<Object<Map<String, Value>>>,
    /// The user agent's language (BCP 47). One that is not valid is not kept.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    locale: Patch<String>,
    /// The user agent's time zone (IANA). An unknown one is kept and treated as UTC.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    timezone: Patch<String>,
    /// The application's own id of the person; `null` detaches the browser from everybody.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    user: Patch<Text<UserId>>,
    /// What proves the person where a page says it, as in a registration.
    #[schema(value_type = Option<String>, max_length = 4096)]
    user_token: Option<Text<UserToken>>,
}

impl ChangeBody {
    /// What a page says of its own subscription.
    pub(crate) fn into_own_change(mut self) -> Result<OwnChange, ApiError> {
        let user_token = self.user_token.take().map(|Text(token)| token);
        if user_token.is_some() && matches!(self.user, Patch::Clear) {
            return Err(ApiError::input(
                "/user_token",
                "proves a person, and `user` is null: leave one of them out",
            ));
        }
        let change = self.into_change()?;
        Ok(OwnChange { change, user_token })
    }

    /// What a back end says. A token is not looked at.
    pub(crate) fn into_change(self) -> Result<SubscriptionChange, ApiError> {
        let attributes = match self.attributes {
            Patch::Keep => None,
            Patch::Clear => Some(Attributes::default()),
            Patch::Set(object) => Some(read_attributes(&object)?),
        };
        Ok(SubscriptionChange {
            user: self.user.into_change(|Text(user)| Some(user)),
            attributes,
            locale: self.locale.into_change(|tag| Locale::parse(&tag)),
            timezone: self.timezone.into_change(|name| TimeZoneName::parse(&name)),
        })
    }
}

/// A registered subscription.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredSubscription)]
pub(crate) struct RegisteredView {
    /// The subscription's id.
    #[schema(pattern = "^sub_[0-9a-f]{32}$")]
    id: String,
    /// What its page shows to change, test or end it: keep it beside the id. It stays the same.
    token: String,
}

impl RegisteredView {
    pub(crate) fn new(registered: &Registered) -> Self {
        Self {
            id: registered.record.id.to_string(),
            token: registered.token.expose().to_owned(),
        }
    }
}

/// The attributes of a body, at `/attributes`.
pub(crate) fn read_attributes(
    Object(object): &Object<Map<String, Value>>,
) -> Result<Attributes, ApiError> {
    Attributes::from_json(object).map_err(|error| {
        let below = error.name.map(|name| format!("/{}", escape(&name)));
        let below = below.unwrap_or_default();
        ApiError::input(format!("/attributes{below}"), error.what)
    })
}
