//! How the errors of use cases become ours.

use tidings_core::application_server::{
    AcceptError, ApiTokenRefused, ChangeError, OwnSubscriptionError, PageUserError, RegisterError,
    RestoreError, TestError, VapidKeyError,
};
use tidings_core::store::StoreError;
use tidings_webpush::AdmissionError;

use crate::problem::ApiError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ApiTokenRefused> for ApiError {
    fn from(refused: ApiTokenRefused) -> Self {
        match refused {
            ApiTokenRefused::Unknown => Self::Unauthorized { shown: true },
            ApiTokenRefused::Expired { at } => Self::TokenExpired { at },
            ApiTokenRefused::Revoked { at } => Self::TokenRevoked { at },
            ApiTokenRefused::Store(error) => Self::Store(error),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::NotAdmitted(reason) => Self::input("/endpoint", not_admitted(&reason)),
            RegisterError::OtherKeys => Self::EndpointTaken,
            RegisterError::User(error) => error.into(),
            RegisterError::TooManySubscriptions { cap } => Self::TooManySubscriptions { cap },
            RegisterError::UnknownVapidKey(_) => Self::input(
                "/vapid_key",
                "the application has no such key in use: give the `id` that came with the public \
                 key, or leave it out",
            ),
            RegisterError::NoEncoding => Self::input(
                "/encodings",
                "must contain `aes128gcm` or `aesgcm`: messages to a browser with neither cannot be encrypted",
            ),
            RegisterError::NoActiveKey => Self::NoActiveVapidKey,
            RegisterError::Store(error) => Self::Store(error),
        }
    }
}

impl ApiError {
    /// Why a line of an import was refused. Who moves house can bring the key along, and must: without
    /// it, nothing that is sent to the subscription is accepted.
    pub(crate) fn of_import(error: RegisterError) -> Self {
        match error {
            RegisterError::UnknownVapidKey(_) => Self::input(
                "/vapid_key",
                "the application has no such key in use: first import the key that the subscription \
                 was made with (`tidings vapid import --keep-active FILE`, or POST /v1/vapid-keys), \
                 then import again. Left out, the active key is taken, which is right only if the \
                 subscription was made with that one",
            ),
            other => other.into(),
        }
    }
}

impl From<PageUserError> for ApiError {
    fn from(error: PageUserError) -> Self {
        match error {
            PageUserError::NotProved => Self::UserNotProved,
            PageUserError::NoKey => Self::NoUserTokenKey,
            PageUserError::Refused(error) => Self::UserTokenRefused(error.to_string()),
            PageUserError::OtherUser => Self::UserTokenRefused(
                "its `sub` is not the `user` that the request names: leave `user` out, or have the \
                 token made for that user"
                    .to_owned(),
            ),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::TooManySubscriptions { cap } => Self::TooManySubscriptions { cap },
            ChangeError::Store(error) => Self::Store(error),
        }
    }
}

impl From<RestoreError> for ApiError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Ended => Self::SubscriptionEnded,
            RestoreError::TooManySubscriptions { cap } => Self::TooManySubscriptions { cap },
            RestoreError::Store(error) => Self::Store(error),
        }
    }
}

impl From<OwnSubscriptionError> for ApiError {
    fn from(error: OwnSubscriptionError) -> Self {
        match error {
            OwnSubscriptionError::NotYours => Self::NotYourSubscription,
            OwnSubscriptionError::User(error) => error.into(),
            OwnSubscriptionError::Change(error) => error.into(),
            OwnSubscriptionError::Store(error) => Self::Store(error),
        }
    }
}

impl From<TestError> for ApiError {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Own(error) => error.into(),
            TestError::TooSoon { wait } => Self::TestTooSoon { wait },
            TestError::NotActive(state) => Self::SubscriptionNotActive(state),
            TestError::Accept(error) => error.into(),
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Notification(error) => {
                Self::input(format!("/notification{}", error.pointer), error.what)
            }
            AcceptError::TooLarge(error) => Self::PayloadTooLarge(error),
            AcceptError::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            AcceptError::Store(error) => Self::Store(error),
        }
    }
}

impl From<VapidKeyError> for ApiError {
    fn from(error: VapidKeyError) -> Self {
        match error {
            VapidKeyError::Unknown(_) => Self::VapidKeyNotFound,
            VapidKeyError::IsActive => Self::VapidKeyActive,
            VapidKeyError::NotMade(error) => Self::Internal(error.to_string()),
            VapidKeyError::Store(error) => Self::Store(error),
        }
    }
}

/// Why an endpoint was refused, and the settings with which its operator would admit it.
fn not_admitted(reason: &AdmissionError) -> String {
    let settings = match reason {
        AdmissionError::UnknownHost
        | AdmissionError::Port { .. }
        | AdmissionError::NotPublicName => "setting push.hosts",
        AdmissionError::NotPublic { .. } => "setting push.allow_networks",
        AdmissionError::Insecure => "settings push.allow_networks and push.allow_insecure",
        _ => return reason.to_string(),
    };
    format!("{reason} ({settings})")
}
