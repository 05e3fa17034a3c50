//! All endpoints with all that surrounds them.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;

use crate::api::{back_end_routes, long_routes, open_routes, page_routes};
use crate::assets;
use crate::layers::{answer, authenticate, lasting, origin, rate_limit, timeout};
use crate::problem::ApiError;
use crate::state::{AppState, RouterParts};

/// The whole API of one server.
pub fn router(parts: RouterParts) -> Router {
    let state = AppState::new(parts);
    let pages = Router::from(page_routes())
        .method_not_allowed_fallback(refuse_method)
        .layer(from_fn(timeout::give_up))
        // Inside of the origins: a page is to read why it was refused, and preflights are free.
        .layer(from_fn_with_state(state.clone(), rate_limit::limit_pages))
        .layer(from_fn_with_state(state.clone(), origin::check));
    let others = guarded(back_end_routes(), &state)
        .merge(Router::from(open_routes()))
        .merge(assets::routes(state.serves_demo()))
        .method_not_allowed_fallback(refuse_method)
        .layer(from_fn(timeout::give_up));
    // Bounded by how long nothing comes or goes, not by how long all of it takes.
    let long = long_routes().route_layer(from_fn(lasting::let_last));
    let long = guarded(long, &state).method_not_allowed_fallback(refuse_method);
    Router::new()
        .merge(pages)
        .merge(others)
        .merge(long)
        .fallback(refuse_path)
        .layer(from_fn_with_state(state.clone(), answer::surround))
        .with_state(state)
}

/// Nothing behind this is reached without a good token.
fn guarded(routes: OpenApiRouter<AppState>, state: &AppState) -> Router<AppState> {
    let with_state = || state.clone();
    Router::from(routes)
        .route_layer(from_fn_with_state(with_state(), rate_limit::limit_callers))
        .route_layer(from_fn_with_state(with_state(), authenticate::authenticate))
        .route_layer(from_fn_with_state(with_state(), rate_limit::limit_failures))
}

async fn refuse_method() -> ApiError {
    ApiError::MethodNotAllowed
}

async fn refuse_path() -> ApiError {
    ApiError::NotFound
}
