//! The member `notification` in the OpenAPI document. What is taken is decided in `tidings-core`; a
//! test holds the two together.

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A notification (Notifications API; Declarative Web Push). A relative URL, and a missing
/// `navigate`, is resolved against the application's site.
#[expect(dead_code, reason = "describes what tidings-core takes")]
#[derive(ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Notification {
    #[schema(min_length = 1)]
    title: String,
    #[schema(nullable = false)]
    body: Option<String>,
    /// What a click opens.
    #[schema(nullable = false, format = "uri-reference")]
    navigate: Option<String>,
    #[schema(nullable = false, format = "uri-reference")]
    icon: Option<String>,
    #[schema(nullable = false, format = "uri-reference")]
    image: Option<String>,
    #[schema(nullable = false, format = "uri-reference")]
    badge: Option<String>,
    /// Replaces the notification on the screen with the same tag.
    #[schema(nullable = false)]
    tag: Option<String>,
    #[schema(nullable = false)]
    lang: Option<String>,
    #[schema(nullable = false)]
    dir: Option<Direction>,
    /// Excludes `vibrate`.
    #[schema(nullable = false)]
    silent: Option<bool>,
    #[schema(nullable = false)]
    require_interaction: Option<bool>,
    /// Alerts again though the tag is on the screen. Needs `tag`.
    #[schema(nullable = false)]
    renotify: Option<bool>,
    /// Milliseconds since 1970.
    #[schema(nullable = false)]
    timestamp: Option<u64>,
    /// Milliseconds, on and off in turn.
    #[schema(nullable = false, max_items = 32)]
    vibrate: Option<Vec<u16>>,
    #[schema(nullable = false, max_items = 4)]
    actions: Option<Vec<NotificationAction>>,
    /// For the site's own worker. Its member `tidings` is Tidings' own.
    #[schema(nullable = false)]
    data: Option<Map<String, Value>>,
    /// Whether a service worker may change what is shown; true if left out.
    #[schema(nullable = false)]
    mutable: Option<bool>,
}

/// A button of a notification.
#[expect(dead_code, reason = "describes what tidings-core takes")]
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct NotificationAction {
    /// Its name in receipts.
    action: String,
    title: String,
    /// What a click on it opens.
    #[schema(nullable = false, format = "uri-reference")]
    navigate: Option<String>,
    #[schema(nullable = false, format = "uri-reference")]
    icon: Option<String>,
}

/// The direction of its text.
#[expect(dead_code, reason = "describes what tidings-core takes")]
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Direction {
    Auto,
    Ltr,
    Rtl,
}
