//! The control interface under `/sandbox/`: what was sent, and what is to be answered.

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri};
use axum::routing::{get, post, put};
use http::{Method, StatusCode};

use crate::problem::Problem;
use crate::service::PushService;

mod behaviour;
mod counts;
mod messages;
mod outage;
mod query;
pub(crate) mod services;
mod stats;
mod subscriptions;

/// The largest body of a request to the control interface; rules may list many endpoints.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

pub(crate) fn router() -> Router<std::sync::Arc<PushService>> {
    Router::new()
        .route(
            "/subscriptions",
            post(subscriptions::create)
                .get(counts::list)
                .delete(subscriptions::end),
        )
        .route("/outage", put(outage::begin).delete(outage::end))
        .route("/services", get(services::list))
        .route("/messages", get(messages::list))
        .route("/stats", get(stats::show).delete(stats::reset))
        .route(
            "/behaviour",
            get(behaviour::show)
                .put(behaviour::replace)
                .delete(behaviour::restore),
        )
        .route(
            "/behaviour/{name}",
            get(behaviour::show_named)
                .put(behaviour::replace_named)
                .delete(behaviour::remove_named),
        )
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

async fn unknown(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("{} is not here: GET / lists what is", uri.path()),
    )
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} does not take {method}: the Allow header says what it takes",
            uri.path()
        ),
    )
}
