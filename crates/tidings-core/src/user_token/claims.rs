//! The claims of a user token (RFC 7519 §4.1).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::subscription::UserId;
use crate::user_token::UserTokenError;

/// How far apart the clocks of the back end and of this server may be, each way.
const LEEWAY: Duration = Duration::from_mins(1);

/// How far ahead a token may expire. Whoever copies one can register as its user until then.
const MAX_LIFETIME: Duration = Duration::from_hours(1);

/// The claims that matter. Each is there at most once; serde refuses the second.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: Option<Value>,
    aud: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
}

impl Claims {
    /// Whom they name, if they are meant for `audience` and good at `now`.
    pub(super) fn check(&self, audience: &str, now: Timestamp) -> Result<UserId, UserTokenError> {
        if !self.is_meant_for(audience)? {
            let wanted = audience.to_owned();
            return Err(UserTokenError::Audience { wanted });
        }
        let expires_at = instant("exp", self.exp.as_ref())?.ok_or(missing("exp"))?;
        if expires_at.plus(LEEWAY) <= now {
            let seconds = now.since(expires_at).as_secs();
            return Err(UserTokenError::Expired { seconds });
        }
        if expires_at > now.plus(MAX_LIFETIME).plus(LEEWAY) {
            let seconds = expires_at.since(now).as_secs();
            return Err(UserTokenError::TooLong { seconds });
        }
        for (name, value) in [("nbf", &self.nbf), ("iat", &self.iat)] {
            let begins_at = instant(name, value.as_ref())?;
            if let Some(begins_at) = begins_at.filter(|begins_at| *begins_at > now.plus(LEEWAY)) {
                let seconds = begins_at.since(now).as_secs();
                return Err(UserTokenError::NotYet { name, seconds });
            }
        }
        self.user()
    }

    fn is_meant_for(&self, audience: &str) -> Result<bool, UserTokenError> {
        let wrong = UserTokenError::Claim {
            name: "aud",
            what: "must be a text or a list of texts",
        };
        match self.aud.as_ref().ok_or(missing("aud"))? {
            Value::String(one) => Ok(one == audience),
            Value::Array(several) if several.iter().all(Value::is_string) => {
                Ok(several.iter().any(|one| one == audience))
            }
            _ => Err(wrong),
        }
    }

    fn user(&self) -> Result<UserId, UserTokenError> {
        let user = self.sub.as_ref().ok_or(missing("sub"))?;
        user.as_str()
            .and_then(UserId::parse)
            .ok_or(UserTokenError::Claim {
                name: "sub",
                what: "must be the user: a text of 1 to 128 octets without control characters",
            })
    }
}

fn missing(name: &'static str) -> UserTokenError {
    let what = "is missing";
    UserTokenError::Claim { name, what }
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction.
fn instant(name: &'static str, value: Option<&Value>) -> Result<Option<Timestamp>, UserTokenError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let since_1970 = value
        .as_f64()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let what = "must be a number: seconds since 1970-01-01T00:00:00Z";
    since_1970
        .map(|since_1970| Some(Timestamp::from_millis(0).plus(since_1970)))
        .ok_or(UserTokenError::Claim { name, what })
}
