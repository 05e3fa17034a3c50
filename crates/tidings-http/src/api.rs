//! The endpoints.

pub(crate) mod document;
pub(crate) mod health;
mod metrics;
mod openapi;
mod v1;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;

/// What pages call: the Origin rule holds here.
pub(crate) fn page_routes() -> OpenApiRouter<AppState> {
    v1::apps::routes()
}

/// What back ends and operators call.
pub(crate) fn back_end_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(v1::messages::routes())
        .merge(v1::subscriptions::routes())
        .merge(v1::vapid_keys::routes())
        .merge(v1::api_tokens::routes())
        .merge(v1::alerts::routes())
        .routes(routes!(metrics::read))
}

/// The same, where a request may take long.
pub(crate) fn long_routes() -> OpenApiRouter<AppState> {
    v1::subscriptions::long_routes()
}

/// What anybody may ask as often as they like: it takes next to no work.
pub(crate) fn open_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(openapi::describe))
}
