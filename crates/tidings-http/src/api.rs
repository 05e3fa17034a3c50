//! The endpoints.

pub(crate) mod document;
mod health;
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
}

/// What anybody may ask and takes work: it counts like what pages ask.
pub(crate) fn open_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health::ready))
}

/// What anybody may ask and takes no work.
pub(crate) fn static_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(openapi::describe))
}
