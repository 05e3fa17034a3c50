//! The VAPID keys to sign with, and the tokens signed with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::VapidKeyId;
use tidings_core::store::{SendingStore, StoreError};
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::{Contact, PushResource, TokenCache, VapidError, VapidKey};

/// A loaded key is used for so long before it is looked at again: it may have been retired.
const LOADED_FOR: Duration = Duration::from_secs(5);

pub(super) struct Keyring {
    store: Arc<dyn SendingStore>,
    loaded: Mutex<HashMap<VapidKeyId, (Instant, VapidKey)>>,
    loading: tokio::sync::Mutex<()>,
    tokens: TokenCache,
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyringError {
    #[error("the VAPID key {0} is retired: activate it, or let the page subscribe again")]
    Retired(VapidKeyId),
    #[error("the VAPID token could not be signed: {0}")]
    Sign(#[from] VapidError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Keyring {
    pub(super) fn new(store: Arc<dyn SendingStore>, contact: Option<Contact>) -> Self {
        Self {
            store,
            loaded: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            tokens: TokenCache::new(contact),
        }
    }

    /// The `Authorization` header for a push resource.
    pub(super) async fn authorize(
        &self,
        app: ApplicationId,
        key: VapidKeyId,
        resource: &PushResource,
        now: Timestamp,
    ) -> Result<HeaderValue, KeyringError> {
        let key = self.key(app, key).await?;
        Ok(self
            .tokens
            .authorization(&key, resource, now.to_system_time())?)
    }

    /// A push service refused a token: the next one is signed anew (at most hourly).
    pub(super) fn refused(&self, key: VapidKeyId, resource: &PushResource) {
        if let Some((_, key)) = self.lock_loaded().get(&key) {
            self.tokens.forget(key.public_key(), resource.origin());
        }
    }

    async fn key(&self, app: ApplicationId, id: VapidKeyId) -> Result<VapidKey, KeyringError> {
        if let Some(key) = self.loaded_lately(id) {
            return Ok(key);
        }
        // One looks; whoever else needs a key meanwhile waits for it instead of looking too.
        let _loading = self.loading.lock().await;
        if let Some(key) = self.loaded_lately(id) {
            return Ok(key);
        }
        let keys = self.store.vapid_keys(app).await?;
        let in_use = keys
            .iter()
            .any(|key| key.id == id && key.state != VapidKeyState::Retired);
        let pair = self.store.vapid_key_pair(app, id).await?;
        let key = pair.filter(|_| in_use).ok_or(KeyringError::Retired(id))?;
        self.lock_loaded().insert(id, (Instant::now(), key.clone()));
        Ok(key)
    }

    fn loaded_lately(&self, id: VapidKeyId) -> Option<VapidKey> {
        let loaded = self.lock_loaded();
        let (since, key) = loaded.get(&id)?;
        (since.elapsed() < LOADED_FOR).then(|| key.clone())
    }

    fn lock_loaded(&self) -> MutexGuard<'_, HashMap<VapidKeyId, (Instant, VapidKey)>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
