use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use crate::{Contact, PushResource, VapidError, VapidKey, VapidPublicKey, VapidToken, verify};

const HOUR: Duration = Duration::from_hours(1);

/// Half of what push services allow: leaves room for clocks that disagree.
const LIFETIME: Duration = HOUR.saturating_mul(12);

/// A token is used until this much of its life is left.
const RENEW_BELOW: Duration = HOUR.saturating_mul(6);

/// No push service takes a token that expires later than this (RFC 8292 §2).
const LONGEST_ACCEPTED: Duration = HOUR.saturating_mul(24);

/// Apple asks not to renew tokens more often.
const LEAST_BETWEEN_RENEWALS: Duration = HOUR;

/// Enough for every push service there is; strangers' endpoints cannot grow the cache beyond it.
const MAX_TOKENS: usize = 4096;

/// VAPID tokens by key and push service, signed once and used for hours.
///
/// RFC 8292 §5 asks for the reuse, so that push services can cache their check. A token lives 12
/// hours and is renewed when 6 are left, or when the clock was set back so far that push services
/// would refuse it.
pub struct TokenCache {
    contact: Option<Contact>,
    tokens: Mutex<Tokens>,
}

impl TokenCache {
    /// An empty cache. `contact` goes into every token; without it Apple refuses them.
    pub fn new(contact: Option<Contact>) -> Self {
        Self {
            contact,
            tokens: Mutex::default(),
        }
    }

    /// The `Authorization` header for a push message to `resource`, signed with `key`.
    ///
    /// Spec: RFC 8292 §3.
    pub fn authorization(
        &self,
        key: &VapidKey,
        resource: &PushResource,
        now: SystemTime,
    ) -> Result<HeaderValue, VapidError> {
        self.look_up(key, resource, now, |token, _| token.authorization())
    }

    /// The token behind [`authorization`](Self::authorization). Cloning it is cheap.
    ///
    /// Spec: RFC 8292 §5.
    pub fn token(
        &self,
        key: &VapidKey,
        resource: &PushResource,
        now: SystemTime,
    ) -> Result<VapidToken, VapidError> {
        self.look_up(key, resource, now, |token, _| token.clone())
    }

    /// The same as [`authorization`](Self::authorization), and the token, if it was signed just
    /// now: then it may be kept for [`restore`](Self::restore).
    pub fn authorize(
        &self,
        key: &VapidKey,
        resource: &PushResource,
        now: SystemTime,
    ) -> Result<Authorized, VapidError> {
        self.look_up(key, resource, now, |token, is_new| Authorized {
            authorization: token.authorization(),
            signed: is_new.then(|| token.clone()),
        })
    }

    /// Takes a token that a cache of an earlier run signed, so that it is used to its end, and is
    /// renewed after a refusal as seldom as if there had been no restart.
    ///
    /// `false`, and nothing is taken, if it is not good for this key and this push service, was
    /// signed for another contact, or is older than what the cache has.
    pub fn restore(
        &self,
        public_key: &VapidPublicKey,
        origin: &str,
        token: VapidToken,
        signed_at: SystemTime,
        now: SystemTime,
    ) -> bool {
        let Ok(verified) = verify::authorization(&token.authorization(), origin, now) else {
            return false;
        };
        let contact = self.contact.as_ref().map(Contact::as_str);
        if verified.public_key != *public_key
            || verified.expires_at != token.expires_at()
            || verified.subject.as_deref() != contact
        {
            return false;
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens
            .get(public_key, origin)
            .is_some_and(|known| known.signed_at >= signed_at)
        {
            return false;
        }
        let entry = Entry {
            token,
            signed_at,
            refused: false,
        };
        tokens.insert(public_key, origin, entry);
        true
    }

    /// Notes that a push service refused the token, so that the next one is new: at most once an
    /// hour, since a refusal is more often about the key or the contact than about the token.
    pub fn forget(&self, public_key: &VapidPublicKey, origin: &str) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = tokens.get_mut(public_key, origin) {
            entry.refused = true;
        }
    }

    /// Gives `take` the token, and whether it was signed just now. Only what is taken is copied:
    /// this runs for every request.
    fn look_up<T>(
        &self,
        key: &VapidKey,
        resource: &PushResource,
        now: SystemTime,
        take: impl FnOnce(&VapidToken, bool) -> T,
    ) -> Result<T, VapidError> {
        // Held while signing, so that many senders that start at once sign one token, not many.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = tokens.get(key.public_key(), resource.origin())
            && !entry.is_due(now)
        {
            return Ok(take(&entry.token, false));
        }
        let expires_at = now.checked_add(LIFETIME).ok_or(VapidError::Expiry)?;
        let token = key.sign(resource.origin(), self.contact.as_ref(), expires_at)?;
        let taken = take(&token, true);
        let entry = Entry {
            token,
            signed_at: now,
            refused: false,
        };
        tokens.insert(key.public_key(), resource.origin(), entry);
        Ok(taken)
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenCache")
    }
}

/// What [`TokenCache::authorize`] gives.
#[derive(Clone, Debug)]
pub struct Authorized {
    /// The `Authorization` header, marked as sensitive.
    pub authorization: HeaderValue,
    /// The token, if it was signed for this request.
    pub signed: Option<VapidToken>,
}

struct Entry {
    token: VapidToken,
    signed_at: SystemTime,
    refused: bool,
}

impl Entry {
    fn is_due(&self, now: SystemTime) -> bool {
        let left = self
            .token
            .expires_at()
            .duration_since(now)
            .unwrap_or_default();
        if left < RENEW_BELOW || left > LONGEST_ACCEPTED {
            return true;
        }
        // A clock that went back behind the signature is itself a likely cause of the refusal.
        let age = now.duration_since(self.signed_at);
        self.refused && age.map_or(true, |age| age >= LEAST_BETWEEN_RENEWALS)
    }
}

/// Two levels, so that a look-up borrows both parts of the key.
#[derive(Default)]
struct Tokens {
    by_key: HashMap<VapidPublicKey, HashMap<Box<str>, Entry>>,
    count: usize,
}

impl Tokens {
    fn insert(&mut self, public_key: &VapidPublicKey, origin: &str, entry: Entry) {
        if self.get(public_key, origin).is_none() && self.count >= MAX_TOKENS {
            self.remove_oldest();
        }
        let by_origin = self.by_key.entry(public_key.clone()).or_default();
        if by_origin.insert(origin.into(), entry).is_none() {
            self.count += 1;
        }
    }

    fn remove_oldest(&mut self) {
        let oldest = self
            .by_key
            .iter()
            .flat_map(|(key, by_origin)| by_origin.iter().map(move |(origin, e)| (e, key, origin)))
            .min_by_key(|(entry, _, _)| entry.signed_at)
            .map(|(_, key, origin)| (key.clone(), origin.clone()));
        let Some((key, origin)) = oldest else {
            return;
        };
        if let Some(by_origin) = self.by_key.get_mut(&key)
            && by_origin.remove(&origin).is_some()
        {
            self.count -= 1;
            if by_origin.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }

    fn get_mut(&mut self, public_key: &VapidPublicKey, origin: &str) -> Option<&mut Entry> {
        self.by_key.get_mut(public_key)?.get_mut(origin)
    }

    fn get(&self, public_key: &VapidPublicKey, origin: &str) -> Option<&Entry> {
        self.by_key.get(public_key)?.get(origin)
    }
}
