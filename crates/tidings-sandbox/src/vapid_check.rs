use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tidings_webpush::VapidPublicKey;
use tidings_webpush::verify::{self, Verified, VerifyError};

/// How many good tokens are remembered.
const CAPACITY: usize = 4_096;

/// A token may be good for at most so long (RFC 8292 §2).
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// Verifies VAPID tokens for one audience, each of them once: RFC 8292 §5 has senders reuse them
/// so that a push service can do this.
pub(crate) struct VapidCheck {
    audience: String,
    good: RwLock<HashMap<HeaderValue, Verified>>,
}

impl VapidCheck {
    /// `audience` is the origin of the endpoints handed out.
    pub(crate) fn new(audience: String) -> Self {
        Self {
            audience,
            good: RwLock::default(),
        }
    }

    /// The origin that tokens must name.
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// Who signed.
    pub(crate) fn verify(
        &self,
        header: &HeaderValue,
        now: SystemTime,
    ) -> Result<VapidPublicKey, VerifyError> {
        if let Some(key) = self.known(header, now) {
            return Ok(key);
        }
        let verified = verify::authorization(header, &self.audience, now)?;
        let key = verified.public_key.clone();
        let mut good = self.good.write().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= CAPACITY {
            good.retain(|_, verified| verified.expires_at > now);
        }
        if good.len() >= CAPACITY {
            good.clear();
        }
        // A copy: the value as it came shares its memory with all headers of its request.
        if let Ok(copy) = HeaderValue::from_bytes(header.as_bytes()) {
            good.insert(copy, verified);
        }
        Ok(key)
    }

    fn known(&self, header: &HeaderValue, now: SystemTime) -> Option<VapidPublicKey> {
        let good = self.good.read().unwrap_or_else(PoisonError::into_inner);
        let verified = good.get(header)?;
        // Both ends again, in case the clock was set.
        let left = verified.expires_at.duration_since(now).ok()?;
        (!left.is_zero() && left <= LONGEST_LIFE).then(|| verified.public_key.clone())
    }
}

#[cfg(test)]
mod tests {
    use tidings_webpush::VapidKey;

    use super::*;

    #[test]
    fn a_remembered_token_still_expires() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let origin = "http://127.0.0.1:8082";
        let key = VapidKey::generate().unwrap();
        let token = key
            .sign(origin, None, now + Duration::from_hours(12))
            .unwrap();
        let check = VapidCheck::new(origin.to_owned());
        let header = token.authorization();
        assert!(check.verify(&header, now).is_ok());
        assert!(
            check
                .verify(&header, now + Duration::from_hours(11))
                .is_ok()
        );
        let expired = check.verify(&header, now + Duration::from_hours(12));
        assert_eq!(expired, Err(VerifyError::Expired));
        let too_early = check.verify(&header, now - Duration::from_hours(13));
        assert_eq!(too_early, Err(VerifyError::TooLong));
    }
}
