//! API tokens.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};
use tidings_core::api_token::{ApiTokenHash, ApiTokenName, ApiTokenRecord, Scopes};
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::ApiTokenId;
use tidings_core::store::{ApiTokenStore, ApiTokenUse, NewApiToken, Page, PageRequest, StoreError};

use crate::SqliteStore;
use crate::database::refused;
use crate::writer::Queue;

#[async_trait]
impl ApiTokenStore for SqliteStore {
    async fn add_api_token(&self, new: NewApiToken) -> Result<ApiTokenRecord, StoreError> {
        self.write(Queue::Accept, move |connection, _| add(connection, &new))
            .await
    }

    async fn api_token_by_hash(
        &self,
        hash: &ApiTokenHash,
    ) -> Result<Option<ApiTokenRecord>, StoreError> {
        let hash = *hash;
        self.read(move |connection, _| by_hash(connection, &hash))
            .await
    }

    async fn api_tokens(
        &self,
        app: ApplicationId,
        page: PageRequest<ApiTokenId>,
    ) -> Result<Page<ApiTokenRecord, ApiTokenId>, StoreError> {
        self.read(move |connection, _| list(connection, app, page))
            .await
    }

    async fn revoke_api_token(
        &self,
        app: ApplicationId,
        id: ApiTokenId,
        now: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError> {
        self.write(Queue::Accept, move |connection, _| {
            revoke(connection, app, id, now)
        })
        .await
    }

    async fn record_api_token_uses(&self, uses: Vec<ApiTokenUse>) -> Result<(), StoreError> {
        for part in uses.chunks(WRITTEN_AT_ONCE) {
            let part = part.to_vec();
            self.write(Queue::Bulk, move |connection, _| {
                part.iter().try_for_each(|used| record(connection, used))
            })
            .await?;
        }
        Ok(())
    }

    async fn forget_api_tokens(&self, ended_before: Timestamp) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        loop {
            let part = self
                .write(Queue::Bulk, move |connection, _| {
                    forget(connection, ended_before)
                })
                .await?;
            if part == 0 {
                return Ok(forgotten);
            }
            forgotten += part;
        }
    }
}

/// Uses that one piece of bulk work writes, so that it makes nobody wait for long.
const WRITTEN_AT_ONCE: usize = 500;

/// Rows that one transaction of [`ApiTokenStore::forget_api_tokens`] deletes.
const FORGOTTEN_AT_ONCE: i64 = 500;

fn add(connection: &Connection, new: &NewApiToken) -> Result<ApiTokenRecord, StoreError> {
    let sql = "-- add_api_token
        INSERT INTO api_tokens
            (id, application_id, hash, name, scopes, created_at, expires_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        RETURNING id, application_id, name, scopes,
            created_at, expires_at, last_used_at, revoked_at";
    let values = (
        new.id.as_bytes(),
        new.application.as_i64(),
        new.hash.as_bytes(),
        new.name.as_str(),
        new.scopes.to_string(),
        new.created_at.as_millis(),
        new.expires_at.map(Timestamp::as_millis),
    );
    connection
        .query_row(sql, values, |row| Ok(read(row)))
        .map_err(refused)?
}

fn by_hash(
    connection: &Connection,
    hash: &ApiTokenHash,
) -> Result<Option<ApiTokenRecord>, StoreError> {
    // Index: the unique one on hash.
    let sql = "-- api_token_by_hash
        SELECT id, application_id, name, scopes, created_at, expires_at, last_used_at, revoked_at
        FROM api_tokens
        WHERE hash = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_row([hash.as_bytes()], |row| Ok(read(row)))
                .optional()
        })
        .map_err(refused)?
        .transpose()
}

fn list(
    connection: &Connection,
    app: ApplicationId,
    page: PageRequest<ApiTokenId>,
) -> Result<Page<ApiTokenRecord, ApiTokenId>, StoreError> {
    // Index: api_tokens_by_application.
    let sql = "-- api_tokens
        SELECT id, application_id, name, scopes, created_at, expires_at, last_used_at, revoked_at
        FROM api_tokens
        WHERE application_id = ?1 AND id < ?2
        ORDER BY id DESC
        LIMIT ?3";
    let before = page.after.map_or([0xff; 16], |id| *id.as_bytes());
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let mut rows = statement
        .query((app.as_i64(), before, i64::from(page.limit) + 1))
        .map_err(refused)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(refused)? {
        items.push(read(row)?);
    }
    Ok(Page::from_surplus(items, page.limit, |record| record.id))
}

fn revoke(
    connection: &Connection,
    app: ApplicationId,
    id: ApiTokenId,
    now: Timestamp,
) -> Result<Option<ApiTokenRecord>, StoreError> {
    let sql = "-- revoke_api_token
        UPDATE api_tokens
        SET revoked_at = coalesce(revoked_at, ?3)
        WHERE id = ?2 AND application_id = ?1
        RETURNING id, application_id, name, scopes,
            created_at, expires_at, last_used_at, revoked_at";
    connection
        .query_row(sql, (app.as_i64(), id.as_bytes(), now.as_millis()), |row| {
            Ok(read(row))
        })
        .optional()
        .map_err(refused)?
        .transpose()
}

fn record(connection: &Connection, used: &ApiTokenUse) -> Result<(), StoreError> {
    let sql = "-- record_api_token_uses
        UPDATE api_tokens
        SET last_used_at = ?2
        WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((used.id.as_bytes(), used.at.as_millis())))
        .map(drop)
        .map_err(refused)
}

fn forget(connection: &Connection, ended_before: Timestamp) -> Result<u64, StoreError> {
    // Index: api_tokens_by_end.
    let sql = "-- forget_api_tokens
        DELETE FROM api_tokens
        WHERE id IN (
            SELECT id FROM api_tokens
            WHERE coalesce(revoked_at, expires_at) < ?1
            LIMIT ?2
        )";
    connection
        .execute(sql, (ended_before.as_millis(), FORGOTTEN_AT_ONCE))
        .map(|forgotten| forgotten as u64)
        .map_err(refused)
}

fn read(row: &Row<'_>) -> Result<ApiTokenRecord, StoreError> {
    let name: String = row.get(2).map_err(refused)?;
    let scopes: String = row.get(3).map_err(refused)?;
    let instant = |column| -> Result<Option<Timestamp>, StoreError> {
        let milliseconds: Option<i64> = row.get(column).map_err(refused)?;
        Ok(milliseconds.map(Timestamp::from_millis))
    };
    Ok(ApiTokenRecord {
        id: ApiTokenId::from_bytes(row.get(0).map_err(refused)?),
        application: ApplicationId::from_i64(row.get(1).map_err(refused)?),
        name: ApiTokenName::parse(&name).ok_or(StoreError::Unreadable("api_tokens.name"))?,
        scopes: Scopes::parse(&scopes).ok_or(StoreError::Unreadable("api_tokens.scopes"))?,
        created_at: Timestamp::from_millis(row.get(4).map_err(refused)?),
        expires_at: instant(5)?,
        last_used_at: instant(6)?,
        revoked_at: instant(7)?,
    })
}
