use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tidings_webpush::verify::{self, Verified};
use tidings_webpush::{Contact, VapidPublicKey};

use crate::personality::Personality;
use crate::refusal::Refusal;

/// How many good tokens are remembered.
const CAPACITY: usize = 4_096;

/// A token may be good for at most so long (RFC 8292 §2).
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// The scheme that carries the key beside the token (RFC 8292 §3).
const SCHEME: &[u8] = b"vapid ";

/// Verifies VAPID tokens for one audience, each of them once: RFC 8292 §5 has senders reuse them
/// so that a push service can do this.
pub(crate) struct VapidCheck {
    audience: String,
    checks_contact: bool,
    good: RwLock<HashMap<HeaderValue, Verified>>,
    /// The newest of them: who sends to many sends it each time, and to compare is less than to hash.
    newest: RwLock<Option<(HeaderValue, Verified)>>,
}

impl VapidCheck {
    /// `audience` is the origin of the endpoints handed out.
    pub(crate) fn new(audience: String, personality: Personality) -> Self {
        Self {
            audience,
            checks_contact: personality.checks_contact(),
            good: RwLock::default(),
            newest: RwLock::default(),
        }
    }

    /// The origin that tokens must name.
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// Who signed, as the headers of a push message say.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<VapidPublicKey, Refusal> {
        let token = only_token_with_key(headers);
        if let Some(key) = token.and_then(|token| self.known(token, now)) {
            return Ok(key);
        }
        let verified = verify::request(headers, &self.audience, now).map_err(Refusal::Vapid)?;
        if self.checks_contact {
            let contact = verified.subject.as_deref().ok_or(Refusal::NoContact)?;
            Contact::parse(contact).map_err(Refusal::Contact)?;
        }
        let key = verified.public_key.clone();
        if let Some(token) = token {
            self.remember(token, verified, now);
        }
        Ok(key)
    }

    fn remember(&self, token: &HeaderValue, verified: Verified, now: SystemTime) {
        let mut good = self.good.write().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= CAPACITY {
            good.retain(|_, verified| verified.expires_at > now);
        }
        if good.len() >= CAPACITY {
            good.clear();
        }
        // A copy: the value as it came shares its memory with all headers of its request.
        if let Ok(copy) = HeaderValue::from_bytes(token.as_bytes()) {
            let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
            *newest = Some((copy.clone(), verified.clone()));
            good.insert(copy, verified);
        }
    }

    fn known(&self, token: &HeaderValue, now: SystemTime) -> Option<VapidPublicKey> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, verified)) = newest.as_ref().filter(|(good, _)| good == token) {
            return still_good(verified, now);
        }
        drop(newest);
        let good = self.good.read().unwrap_or_else(PoisonError::into_inner);
        still_good(good.get(token)?, now)
    }
}

/// Whose it is, unless the clock has moved past one of its ends.
fn still_good(verified: &Verified, now: SystemTime) -> Option<VapidPublicKey> {
    let left = verified.expires_at.duration_since(now).ok()?;
    (!left.is_zero() && left <= LONGEST_LIFE).then(|| verified.public_key.clone())
}

/// The `Authorization` header if it alone decides. With the draft's scheme `WebPush` the key is in
/// another header, so the same value may come with another key.
fn only_token_with_key(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let scheme = value.as_bytes().get(..SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(value)
}

#[cfg(test)]
mod tests {
    use tidings_webpush::VapidKey;
    use tidings_webpush::verify::VerifyError;

    use super::*;

    #[test]
    fn a_remembered_token_still_expires() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let origin = "http://127.0.0.1:8082";
        let key = VapidKey::generate().unwrap();
        let token = key
            .sign(origin, None, now + Duration::from_hours(12))
            .unwrap();
        let check = VapidCheck::new(origin.to_owned(), Personality::Mozilla);
        let header = HeaderMap::from_iter([(AUTHORIZATION, token.authorization())]);
        assert!(check.verify(&header, now).is_ok());
        assert!(
            check
                .verify(&header, now + Duration::from_hours(11))
                .is_ok()
        );
        let expired = check.verify(&header, now + Duration::from_hours(12));
        assert_eq!(expired, Err(Refusal::Vapid(VerifyError::Expired)));
        let too_early = check.verify(&header, now - Duration::from_hours(13));
        assert_eq!(too_early, Err(Refusal::Vapid(VerifyError::TooLong)));
    }

    #[test]
    fn each_of_several_tokens_names_its_own_key() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let origin = "http://127.0.0.1:8082";
        let check = VapidCheck::new(origin.to_owned(), Personality::Mozilla);
        let signed = |key: &VapidKey, hours| {
            let until = now + Duration::from_hours(hours);
            let token = key.sign(origin, None, until).unwrap();
            HeaderMap::from_iter([(AUTHORIZATION, token.authorization())])
        };
        let keys = [VapidKey::generate().unwrap(), VapidKey::generate().unwrap()];
        let headers = [signed(&keys[0], 12), signed(&keys[1], 6)];
        for (key, header) in keys.iter().zip(&headers).cycle().take(6) {
            assert_eq!(check.verify(header, now).as_ref(), Ok(key.public_key()));
        }
        // The second one, which was verified last, ends before the first.
        let later = now + Duration::from_hours(7);
        let ended = check.verify(&headers[1], later);
        assert_eq!(ended, Err(Refusal::Vapid(VerifyError::Expired)));
        let first = check.verify(&headers[0], later);
        assert_eq!(first.as_ref(), Ok(keys[0].public_key()));
    }

    #[test]
    fn a_token_of_the_draft_is_not_remembered_without_its_key() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let origin = "http://127.0.0.1:8082";
        let (key, other) = (VapidKey::generate().unwrap(), VapidKey::generate().unwrap());
        let token = key
            .sign(origin, None, now + Duration::from_hours(12))
            .unwrap();
        let check = VapidCheck::new(origin.to_owned(), Personality::Mozilla);
        let verify = |key: &VapidKey| {
            let crypto_key = format!("p256ecdsa={}", key.public_key().to_base64url());
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, token.legacy_authorization());
            headers.insert("crypto-key", crypto_key.parse().unwrap());
            check.verify(&headers, now)
        };
        assert_eq!(verify(&key).as_ref(), Ok(key.public_key()));
        assert_eq!(verify(&other), Err(Refusal::Vapid(VerifyError::Signature)));
    }
}
