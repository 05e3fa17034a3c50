//! All endpoints with all that surrounds them.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::api::{back_end_routes, open_routes, page_routes};
use crate::assets;
use crate::layers::{answer, authenticate, origin, rate_limit, timeout};
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
    let back_ends = Router::from(back_end_routes())
        .route_layer(from_fn_with_state(state.clone(), rate_limit::limit_callers))
        .route_layer(from_fn_with_state(
            state.clone(),
            authenticate::authenticate,
        ))
        .route_layer(from_fn_with_state(
            state.clone(),
            rate_limit::limit_failures,
        ));
    let others = back_ends
        .merge(Router::from(open_routes()))
        .merge(assets::routes(state.serves_demo()))
        .method_not_allowed_fallback(refuse_method)
        .layer(from_fn(timeout::give_up));
    Router::new()
        .merge(pages)
        .merge(others)
        .fallback(refuse_path)
        .layer(from_fn_with_state(state.clone(), answer::surround))
        .with_state(state)
}

async fn refuse_method() -> ApiError {
    ApiError::MethodNotAllowed
}

async fn refuse_path() -> ApiError {
    ApiError::NotFound
}
