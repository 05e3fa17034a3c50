//! The problem types: what `docs/errors.md` lists.

use http::StatusCode;

/// What stands before a slug in the member `type` of a problem document. A name, not a place:
/// documents stay the same wherever the list of problems is published.
const TYPE_PREFIX: &str = "urn:tidings:problem:";

macro_rules! problem_types {
    ($( $(#[$doc:meta])* $name:ident = $status:ident, $slug:literal, $title:literal; )*) => {
        /// A kind of problem (RFC 9457 §3.1.1). Callers may rely on [`Self::slug`] and
        /// [`Self::status`].
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum ProblemType {
            $( $(#[$doc])* $name, )*
        }

        impl ProblemType {
            /// All of them, in the order of `docs/errors.md`.
            pub const ALL: &[Self] = &[$( Self::$name, )*];

            /// What distinguishes it, for programs.
            pub const fn slug(self) -> &'static str {
                match self { $( Self::$name => $slug, )* }
            }

            /// The status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $( Self::$name => StatusCode::$status, )* }
            }

            /// What it is, for people.
            pub const fn title(self) -> &'static str {
                match self { $( Self::$name => $title, )* }
            }
        }
    };
}

problem_types! {
    /// The body is not JSON at all.
    InvalidJson = BAD_REQUEST, "invalid-json", "The body is not JSON";
    /// A header has a value it cannot have.
    InvalidHeader = BAD_REQUEST, "invalid-header", "A header is not valid";
    /// A query parameter is unknown or has a value it cannot have.
    InvalidQuery = BAD_REQUEST, "invalid-query", "The query is not valid";
    /// The body ended too early.
    BodyInterrupted = BAD_REQUEST, "body-interrupted", "The body did not arrive";
    /// A back end did not authenticate itself.
    Unauthorized = UNAUTHORIZED, "unauthorized", "Authentication is needed";
    /// The API token's time is over.
    TokenExpired = UNAUTHORIZED, "token-expired", "The API token expired";
    /// The API token was taken back.
    TokenRevoked = UNAUTHORIZED, "token-revoked", "The API token was revoked";
    /// The API token does not allow this.
    InsufficientScope = FORBIDDEN, "insufficient-scope", "The API token does not allow this";
    /// The page's origin may not call.
    OriginNotAllowed = FORBIDDEN, "origin-not-allowed", "This origin may not call";
    /// The token shown is not the subscription's.
    NotYourSubscription = FORBIDDEN, "not-your-subscription", "Not your subscription";
    /// A page named a person without proof.
    UserNotProved = FORBIDDEN, "user-not-proved", "The user was not proved";
    /// The application cannot check user tokens.
    NoUserTokenKey = FORBIDDEN, "no-user-token-key", "User tokens cannot be checked";
    /// A page's user token is not good.
    UserTokenRefused = FORBIDDEN, "user-token-refused", "The user token was refused";
    /// There is nothing at this path.
    NotFound = NOT_FOUND, "not-found", "Nothing is here";
    /// There is no such application.
    ApplicationNotFound = NOT_FOUND, "application-not-found", "No such application";
    /// There is no such message.
    MessageNotFound = NOT_FOUND, "message-not-found", "No such message";
    /// There is no such subscription.
    SubscriptionNotFound = NOT_FOUND, "subscription-not-found", "No such subscription";
    /// There is no such VAPID key.
    VapidKeyNotFound = NOT_FOUND, "vapid-key-not-found", "No such VAPID key";
    /// There is no such API token.
    ApiTokenNotFound = NOT_FOUND, "api-token-not-found", "No such API token";
    /// The path knows other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here";
    /// The body took too long to arrive.
    BodyTimeout = REQUEST_TIMEOUT, "body-timeout", "The body took too long";
    /// The endpoint belongs to a subscription with other keys.
    EndpointTaken = CONFLICT, "endpoint-taken", "The endpoint is registered with other keys";
    /// The person has as many active subscriptions as the application allows.
    TooManySubscriptions = CONFLICT, "too-many-subscriptions", "The user has too many subscriptions";
    /// The subscription cannot be sent to any more.
    SubscriptionNotActive = CONFLICT, "subscription-not-active", "The subscription is not active";
    /// What is kept of the subscription cannot be read.
    SubscriptionDamaged = CONFLICT, "subscription-damaged", "The subscription is damaged";
    /// The subscription was unsubscribed.
    SubscriptionEnded = CONFLICT, "subscription-ended", "The subscription was ended";
    /// The active VAPID key cannot be retired.
    VapidKeyActive = CONFLICT, "vapid-key-active", "The VAPID key is active";
    /// The application has no active VAPID key.
    NoActiveVapidKey = CONFLICT, "no-active-vapid-key", "There is no active VAPID key";
    /// The body is larger than the limit.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    /// The body is not sent as what is taken here.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The media type is not supported";
    /// The JSON has members that are wrong.
    InvalidInput = UNPROCESSABLE_ENTITY, "invalid-input", "The input is not valid";
    /// The message does not fit into one push message.
    PayloadTooLarge = UNPROCESSABLE_ENTITY, "payload-too-large", "The message does not fit";
    /// The idempotency key was used with another body.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The idempotency key was used before";
    /// More was asked than is answered in this time.
    RateLimited = TOO_MANY_REQUESTS, "rate-limited", "Too many requests";
    /// The last test notification was just sent.
    TestTooSoon = TOO_MANY_REQUESTS, "test-too-soon", "Too soon for another test";
    /// A fault in the server.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The server failed";
    /// The server cannot answer right now.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not available right now";
}

impl ProblemType {
    /// The member `type` of its documents.
    pub fn uri(self) -> String {
        format!("{TYPE_PREFIX}{}", self.slug())
    }
}
