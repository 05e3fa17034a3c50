//! Who calls, and whether they may.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use tidings_core::api_token::{ApiTokenRecord, Scope};
use tidings_core::application::{Application, ApplicationName};
use tidings_core::id::ApiTokenId;

use crate::problem::ApiError;
use crate::state::AppState;

/// The header that names the application a back end acts for.
const APPLICATION_HEADER: &str = "tidings-application";

/// A back end or an operator whose token was found good. `layers::authenticate` puts it into the
/// request's extensions, where the layers within it find it too.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Who shows the admin token of the settings.
    Admin,
    /// Who shows an API token.
    Token(Arc<ApiTokenRecord>),
}

/// What distinguishes one caller from all others, in every request of theirs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum CallerId {
    Admin,
    Token(ApiTokenId),
}

impl Caller {
    pub(crate) fn id(&self) -> CallerId {
        match self {
            Self::Admin => CallerId::Admin,
            Self::Token(token) => CallerId::Token(token.id),
        }
    }

    fn may(&self, needed: Scope) -> bool {
        match self {
            Self::Admin => true,
            Self::Token(token) => token.scopes.allow(needed),
        }
    }

    /// The application that the caller acts for: the one the header names, else the token's own.
    /// Another one than its own is, for a token without `admin`, one that does not exist.
    fn application(
        &self,
        headers: &HeaderMap,
        state: &AppState,
    ) -> Result<Arc<Application>, ApiError> {
        let applications = state.server().applications();
        let own = match self {
            Self::Admin => applications.named(ApplicationName::DEFAULT),
            Self::Token(token) => applications.by_id(token.application),
        };
        let named = match headers.get(APPLICATION_HEADER) {
            Some(name) => name.to_str().ok().and_then(|name| applications.named(name)),
            None => own,
        };
        let is_own = |named: &Arc<Application>| own.is_some_and(|own| own.id == named.id);
        named
            .filter(|named| self.may(Scope::Admin) || is_own(named))
            .map(Arc::clone)
            .ok_or(ApiError::ApplicationNotFound)
    }
}

impl fmt::Display for CallerId {
    /// For logs: the token's identifier, which is no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("admin"),
            Self::Token(id) => id.fmt(f),
        }
    }
}

/// A caller that may do what the endpoint does, and the application it acts for.
///
/// There is no back end without a scope that was asked for: an endpoint that takes this says what
/// it needs, and one that takes nothing of the kind knows no application.
pub(crate) struct BackEnd<S> {
    pub(crate) application: Arc<Application>,
    needed: PhantomData<fn() -> S>,
}

/// What an endpoint needs.
pub(crate) trait Needs {
    /// The scope; `None` if every token has what it takes.
    const SCOPE: Option<Scope>;
}

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident: $scope:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) enum $name {}

            impl Needs for $name {
                const SCOPE: Option<Scope> = $scope;
            }
        )*
    };
}

needs! {
    /// Any token will do.
    AnyScope: None;
    /// `messages:send`.
    SendMessages: Some(Scope::SendMessages);
    /// `messages:read`.
    ReadMessages: Some(Scope::ReadMessages);
    /// `subscriptions:read`.
    ReadSubscriptions: Some(Scope::ReadSubscriptions);
    /// `subscriptions:write`.
    WriteSubscriptions: Some(Scope::WriteSubscriptions);
    /// `subscriptions:export`.
    ExportSubscriptions: Some(Scope::ExportSubscriptions);
    /// `monitoring:read`.
    Monitor: Some(Scope::Monitor);
    /// `admin`.
    Admin: Some(Scope::Admin);
}

impl<S: Needs> FromRequestParts<AppState> for BackEnd<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().ok_or_else(|| {
            ApiError::Internal("an endpoint for back ends is not behind `authenticate`".to_owned())
        })?;
        if let Some(needed) = S::SCOPE
            && !caller.may(needed)
        {
            return Err(ApiError::InsufficientScope { needed });
        }
        Ok(Self {
            application: caller.application(&parts.headers, state)?,
            needed: PhantomData,
        })
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
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}
