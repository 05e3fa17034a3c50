//! Applications, secrets, VAPID keys, housekeeping.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use async_trait::async_trait;
use tidings_webpush::{VapidKey, VapidToken};

use crate::application::{ApplicationId, ApplicationName};
use crate::clock::Timestamp;
use crate::id::VapidKeyId;
use crate::mac::MacSecrets;
use crate::pruning::{HISTORY, SLOT, SUSPECT_FOR};
use crate::store::StoreError;
use crate::vapid_key::{VapidKeyRecord, VapidKeyState};

/// What a server reads when it starts, and what it does now and then.
#[async_trait]
pub trait SetupStore: Send + Sync {
    /// All applications. A fresh database has one, [`ApplicationId::DEFAULT`].
    async fn applications(&self) -> Result<Vec<(ApplicationId, ApplicationName)>, StoreError>;

    /// The keys of the keyed hashes. `made` are kept if there are none yet.
    async fn mac_secrets(&self, made: MacSecrets) -> Result<MacSecrets, StoreError>;

    /// Forgets what has been kept long enough, some rows at a time.
    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError>;

    /// Whether the database answers and can be written to.
    async fn check(&self) -> Result<(), StoreError>;
}

/// How long tombstones are kept (`docs/api.md`).
const TOMBSTONES_KEPT: Duration = Duration::from_hours(30 * 24);

/// How long idempotency keys are kept (`docs/api.md`).
const IDEMPOTENCY_KEPT: Duration = Duration::from_hours(24);

/// How long messages are kept after they were done (`docs/api.md`).
const MESSAGES_KEPT: Duration = Duration::from_hours(30 * 24);

/// How long their batches are: nothing shows them by then.
const BATCHES_KEPT: Duration = Duration::from_mins(10);

/// What has been kept long enough: all that is older than these instants.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// The present.
    pub now: Timestamp,
    /// Tombstones that ended before.
    pub tombstones_before: Timestamp,
    /// Idempotency keys that were used before.
    pub idempotency_keys_before: Timestamp,
    /// Suspects since before: nobody restored them, so they are gone and become tombstones.
    pub suspects_before: Timestamp,
    /// Counts of answers from before: too old for the pruning guard's history.
    pub answers_before: Timestamp,
    /// Batches of messages that were done before: only their counts are kept.
    pub fold_before: Timestamp,
    /// Messages that were done before, with what browsers reported of them.
    pub messages_before: Timestamp,
}

impl Sweep {
    /// By the times that Tidings promises.
    pub fn at(now: Timestamp) -> Self {
        Self {
            now,
            tombstones_before: now.minus(TOMBSTONES_KEPT),
            idempotency_keys_before: now.minus(IDEMPOTENCY_KEPT),
            suspects_before: now.minus(SUSPECT_FOR),
            answers_before: now.minus(HISTORY).minus(SLOT),
            fold_before: now.minus(BATCHES_KEPT),
            messages_before: now.minus(MESSAGES_KEPT),
        }
    }
}

/// What was forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Subscriptions whose tombstones were removed.
    pub tombstones: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Tombstones from right before a wave that became suspect.
    pub suspected: u64,
    /// Suspect subscriptions that became tombstones.
    pub confirmed: u64,
    /// Counts of answers.
    pub answers: u64,
    /// VAPID tokens that had expired.
    pub vapid_tokens: u64,
    /// Batches that were folded into the counts of their messages, and deliveries of theirs.
    pub folded: u64,
    /// Messages.
    pub messages: u64,
    /// What browsers reported of them.
    pub receipts: u64,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, more: Self) {
        self.tombstones += more.tombstones;
        self.idempotency_keys += more.idempotency_keys;
        self.suspected += more.suspected;
        self.confirmed += more.confirmed;
        self.answers += more.answers;
        self.vapid_tokens += more.vapid_tokens;
        self.folded += more.folded;
        self.messages += more.messages;
        self.receipts += more.receipts;
    }
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

/// A VAPID token, to be used over a restart: push services may check each only once.
#[derive(Clone, Debug)]
pub struct KeptToken {
    /// Whose key signed it.
    pub application: ApplicationId,
    /// The key that signed it.
    pub key: VapidKeyId,
    /// The push service that it is for.
    pub origin: String,
    /// The token. A secret.
    pub token: VapidToken,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// How many tokens are kept, of all keys together. Strangers choose the origins.
pub const MOST_KEPT_TOKENS: u32 = 1000;

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

    /// Keeps tokens, each in place of the one of the same key for the same origin. Those of keys
    /// that are not in use are left out. The oldest go where there are more than
    /// [`MOST_KEPT_TOKENS`].
    async fn keep_vapid_tokens(&self, tokens: Vec<KeptToken>) -> Result<(), StoreError>;

    /// The tokens that are kept of a key and have not expired. One that cannot be read is left out.
    async fn vapid_tokens(
        &self,
        app: ApplicationId,
        key: VapidKeyId,
        now: Timestamp,
    ) -> Result<Vec<KeptToken>, StoreError>;

    /// Changes a key's state. Making one active makes the one that was active live; a key that is
    /// retired loses its tokens.
    async fn set_vapid_key_state(
        &self,
        app: ApplicationId,
        id: VapidKeyId,
        state: VapidKeyState,
    ) -> Result<Option<VapidKeyRecord>, StoreError>;
}
