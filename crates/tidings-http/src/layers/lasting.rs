//! Requests that end only when they stand still.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::serve::MayLast;

/// Lets a request outlast the time that its connection is used. It belongs behind authentication: a
/// stranger would keep connections for ever.
pub(crate) async fn let_last(mut request: Request, next: Next) -> Response {
    match request.extensions_mut().remove::<MayLast>() {
        Some(leave) => leave.answer(next.run(request)).await,
        None => next.run(request).await,
    }
}
