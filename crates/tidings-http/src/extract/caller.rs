//! Who calls.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use tidings_core::application::{Application, ApplicationName};

use crate::problem::ApiError;
use crate::state::AppState;

/// The header that names the application a back end acts for.
const APPLICATION_HEADER: &str = "tidings-application";

/// A back end, authenticated, and the application it acts for.
pub(crate) struct BackEnd {
    pub(crate) application: Arc<Application>,
}

impl FromRequestParts<AppState> for BackEnd {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or(ApiError::Unauthorized { shown: false })?;
        if !state.admin_token().is(token) {
            return Err(ApiError::Unauthorized { shown: true });
        }
        let name = match parts.headers.get(APPLICATION_HEADER) {
            Some(name) => name.to_str().map_err(|_| ApiError::ApplicationNotFound)?,
            None => ApplicationName::DEFAULT,
        };
        let application = state.server().applications().named(name);
        let application = Arc::clone(application.ok_or(ApiError::ApplicationNotFound)?);
        Ok(Self { application })
    }
}

/// What a page shows as its subscription's token.
pub(crate) struct ShownToken(String);

impl ShownToken {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for ShownToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or(ApiError::NoSubscriptionToken)?;
        // A token that is not text is a token that nobody has.
        Ok(Self(String::from_utf8_lossy(token).into_owned()))
    }
}

/// The credentials of the scheme `Bearer` (RFC 6750 §2.1), if there are any.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}
