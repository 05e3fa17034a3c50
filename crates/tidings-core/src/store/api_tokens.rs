//! API tokens.

use async_trait::async_trait;

use crate::api_token::{ApiTokenHash, ApiTokenName, ApiTokenRecord, Scopes};
use crate::application::ApplicationId;
use crate::clock::Timestamp;
use crate::id::ApiTokenId;
use crate::store::{Page, PageRequest, StoreError};

/// A token to keep.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// Its identifier.
    pub id: ApiTokenId,
    /// The application it belongs to.
    pub application: ApplicationId,
    /// What is kept of its text.
    pub hash: ApiTokenHash,
    /// What its operator calls it.
    pub name: ApiTokenName,
    /// What it allows.
    pub scopes: Scopes,
    /// When it is made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// That a token was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApiTokenUse {
    /// Which one.
    pub id: ApiTokenId,
    /// When.
    pub at: Timestamp,
}

/// API tokens.
#[async_trait]
pub trait ApiTokenStore: Send + Sync {
    /// Keeps a token. Two tokens with one hash are refused.
    async fn add_api_token(&self, new: NewApiToken) -> Result<ApiTokenRecord, StoreError>;

    /// The token whose text has this hash, whatever its state. Each request with a token asks this,
    /// so it must be quick; and what [`Self::revoke_api_token`] has answered, every later call of
    /// any process sees, so nothing is remembered.
    async fn api_token_by_hash(
        &self,
        hash: &ApiTokenHash,
    ) -> Result<Option<ApiTokenRecord>, StoreError>;

    /// The application's tokens in every state, newest first.
    async fn api_tokens(
        &self,
        app: ApplicationId,
        page: PageRequest<ApiTokenId>,
    ) -> Result<Page<ApiTokenRecord, ApiTokenId>, StoreError>;

    /// Takes a token back for ever. One that is revoked stays as it is. `None` if the application
    /// has no such token.
    async fn revoke_api_token(
        &self,
        app: ApplicationId,
        id: ApiTokenId,
        now: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError>;

    /// Keeps when tokens were used last. An instant before the kept one changes nothing, and
    /// neither does the use of a token that is forgotten.
    async fn record_api_token_uses(&self, uses: Vec<ApiTokenUse>) -> Result<(), StoreError>;

    /// Forgets tokens that were revoked before this instant, or expired before it without being
    /// revoked. How many there were.
    async fn forget_api_tokens(&self, ended_before: Timestamp) -> Result<u64, StoreError>;
}
