//! One line of an import, and what is told of one that was refused.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidings_core::application_server::ImportRequest;
use tidings_core::clock::Timestamp;
use tidings_core::subscription::UserId;
use tidings_core::vapid_key::VapidKeyName;
use tidings_webpush::{ContentEncoding, PushResource, Subscription};
use utoipa::ToSchema;

use crate::api::v1::registration::{SubscriptionKeys, read_attributes};
use crate::extract::body::parse_quickly;
use crate::extract::lines::{Line, MAX_LINE_BYTES};
use crate::extract::object::Object;
use crate::extract::text::Text;
use crate::problem::ApiError;

/// A subscription on its way between servers: `PushSubscription.toJSON()` as the browser gave it,
/// with members of Tidings beside it. Other members are ignored. What is left out stays as it was, if
/// the subscription is known.
#[derive(Deserialize, ToSchema)]
#[schema(as = ImportedSubscription)]
pub(crate) struct ImportLine {
    /// The push resource.
    #[schema(value_type = String, format = "uri", max_length = 2048)]
    endpoint: Option<Text<PushResource>>,
    #[schema(value_type = SubscriptionKeys)]
    keys: Option<Object<SubscriptionKeys>>,
    /// Both, where a table keeps what the browser gave in a column of its own, instead of beside the
    /// rest.
    #[schema(value_type = Option<Object>)]
    subscription: Option<Object<BrowserPart>>,
    /// What the application knows: a flat object of texts, numbers, booleans and lists of texts.
    #[schema(value_type = Option<crate::api::document::Attributes>)]
    attributes: Option<Object<Map<String, Value>>>,
    /// The user agent's language (BCP 47). One that is not valid is not kept.
    locale: Option<String>,
    /// The user agent's time zone (IANA). An unknown one is kept and treated as UTC.
    timezone: Option<String>,
    /// The VAPID key it was made with, by its id or by its public key in base64url. If left out: the
    /// active key.
    #[schema(value_type = Option<String>)]
    vapid_key: Option<Text<VapidKeyName>>,
    /// How to encrypt for it: `aes128gcm`, or `aesgcm` for old browsers.
    #[schema(value_type = Option<String>, example = "aes128gcm")]
    encoding: Option<Text<ContentEncoding>>,
    /// `PushManager.supportedContentEncodings`, where `encoding` is left out.
    encodings: Option<Vec<String>>,
    /// The application's own id of the person.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    user: Option<Text<UserId>>,
    /// When the browser showed it last. Used for a new one only; if left out, it was seen now.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen_at: Option<Text<Timestamp>>,
}

/// What a browser gave.
#[derive(Deserialize)]
struct BrowserPart {
    endpoint: Text<PushResource>,
    keys: Object<SubscriptionKeys>,
}

impl ImportLine {
    /// Reads a line.
    pub(super) fn read(line: &Line) -> Result<ImportRequest, ApiError> {
        let text = line.text.as_deref().map_err(|_| {
            let what =
                format!("has more than {MAX_LINE_BYTES} octets: a subscription has some 500");
            ApiError::input("", what)
        })?;
        if text.trim_ascii_start().starts_with(b"[") {
            return Err(ApiError::input(
                "",
                "is a list: send one subscription a line, as `jq -c '.[]'` writes them",
            ));
        }
        let Object(line) = parse_quickly::<Object<Self>>(text).map_err(in_one_line)?;
        line.into_request()
    }

    fn into_request(self) -> Result<ImportRequest, ApiError> {
        let missing = |name: &str| ApiError::input("", format!("missing member `{name}`"));
        let browser = match (self.subscription, self.endpoint, self.keys) {
            (Some(Object(browser)), None, None) => browser,
            (None, Some(endpoint), Some(keys)) => BrowserPart { endpoint, keys },
            (None, None, _) => return Err(missing("endpoint")),
            (None, Some(_), None) => return Err(missing("keys")),
            (Some(_), _, _) => {
                return Err(ApiError::input(
                    "/subscription",
                    "stands beside `endpoint` or `keys`: leave one of them out",
                ));
            }
        };
        let Object(SubscriptionKeys { p256dh, auth }) = browser.keys;
        Ok(ImportRequest {
            subscription: Subscription {
                push_resource: browser.endpoint.0,
                p256dh: p256dh.0,
                auth: auth.0,
            },
            attributes: self.attributes.as_ref().map(read_attributes).transpose()?,
            locale: self.locale,
            timezone: self.timezone,
            vapid_key: self.vapid_key.map(|Text(name)| name),
            encoding: self.encoding.map(|Text(encoding)| encoding),
            encodings: self.encodings,
            user: self.user.map(|Text(user)| user),
            last_seen_at: self.last_seen_at.map(|Text(instant)| instant),
        })
    }
}

/// To the parser every line is the first one, which is not what its number says.
fn in_one_line(error: ApiError) -> ApiError {
    match error {
        ApiError::InvalidJson(what) => {
            ApiError::InvalidJson(what.replace("line 1 column", "column"))
        }
        other => other,
    }
}

/// A line that was refused. The lines around it were not.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefusedLine {
    /// Its number, from 1 on.
    #[schema(minimum = 1)]
    line: u64,
    /// What kind of problem it is, as in the problem documents of single registrations.
    #[serde(rename = "type")]
    #[schema(example = "urn:tidings:problem:invalid-input")]
    kind: String,
    /// Where it stands in the line (JSON Pointer, RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/keys/p256dh")]
    pointer: Option<String>,
    /// What is wrong with it and what would be right.
    detail: String,
}

impl RefusedLine {
    /// How many octets it takes in an answer.
    pub(super) fn size(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |json| json.len())
    }

    /// Says why.
    pub(super) fn new(line: u64, error: ApiError) -> Self {
        let (kind, pointer, detail) = error.into_line();
        Self {
            line,
            kind: kind.uri(),
            pointer: pointer.filter(|pointer| !pointer.is_empty()),
            detail,
        }
    }
}
