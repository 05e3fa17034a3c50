//! Subscriptions, as back ends see them: never their keys or endpoints.

mod change;
mod end;
mod export;
mod import;
mod list;
mod register;
mod restore;
mod show;
mod suspects;

use serde::Serialize;
use serde_json::{Map, Value};
use tidings_core::subscription::SubscriptionRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::document;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register::register, list::list))
        .routes(routes!(show::show, change::change, end::end))
        .routes(routes!(restore::restore))
}

/// What may take longer than other requests: its work, or its body, is as long as the table.
pub(crate) fn long_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(import::import))
        .routes(routes!(export::export))
        .routes(routes!(suspects::restore_suspects))
        .routes(routes!(suspects::confirm_suspects))
}

/// A subscription.
#[derive(Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionView {
    /// Its id.
    #[schema(pattern = "^sub_[0-9a-f]{32}$")]
    id: String,
    /// Whether it can be sent to.
    #[schema(value_type = document::SubscriptionState)]
    state: &'static str,
    /// Whose push service it is at.
    #[schema(value_type = document::PushService)]
    push_service: &'static str,
    /// The VAPID key it was made with.
    #[schema(pattern = "^key_[0-9a-f]{32}$")]
    vapid_key: String,
    /// How messages to it are encrypted.
    #[schema(example = "aes128gcm")]
    encoding: &'static str,
    /// The application's own id of the person.
    #[schema(required)]
    user: Option<String>,
    /// What the application knows.
    #[schema(value_type = document::Attributes)]
    attributes: Map<String, Value>,
    /// The user agent's language (BCP 47).
    #[schema(required)]
    locale: Option<String>,
    /// The user agent's time zone (IANA).
    #[schema(required)]
    timezone: Option<String>,
    /// When it was registered first.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the browser or the back end showed it last.
    #[schema(format = DateTime)]
    last_seen_at: String,
}

impl SubscriptionView {
    fn new(record: SubscriptionRecord) -> Self {
        let details = record.details;
        Self {
            id: record.id.to_string(),
            state: record.state.as_str(),
            push_service: record.subscription.push_resource.push_service().as_str(),
            vapid_key: details.vapid_key.to_string(),
            encoding: details.encoding.as_str(),
            user: details.user.map(|user| user.as_str().to_owned()),
            attributes: details.attributes.to_json(),
            locale: details.locale.map(|locale| locale.as_str().to_owned()),
            timezone: details.timezone.map(|zone| zone.as_str().to_owned()),
            created_at: record.created_at.to_string(),
            last_seen_at: record.last_seen_at.to_string(),
        }
    }
}
