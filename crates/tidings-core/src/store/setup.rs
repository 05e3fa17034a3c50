//! Applications, secrets, VAPID keys, housekeeping.

use std::collections::HashMap;

use async_trait::async_trait;
use tidings_webpush::VapidKey;

use crate::application::{ApplicationId, ApplicationName};
use crate::clock::Timestamp;
use crate::id::VapidKeyId;
use crate::mac::MacSecrets;
use crate::store::StoreError;
use crate::vapid_key::{VapidKeyRecord, VapidKeyState};

/// What a server reads when it starts, and what it does now and then.
#[async_trait]
pub trait SetupStore: Send + Sync {
    /// All applications. A fresh database has one, [`ApplicationId::DEFAULT`].
    async fn applications(&self) -> Result<Vec<(ApplicationId, ApplicationName)>, StoreError>;

    /// The keys of the keyed hashes. `made` are kept if there are none yet.
    async fn mac_secrets(&self, made: MacSecrets) -> Result<MacSecrets, StoreError>;

    /// Forgets what has been kept long enough: tombstones that ended and idempotency keys that
    /// were used before these instants.
    async fn sweep(
        &self,
        tombstones_before: Timestamp,
        idempotency_before: Timestamp,
    ) -> Result<Swept, StoreError>;

    /// Whether the database answers and can be written to.
    async fn check(&self) -> Result<(), StoreError>;
}

/// What was forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Subscriptions whose tombstones were removed.
    pub tombstones: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
}

/// A VAPID key to keep.
#[derive(Clone, Debug)]
pub struct NewVapidKey {
    /// Its identifier.
    pub id: VapidKeyId,
    /// Whose it is.
    pub application: ApplicationId,
    /// The key pair.
    pub key: VapidKey,
    /// [`VapidKeyState::Active`] makes the one that was active live.
    pub state: VapidKeyState,
    /// When it was made or imported.
    pub created_at: Timestamp,
}

/// VAPID keys.
#[async_trait]
pub trait VapidKeyStore: Send + Sync {
    /// Keeps a key. A key that the application has already is returned as it was kept, made
    /// active if that was asked for.
    async fn add_vapid_key(&self, new: NewVapidKey) -> Result<VapidKeyRecord, StoreError>;

    /// The application's keys, oldest first.
    async fn vapid_keys(&self, app: ApplicationId) -> Result<Vec<VapidKeyRecord>, StoreError>;

    /// How many active subscriptions were made with each key. Slow: it counts them.
    async fn subscriptions_by_vapid_key(
        &self,
        app: ApplicationId,
    ) -> Result<HashMap<VapidKeyId, u64>, StoreError>;

    /// The key pair, whatever its state.
    async fn vapid_key_pair(
        &self,
        app: ApplicationId,
        id: VapidKeyId,
    ) -> Result<Option<VapidKey>, StoreError>;

    /// Changes a key's state. Making one active makes the one that was active live.
    async fn set_vapid_key_state(
        &self,
        app: ApplicationId,
        id: VapidKeyId,
        state: VapidKeyState,
    ) -> Result<Option<VapidKeyRecord>, StoreError>;
}
