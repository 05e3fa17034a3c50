//! Everything that can go wrong, and the one place that says how it is answered.

mod causes;
pub(crate) mod document;
pub(crate) mod types;

use std::num::NonZeroU32;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use tidings_core::api_token::Scope;
use tidings_core::clock::Timestamp;
use tidings_core::content::PayloadTooLarge;
use tidings_core::id::SubscriptionId;
use tidings_core::store::StoreError;
use tidings_core::subscription::SubscriptionState;
use tidings_webpush::MAX_PLAINTEXT_BYTES;

use crate::extract::body::MAX_BODY_BYTES;
use crate::problem::document::{InputError, PendingProblem};
use crate::problem::types::ProblemType;
use crate::rate_limits::account::whole_seconds;
use crate::rate_limits::bucket::{Policy, Standing};

/// How long a caller waits before it asks a server again that is not available.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(2);

/// The challenge's parameter where a token was shown that is not taken.
const INVALID_TOKEN: &str = "error=\"invalid_token\"";

/// Why a request was not answered as asked.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The body is not JSON.
    InvalidJson(String),
    /// A header has a value it cannot have.
    InvalidHeader {
        name: &'static str,
        what: &'static str,
    },
    /// The query is wrong.
    InvalidQuery(Vec<InputError>),
    /// The body ended too early.
    BodyInterrupted,
    /// The body took too long.
    BodyTimeout,
    /// The body is too large.
    BodyTooLarge,
    /// The body is not sent as what is taken here.
    UnsupportedMediaType { wanted: &'static str },
    /// Members of the body are wrong.
    InvalidInput(Vec<InputError>),
    /// There is no token, or one that nobody has.
    Unauthorized { shown: bool },
    /// The API token's time is over.
    TokenExpired { at: Timestamp },
    /// The API token was revoked.
    TokenRevoked { at: Timestamp },
    /// The API token does not allow what the endpoint does.
    InsufficientScope { needed: Scope },
    /// A page did not show its subscription's token.
    NoSubscriptionToken,
    /// The page's origin may not call.
    OriginNotAllowed { origin: String },
    /// The token shown is not the subscription's.
    NotYourSubscription,
    /// A page named a person without proof.
    UserNotProved,
    /// A page sent a user token that nobody can check.
    NoUserTokenKey,
    /// A page's user token is not good: why.
    UserTokenRefused(String),
    /// There is nothing at this path.
    NotFound,
    /// The path knows other methods.
    MethodNotAllowed,
    /// There is no such application.
    ApplicationNotFound,
    /// There is no such message.
    MessageNotFound,
    /// There is no such subscription.
    SubscriptionNotFound,
    /// There is no such VAPID key.
    VapidKeyNotFound,
    /// There is no such API token.
    ApiTokenNotFound,
    /// The endpoint belongs to a subscription with other keys.
    EndpointTaken,
    /// The person has as many active subscriptions as the application allows.
    TooManySubscriptions { cap: NonZeroU32 },
    /// The subscription cannot be sent to.
    SubscriptionNotActive(SubscriptionState),
    /// What is kept of the subscription cannot be read.
    SubscriptionDamaged(SubscriptionId),
    /// The subscription was unsubscribed.
    SubscriptionEnded,
    /// The active key cannot be retired.
    VapidKeyActive,
    /// There is no active key.
    NoActiveVapidKey,
    /// The message does not fit.
    PayloadTooLarge(PayloadTooLarge),
    /// The idempotency key was used with another body.
    IdempotencyKeyReused,
    /// There were too many requests.
    RateLimited(Standing),
    /// Too soon for another test notification.
    TestTooSoon { wait: Duration },
    /// The store failed.
    Store(StoreError),
    /// The request took longer than any should.
    TimedOut,
    /// A fault of ours.
    Internal(String),
}

impl ApiError {
    /// One wrong place in the body.
    pub(crate) fn input(pointer: impl Into<String>, what: impl Into<String>) -> Self {
        Self::InvalidInput(vec![InputError::at(pointer, what)])
    }

