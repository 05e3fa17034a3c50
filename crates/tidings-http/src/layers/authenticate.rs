//! Who calls an endpoint for back ends. Nothing behind this layer is reached without a good token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use tracing::field;

use crate::extract::caller::{Caller, bearer};
use crate::problem::ApiError;
use crate::state::AppState;

/// Finds out who calls, and leaves the [`Caller`] in the request's extensions. What they may do is
/// each endpoint's question (`BackEnd`).
pub(crate) async fn authenticate(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(request.headers(), &state).await {
        Ok(caller) => {
            // A token that was stolen: which requests were made with it?
            tracing::Span::current().record("caller", field::display(caller.id()));
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn caller(headers: &HeaderMap, state: &AppState) -> Result<Caller, ApiError> {
    let shown = bearer(headers).ok_or(ApiError::Unauthorized { shown: false })?;
    if state.admin_token().is(shown) {
        return Ok(Caller::Admin);
    }
    let shown = str::from_utf8(shown).map_err(|_| ApiError::Unauthorized { shown: true })?;
    let token = state.server().authenticate(shown).await?;
    Ok(Caller::Token(Arc::new(token)))
}
