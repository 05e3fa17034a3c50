//! API tokens: making, checking, listing, revoking, and when each was used.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api_token::{ApiTokenName, ApiTokenRecord, ApiTokenSecret, ApiTokenState, Scopes};
use crate::application::ApplicationId;
use crate::application_server::ApplicationServer;
use crate::clock::Timestamp;
use crate::id::ApiTokenId;
use crate::store::{ApiTokenUse, NewApiToken, Page, PageRequest, StoreError};

/// How long a token that expires may live: who wants longer wants one that does not expire.
pub const MAX_API_TOKEN_LIFE: Duration = Duration::from_hours(3650 * 24);

/// How long revoked and expired tokens stay in the list.
pub const API_TOKENS_KEPT: Duration = Duration::from_hours(30 * 24);

/// A token that an operator wants.
#[derive(Clone, Debug)]
pub struct ApiTokenRequest {
    /// What it is called.
    pub name: ApiTokenName,
    /// What it allows.
    pub scopes: Scopes,
    /// How long it is taken; `None` if it does not expire.
    pub expires_in: Option<Duration>,
}

/// Why what a caller showed is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ApiTokenRefused {
    /// It is the text of no token.
    #[error("there is no such API token")]
    Unknown,
    /// Its time is over.
    #[error("the API token expired at {at}")]
    Expired {
        /// Since when.
        at: Timestamp,
    },
    /// An operator took it back.
    #[error("the API token was revoked at {at}")]
    Revoked {
        /// When.
        at: Timestamp,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// When tokens were used since that was last written down: one entry a token. Requests only leave a
/// note here, so that none waits for a write, and a token in constant use costs a write a minute.
#[derive(Debug, Default)]
pub(super) struct ApiTokenUses(Mutex<HashMap<ApiTokenId, Timestamp>>);

impl ApiTokenUses {
    fn note(&self, used: ApiTokenUse) {
        let mut noted = self.lock();
        let last = noted.entry(used.id).or_insert(used.at);
        *last = used.at.max(*last);
    }

    fn last(&self, id: ApiTokenId) -> Option<Timestamp> {
        self.lock().get(&id).copied()
    }

    fn take(&self) -> Vec<ApiTokenUse> {
        let noted = std::mem::take(&mut *self.lock());
        noted
            .into_iter()
            .map(|(id, at)| ApiTokenUse { id, at })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ApiTokenId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApplicationServer {
    /// Makes a token. Its text is told here and never again.
    pub async fn add_api_token(
        &self,
        app: ApplicationId,
        request: ApiTokenRequest,
    ) -> Result<(ApiTokenRecord, ApiTokenSecret), StoreError> {
        let now = self.parts.clock.now();
        let randomness = self.parts.randomness.as_ref();
        let secret = ApiTokenSecret::generate(randomness);
        let new = NewApiToken {
            id: ApiTokenId::new(now, randomness),
            application: app,
            hash: secret.hash(),
            name: request.name,
            scopes: request.scopes,
            created_at: now,
            expires_at: request.expires_in.map(|life| now.plus(life)),
        };
        let record = self.parts.store.add_api_token(new).await?;
        tracing::info!(
            api_token.id = %record.id,
            scopes = %record.scopes,
            "an API token was made"
        );
        Ok((record, secret))
    }

    /// The token whose text a caller shows, if it is taken now.
    pub async fn authenticate(&self, shown: &str) -> Result<ApiTokenRecord, ApiTokenRefused> {
        let secret = ApiTokenSecret::parse(shown).ok_or(ApiTokenRefused::Unknown)?;
        let found = self.parts.store.api_token_by_hash(&secret.hash()).await?;
        let record = found.ok_or(ApiTokenRefused::Unknown)?;
        let now = self.parts.clock.now();
        match record.state(now) {
            ApiTokenState::Active => {}
            ApiTokenState::Expired { at } => return Err(ApiTokenRefused::Expired { at }),
            ApiTokenState::Revoked { at } => return Err(ApiTokenRefused::Revoked { at }),
        }
        self.api_token_uses.note(ApiTokenUse {
            id: record.id,
            at: now,
        });
        Ok(record)
    }

    /// The application's tokens, newest first, with uses that are not written down yet.
    pub async fn api_tokens(
        &self,
        app: ApplicationId,
        page: PageRequest<ApiTokenId>,
    ) -> Result<Page<ApiTokenRecord, ApiTokenId>, StoreError> {
        let mut page = self.parts.store.api_tokens(app, page).await?;
        for record in &mut page.items {
            record.last_used_at = record.last_used_at.max(self.api_token_uses.last(record.id));
        }
        Ok(page)
    }

    /// Takes a token back: whoever shows it from now on is refused. `false` if the application has
    /// no such token.
    pub async fn revoke_api_token(
        &self,
        app: ApplicationId,
        id: ApiTokenId,
    ) -> Result<bool, StoreError> {
        let now = self.parts.clock.now();
        let revoked = self.parts.store.revoke_api_token(app, id, now).await?;
        if revoked.is_some() {
            tracing::info!(api_token.id = %id, "an API token was revoked");
        }
        Ok(revoked.is_some())
    }

    /// Writes down when tokens were used since this was called last. Call it once a minute, and
    /// before the process ends. What could not be written is kept for the next call.
    pub async fn record_api_token_uses(&self) -> Result<(), StoreError> {
        let uses = self.api_token_uses.take();
        if uses.is_empty() {
            return Ok(());
        }
        let recorded = self.parts.store.record_api_token_uses(uses.clone()).await;
        if recorded.is_err() {
            for used in uses {
                self.api_token_uses.note(used);
            }
        }
        recorded
    }

    /// Forgets tokens that ended long ago.
    pub async fn forget_api_tokens(&self) -> Result<u64, StoreError> {
        let before = self.parts.clock.now().minus(API_TOKENS_KEPT);
        self.parts.store.forget_api_tokens(before).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_use_of_each_token_is_noted_once() {
        let uses = ApiTokenUses::default();
        let used = |id, at| ApiTokenUse {
            id: ApiTokenId::from_bytes([id; 16]),
            at: Timestamp::from_millis(at),
        };
        for noted in [used(1, 10), used(2, 30), used(1, 20), used(2, 25)] {
            uses.note(noted);
        }
        assert_eq!(uses.last(used(1, 0).id), Some(Timestamp::from_millis(20)));
        let mut taken = uses.take();
        taken.sort_by_key(|used| used.at);
        assert_eq!(taken, [used(1, 20), used(2, 30)]);
        assert_eq!(uses.take(), []);
        assert_eq!(uses.last(used(1, 0).id), None);
    }
}