    /// One wrong query parameter.
    pub(crate) fn query(parameter: &str, what: impl Into<String>) -> Self {
        Self::InvalidQuery(vec![InputError::parameter(parameter, what)])
    }

    /// The kind, the place and the words, for one line of many that was refused.
    pub(crate) fn into_line(self) -> (ProblemType, Option<String>, String) {
        self.log();
        let Answer {
            kind,
            detail,
            errors,
            ..
        } = self.answer();
        match errors.into_iter().next() {
            Some(error) => (kind, error.pointer, error.detail),
            None => (kind, None, detail.unwrap_or_default()),
        }
    }

    /// Tells the operator what the caller is not told.
    fn log(&self) {
        match self {
            Self::Store(error) if error.is_transient() => {
                tracing::warn!(%error, "a request failed: the store is not available");
            }
            Self::TimedOut => tracing::warn!("a request was given up: it took too long"),
            Self::Store(error) => tracing::error!(%error, "a request failed"),
            Self::Internal(error) => tracing::error!(error, "a request failed"),
            _ => {}
        }
    }

    /// How it is answered: the one exhaustive match.
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each cause; splitting it hides one"
    )]
    fn answer(self) -> Answer {
        use ProblemType as Type;
        match self {
            Self::InvalidJson(what) => Answer::new(Type::InvalidJson, what),
            Self::InvalidHeader { name, what } => {
                Answer::new(Type::InvalidHeader, format!("{name}: {what}"))
            }
            Self::InvalidQuery(errors) => Answer::listing(Type::InvalidQuery, errors),
            Self::BodyInterrupted => Answer::new(
                Type::BodyInterrupted,
                "The connection ended before the body did. Send the request again.",
            ),
            Self::BodyTimeout => Answer::new(
                Type::BodyTimeout,
                "The body did not arrive in time. Send the request again.",
            ),
            Self::BodyTooLarge => Answer::new(
                Type::BodyTooLarge,
                format!(
                    "At most {MAX_BODY_BYTES} octets are taken. Send less, in several requests."
                ),
            ),
            Self::UnsupportedMediaType { wanted } => Answer::new(
                Type::UnsupportedMediaType,
                format!("Send the body as `Content-Type: {wanted}`, without `Content-Encoding`."),
            ),
            Self::InvalidInput(errors) => Answer::listing(Type::InvalidInput, errors),
            Self::Unauthorized { shown } => Answer::new(
                Type::Unauthorized,
                if shown {
                    "This is neither an API token of this server nor its admin token. Compare it \
                     with the one you were given; `tidings tokens create` makes another. The admin \
                     token stands in TIDINGS_ADMIN_TOKEN, or in the file `admin-token` in the data \
                     directory."
                } else {
                    "Send the header `Authorization: Bearer <token>` with an API token; `tidings \
                     tokens create` makes one."
                },
            )
            .with_challenge(if shown { INVALID_TOKEN } else { "" }),
            Self::TokenExpired { at } => Answer::new(
                Type::TokenExpired,
                format!(
                    "The API token expired at {at}. Make another one with `tidings tokens create`."
                ),
            )
            .with_challenge(INVALID_TOKEN),
            Self::TokenRevoked { at } => Answer::new(
                Type::TokenRevoked,
                format!(
                    "The API token was revoked at {at}. Whoever did it can make another one with \
                     `tidings tokens create`."
                ),
            )
            .with_challenge(INVALID_TOKEN),
            Self::InsufficientScope { needed } => Answer::new(
                Type::InsufficientScope,
                format!(
                    "This needs an API token with the scope `{0}`. Make one with `tidings tokens \
                     create NAME --scope {0}`: the scopes of a token do not change.",
                    needed.as_str(),
                ),
            )
            .with_challenge(&format!(
                "error=\"insufficient_scope\", scope=\"{}\"",
                needed.as_str()
            )),
            Self::NoSubscriptionToken => Answer::new(
                Type::Unauthorized,
                "Send the header `Authorization: Bearer <token>` with the token that came with \
                 the subscription's id.",
            )
            .with_challenge(""),
            Self::OriginNotAllowed { origin } => Answer::new(
                Type::OriginNotAllowed,
                format!(
                    "Pages of {origin} may not call this application. Its operator can add that \
                     origin to the setting `cors_origins`; pages of this server itself must be \
                     opened by its `public_url`."
                ),
            ),
            Self::NotYourSubscription => Answer::new(
                Type::NotYourSubscription,
                "There is no such subscription, or the token is another one's. Register the \
                 browser's subscription again: its id and token are the answer.",
            ),
            Self::UserNotProved => Answer::new(
                Type::UserNotProved,
                "A page alone is not believed about `user`. Send with it the `user_token` that the \
                 site's back end signs, leave it out, have the back end register the subscription, \
                 or set `page_users` to `trusted`.",
            ),
            Self::NoUserTokenKey => Answer::new(
                Type::NoUserTokenKey,
                "The application has no key that user tokens are checked with. Its operator can set \
                 `user_token_secret` or `user_token_keys`; without, leave out `user_token` and \
                 `user`, or have the site's back end register the subscription.",
            ),
            Self::UserTokenRefused(why) => Answer::new(
                Type::UserTokenRefused,
                format!("The `user_token` is refused: {why}."),
            ),
            Self::NotFound => Answer::new(
                Type::NotFound,
                "Nothing is at this path. /openapi.json lists all paths.",
            ),
            Self::MethodNotAllowed => Answer::new(
                Type::MethodNotAllowed,
                "The header `Allow` lists the path's methods.",
            ),
            Self::ApplicationNotFound => Answer::new(
                Type::ApplicationNotFound,
                "This server has no application of that name. The first one is `default`.",
            ),
            Self::MessageNotFound => Answer::new(
                Type::MessageNotFound,
                "The application has no message with this id. GET /v1/messages lists them.",
            ),
            Self::SubscriptionNotFound => Answer::new(
                Type::SubscriptionNotFound,
                "The application has no subscription with this id. GET /v1/subscriptions lists \
                 them.",
            ),
            Self::VapidKeyNotFound => Answer::new(
                Type::VapidKeyNotFound,
                "The application has no VAPID key with this id. GET /v1/vapid-keys lists them.",
            ),
            Self::ApiTokenNotFound => Answer::new(
                Type::ApiTokenNotFound,
                "The application has no API token with this id. GET /v1/api-tokens lists them.",
            ),
            Self::EndpointTaken => Answer::new(
                Type::EndpointTaken,
                "The endpoint is known with other keys, and knowing an endpoint gives nobody its \
                 subscription. Unsubscribe in the browser and subscribe again.",
            ),
            Self::TooManySubscriptions { cap } => Answer::new(
                Type::TooManySubscriptions,
                format!(
                    "This user has as many active subscriptions as one may have: {cap}. End those \
                     that are not used any more (a back end lists them with GET \
                     /v1/subscriptions?user=…&state=active), or raise `max_subscriptions_per_user`."
                ),
            ),
            Self::SubscriptionNotActive(state) => Answer::new(
                Type::SubscriptionNotActive,
                format!(
                    "The subscription's state is `{}`. Register the browser's subscription again; a \
                     back end can also undo it with POST /v1/subscriptions/{{id}}/restore.",
                    state.as_str()
                ),
            ),
            Self::SubscriptionDamaged(id) => Answer::new(
                Type::SubscriptionDamaged,
                format!(
                    "What this server keeps of the endpoint, as {id}, is damaged, so it cannot be \
                     seen whether the keys are the same. Bring the database back from a backup; or \
                     end it with DELETE /v1/subscriptions/{id}, and import the line once its \
                     tombstone is forgotten, after 30 days."
                ),
            ),
            Self::SubscriptionEnded => Answer::new(
                Type::SubscriptionEnded,
                "Its page or the back end ended it, so a person may have said no. If that was a \
                 mistake, restore it with `?even_ended=true`.",
            ),
            Self::VapidKeyActive => Answer::new(
                Type::VapidKeyActive,
                "Pages subscribe with the active key. Activate another one first.",
            ),
            Self::NoActiveVapidKey => Answer::new(
                Type::NoActiveVapidKey,
                "Make a VAPID key with POST /v1/vapid-keys, or activate one.",
            ),
            Self::PayloadTooLarge(error) => Answer::new(
                Type::PayloadTooLarge,
                format!(
                    "The message is {} octets too large: at most {MAX_PLAINTEXT_BYTES} can be \
                     encrypted, and in a notification or `data` Tidings' own members count as \
                     well. Shorten it.",
                    error.over_by,
                ),
            ),
            Self::IdempotencyKeyReused => Answer::new(
                Type::IdempotencyKeyReused,
                "In the last 24 hours this `Idempotency-Key` came with another body. Use a new \
                 key for a new message.",
            ),
            Self::RateLimited(standing) => {
                Answer::new(Type::RateLimited, too_many(&standing.policy))
                    .with_retry_after(standing.reset)
            }
            Self::TestTooSoon { wait } => Answer::new(
                Type::TestTooSoon,
                "A test notification can be sent once in 10 seconds. `Retry-After` says how long \
                 to wait.",
            )
            .with_retry_after(wait),
            Self::Store(error) if error.is_transient() => {
                Answer::silent(Type::Unavailable).with_retry_after(UNAVAILABLE_PAUSE)
            }
            Self::TimedOut => Answer::silent(Type::Unavailable).with_retry_after(UNAVAILABLE_PAUSE),
            Self::Store(_) | Self::Internal(_) => Answer::silent(Type::Internal),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let Answer {
            kind,
            detail,
            errors,
            headers,
        } = self.answer();
        let mut response = kind.status().into_response();
        *response.headers_mut() = headers;
        response.extensions_mut().insert(PendingProblem {
            kind,
            detail,
            errors,
        });
        response
    }
}

