//! What a request has used up, on its way through layers and extractors to the answer's headers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::client_address::ClientNetwork;
use crate::problem::ApiError;
use crate::rate_limits::Taken;
use crate::rate_limits::bucket::Standing;

/// What is left (draft-ietf-httpapi-ratelimit-headers-11).
pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Which limits there are (the same draft).
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// One request's account. A request that is not limited has none.
#[derive(Clone)]
pub(crate) struct Account {
    network: ClientNetwork,
    told: Arc<Mutex<Vec<Standing>>>,
}

impl Account {
    pub(crate) fn new(network: ClientNetwork) -> Self {
        Self {
            network,
            told: Arc::default(),
        }
    }

    pub(crate) fn network(&self) -> ClientNetwork {
        self.network
    }

    /// Remembers what is left of a limit. Nothing left is a problem.
    pub(crate) fn enter(&self, taken: Taken) -> Result<(), ApiError> {
        match taken {
            Ok(None) => Ok(()),
            Ok(Some(left)) => {
                self.note(left);
                Ok(())
            }
            Err(exceeded) => {
                self.note(exceeded);
                Err(ApiError::RateLimited(exceeded))
            }
        }
    }

    pub(crate) fn note(&self, standing: Standing) {
        self.lock().push(standing);
    }

    /// Tells the caller what is left of each limit.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let told = self.lock();
        if told.is_empty() {
            return;
        }
        let policies = told.iter().map(|Standing { policy, .. }| {
            let (name, quota) = (policy.name, policy.quota);
            format!("\"{name}\";q={quota};w={}", whole_seconds(policy.window))
        });
        let standings = told.iter().map(|standing| {
            let (name, remaining) = (standing.policy.name, standing.remaining);
            format!(
                "\"{name}\";r={remaining};t={}",
                whole_seconds(standing.reset)
            )
        });
        insert(headers, RATE_LIMIT_POLICY, policies);
        insert(headers, RATE_LIMIT, standings);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Standing>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account of a request, if it is limited.
pub(crate) struct Counted(pub(crate) Option<Account>);

impl<S: Sync> FromRequestParts<S> for Counted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

/// Rounded up: who waits for so long waits long enough.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, items: impl Iterator<Item = String>) {
    let list = items.collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&list) {
        headers.insert(name, value);
    }
}
