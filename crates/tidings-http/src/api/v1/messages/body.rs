//! A message as callers write it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::{Map, Value};
use tidings_core::application_server::{ContentRequest, MessageRequest};
use tidings_core::id::SubscriptionId;
use tidings_core::message::Audience;
use tidings_core::store::IdempotencyKey;
use tidings_core::subscription::UserId;
use tidings_webpush::{Topic, Urgency};
use utoipa::ToSchema;

use crate::api::document;
use crate::api::v1::messages::notification::Notification;
use crate::api::v1::messages::ttl::TtlMember;
use crate::extract::object::Object;
use crate::extract::patch::present;
use crate::extract::text::Text;
use crate::problem::ApiError;

/// The most entries of each list of an audience.
const MAX_LISTED: usize = 1000;

/// base64url; padding is tolerated.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What to send to whom: exactly one of `notification`, `data` and `payload_base64`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessage)]
pub(crate) struct MessageBody {
    #[schema(value_type = AudienceBody)]
    audience: Object<AudienceBody>,
    /// A notification that every browser shows, with the web's own names.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Notification, required = false)]
    notification: Option<Object<Map<String, Value>>>,
    /// The number on the app's icon. Goes with `notification`.
    #[schema(minimum = 0)]
    app_badge: Option<u64>,
    /// Any JSON, for the site's own service worker.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false)]
    data: Option<Value>,
    /// Exact octets in base64 or base64url, at most 3993 of them. There are no receipts for it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false)]
    payload_base64: Option<String>,
    /// How long it is worth delivering: seconds, or a duration like `4h`. At most 28 days; 24 hours
    /// if left out.
    #[schema(value_type = Option<document::Ttl>)]
    ttl: Option<TtlMember>,
    /// How urgent it is; `normal` if left out.
    #[schema(value_type = Option<document::Urgency>)]
    urgency: Option<Text<Urgency>>,
    /// Replaces an undelivered message with the same topic: base64url, length mod 4 not 1.
    #[schema(value_type = Option<String>, pattern = "^(?:[A-Za-z0-9_-]{4})*[A-Za-z0-9_-]{2,4}$", max_length = 32)]
    topic: Option<Text<Topic>>,
}

/// Who gets it: one or several of these members, then the union of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Audience, min_properties = 1)]
pub(crate) struct AudienceBody {
    /// Everybody.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool, required = false)]
    all: Option<bool>,
    /// These subscriptions. Unknown ones are nobody.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, required = false, max_items = 1000)]
    subscriptions: Option<Vec<Text<SubscriptionId>>>,
    /// All subscriptions of these people. Unknown ones are nobody.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, required = false, max_items = 1000)]
    users: Option<Vec<Text<UserId>>>,
}

impl MessageBody {
    pub(super) fn into_request(
        self,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<MessageRequest, ApiError> {
        Ok(MessageRequest {
            audience: self.audience.0.into_audience()?,
            content: read_content(
                self.notification.map(|Object(members)| members),
                self.app_badge,
                self.data,
                self.payload_base64.as_deref(),
            )?,
            ttl: self.ttl.map(|ttl| ttl.duration),
            urgency: self
                .urgency
                .map(|Text(urgency)| urgency)
                .unwrap_or_default(),
            topic: self.topic.map(|Text(topic)| topic),
            idempotency,
        })
    }
}

impl AudienceBody {
    fn into_audience(self) -> Result<Audience, ApiError> {
        if self.all == Some(false) {
            let what = "can only be true: to leave everybody out, leave it out";
            return Err(ApiError::input("/audience/all", what));
        }
        if self.all.is_none() && self.subscriptions.is_none() && self.users.is_none() {
            let what = "name at least one of `all`, `subscriptions` and `users`";
            return Err(ApiError::input("/audience", what));
        }
        let subscriptions = list("/audience/subscriptions", self.subscriptions)?;
        let users = list("/audience/users", self.users)?;
        if self.all.is_some() {
            return Ok(Audience::All);
        }
        Ok(Audience::Listed {
            subscriptions,
            users,
        })
    }
}

fn list<T>(pointer: &str, given: Option<Vec<Text<T>>>) -> Result<Vec<T>, ApiError> {
    let given = given.unwrap_or_default();
    if given.len() > MAX_LISTED {
        let what = format!("at most {MAX_LISTED} entries: send several messages");
        return Err(ApiError::input(pointer, what));
    }
    Ok(given.into_iter().map(|Text(entry)| entry).collect())
}

fn read_content(
    notification: Option<Map<String, Value>>,
    app_badge: Option<u64>,
    data: Option<Value>,
    payload: Option<&str>,
) -> Result<ContentRequest, ApiError> {
    if app_badge.is_some() && notification.is_none() {
        return Err(ApiError::input(
            "/app_badge",
            "goes with `notification` only",
        ));
    }
    match (notification, data, payload) {
        (Some(notification), None, None) => Ok(ContentRequest::Notification {
            notification,
            app_badge,
        }),
        (None, Some(data), None) => Ok(ContentRequest::Data(data)),
        (None, None, Some(payload)) => {
            let standard = payload.replace('+', "-").replace('/', "_");
            let octets = BASE64.decode(standard);
            octets.map(ContentRequest::Bytes).map_err(|_| {
                ApiError::input("/payload_base64", "this is neither base64 nor base64url")
            })
        }
        _ => {
            let what = "give exactly one of `notification`, `data` and `payload_base64`";
            Err(ApiError::input("", what))
        }
    }
}