/// Which limit was met, and what to do about it.
fn too_many(policy: &Policy) -> String {
    let Policy {
        name,
        quota,
        window,
    } = policy;
    let seconds = window.as_secs();
    format!(
        "The limit `{name}` allows {quota} in {seconds} seconds. Wait as long as `Retry-After` says, \
         then go on more slowly. The server's operator can change the limit (settings `limits.*`)."
    )
}

/// How an error is answered.
struct Answer {
    kind: ProblemType,
    detail: Option<String>,
    errors: Vec<InputError>,
    headers: HeaderMap,
}

impl Answer {
    fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::silent(kind)
        }
    }

    /// Tells what is wrong with which part of the input.
    fn listing(kind: ProblemType, errors: Vec<InputError>) -> Self {
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Self {
            errors,
            ..Self::new(kind, told.join("; "))
        }
    }

    /// Tells nothing but the request's id.
    fn silent(kind: ProblemType) -> Self {
        Self {
            kind,
            detail: None,
            errors: Vec::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Tells how to authenticate, and with these parameters what was wrong (RFC 6750 §3).
    fn with_challenge(self, parameters: &str) -> Self {
        const REALM: &str = "Bearer realm=\"tidings\"";
        let challenge = match parameters {
            "" => Ok(HeaderValue::from_static(REALM)),
            _ => HeaderValue::from_str(&format!("{REALM}, {parameters}")),
        };
        // Our own parameters are all visible ASCII.
        let challenge = challenge.unwrap_or(HeaderValue::from_static(REALM));
        self.with_header(WWW_AUTHENTICATE, challenge)
    }

    fn with_retry_after(self, wait: Duration) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(whole_seconds(wait).max(1)))
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}
