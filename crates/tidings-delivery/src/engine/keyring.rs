//! The VAPID keys to sign with, and the tokens signed with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::VapidKeyId;
use tidings_core::store::{KeptToken, SendingStore, StoreError};
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::{Contact, PushResource, TokenCache, VapidError, VapidKey};
use tokio_util::task::TaskTracker;

use crate::engine::token_keeper::TokenKeeper;

/// A loaded key is used for so long before it is looked at again: it may have been retired.
const LOADED_FOR: Duration = Duration::from_secs(5);

pub(super) struct Keyring {
    store: Arc<dyn SendingStore>,
    keeper: TokenKeeper,
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
    /// One of `tasks` keeps the tokens that are signed.
    pub(super) fn new(
        store: Arc<dyn SendingStore>,
        contact: Option<Contact>,
        tasks: &TaskTracker,
    ) -> Self {
        Self {
            keeper: TokenKeeper::start(Arc::clone(&store), tasks),
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
        let pair = self.key(app, key, now).await?;
        let given = self
            .tokens
            .authorize(&pair, resource, now.to_system_time())?;
        if let Some(token) = given.signed {
            self.keeper.keep(KeptToken {
                application: app,
                key,
                origin: resource.origin().to_owned(),
                token,
                signed_at: now,
            });
        }
        Ok(given.authorization)
    }

    /// Takes the tokens that an earlier run signed with this key.
    async fn restore(&self, app: ApplicationId, id: VapidKeyId, pair: &VapidKey, now: Timestamp) {
        match self.store.vapid_tokens(app, id, now).await {
            Ok(kept) => {
                for kept in kept {
                    let signed_at = kept.signed_at.to_system_time();
                    let (origin, now) = (kept.origin, now.to_system_time());
                    self.tokens
                        .restore(pair.public_key(), &origin, kept.token, signed_at, now);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "kept VAPID tokens could not be read; others are signed");
            }
        }
    }

    /// A push service refused a token: the next one is signed anew (at most hourly).
    pub(super) fn refused(&self, key: VapidKeyId, resource: &PushResource) {
        if let Some((_, key)) = self.lock_loaded().get(&key) {
            self.tokens.forget(key.public_key(), resource.origin());
        }
    }

    async fn key(
        &self,
        app: ApplicationId,
        id: VapidKeyId,
        now: Timestamp,
    ) -> Result<VapidKey, KeyringError> {
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
        let is_first = !self.lock_loaded().contains_key(&id);
        if is_first {
            self.restore(app, id, &key, now).await;
        }
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
