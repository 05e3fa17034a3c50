//! VAPID keys: making, importing, activating, retiring.

use tidings_webpush::{VapidError, VapidKey};

use crate::application::ApplicationId;
use crate::application_server::ApplicationServer;
use crate::id::VapidKeyId;
use crate::store::{NewVapidKey, StoreError};
use crate::vapid_key::{VapidKeyRecord, VapidKeyState};

/// What to do with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VapidKeyChange {
    /// Hand it out to pages from now on.
    Activate,
    /// Never use it again.
    Retire,
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum VapidKeyError {
    /// The application has no key with this id.
    #[error("there is no VAPID key {0}")]
    Unknown(VapidKeyId),
    /// The active key cannot be retired: pages would have none to subscribe with.
    #[error("the active VAPID key cannot be retired")]
    IsActive,
    /// No key pair could be made.
    #[error("no VAPID key pair could be made: {0}")]
    NotMade(#[source] VapidError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApplicationServer {
    /// The application's keys, oldest first, with the number of active subscriptions made with
    /// each.
    pub async fn vapid_keys(
        &self,
        app: ApplicationId,
    ) -> Result<Vec<(VapidKeyRecord, u64)>, StoreError> {
        let keys = self.parts.store.vapid_keys(app).await?;
        let counts = self.parts.store.subscriptions_by_vapid_key(app).await?;
        let with_count = |key: VapidKeyRecord| {
            let count = counts.get(&key.id).copied().unwrap_or(0);
            (key, count)
        };
        Ok(keys.into_iter().map(with_count).collect())
    }

    /// The key that pages subscribe with.
    pub async fn active_vapid_key(
        &self,
        app: ApplicationId,
    ) -> Result<Option<VapidKeyRecord>, StoreError> {
        let keys = self.parts.store.vapid_keys(app).await?;
        Ok(keys
            .into_iter()
            .find(|key| key.state == VapidKeyState::Active))
    }

    /// Keeps an imported key, or makes one: live, or active if the application has no active key
    /// yet. Importing a known key again changes nothing.
    pub async fn add_vapid_key(
        &self,
        app: ApplicationId,
        imported: Option<VapidKey>,
    ) -> Result<VapidKeyRecord, VapidKeyError> {
        let key = imported
            .map_or_else(VapidKey::generate, Ok)
            .map_err(VapidKeyError::NotMade)?;
        let state = match self.active_vapid_key(app).await? {
            Some(_) => VapidKeyState::Live,
            None => VapidKeyState::Active,
        };
        Ok(self.keep_vapid_key(app, key, state).await?)
    }

    /// Makes sure that the application has an active key: `configured` if there is one, else the
    /// one it has, else a new one.
    pub async fn ensure_vapid_key(
        &self,
        app: ApplicationId,
        configured: Option<VapidKey>,
    ) -> Result<VapidKeyRecord, VapidKeyError> {
        let key = match (configured, self.active_vapid_key(app).await?) {
            (Some(key), _) => key,
            (None, Some(record)) => return Ok(record),
            (None, None) => VapidKey::generate().map_err(VapidKeyError::NotMade)?,
        };
        Ok(self.keep_vapid_key(app, key, VapidKeyState::Active).await?)
    }

    /// Activates or retires a key.
    pub async fn change_vapid_key(
        &self,
        app: ApplicationId,
        id: VapidKeyId,
        change: VapidKeyChange,
    ) -> Result<VapidKeyRecord, VapidKeyError> {
        let keys = self.parts.store.vapid_keys(app).await?;
        let key = keys
            .iter()
            .find(|key| key.id == id)
            .ok_or(VapidKeyError::Unknown(id))?;
        let state = match change {
            VapidKeyChange::Activate => VapidKeyState::Active,
            VapidKeyChange::Retire if key.state == VapidKeyState::Active => {
                return Err(VapidKeyError::IsActive);
            }
            VapidKeyChange::Retire => VapidKeyState::Retired,
        };
        let changed = self.parts.store.set_vapid_key_state(app, id, state).await?;
        changed.ok_or(VapidKeyError::Unknown(id))
    }

    async fn keep_vapid_key(
        &self,
        app: ApplicationId,
        key: VapidKey,
        state: VapidKeyState,
    ) -> Result<VapidKeyRecord, StoreError> {
        let now = self.parts.clock.now();
        let id = VapidKeyId::new(now, self.parts.randomness.as_ref());
        let new = NewVapidKey {
            id,
            application: app,
            key,
            state,
            created_at: now,
        };
        self.parts.store.add_vapid_key(new).await
    }
}
