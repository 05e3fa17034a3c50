//! VAPID tokens over restarts.

use rusqlite::Connection;
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::VapidKeyId;
use tidings_core::store::{KeptToken, MOST_KEPT_TOKENS, StoreError};
use tidings_webpush::{VapidPublicKey, VapidToken};

use crate::Seals;
use crate::database::refused;
use crate::housekeeping::execute;
use crate::sealed_columns::TOKENS;

pub(crate) fn keep(
    connection: &Connection,
    seals: &Seals,
    tokens: &[KeptToken],
) -> Result<(), StoreError> {
    for kept in tokens {
        keep_one(connection, seals, kept)?;
    }
    // Index: vapid_tokens_by_age.
    let sql = "-- keep_vapid_tokens
        DELETE FROM vapid_tokens
        WHERE id IN (
            SELECT id
            FROM vapid_tokens
            ORDER BY signed_at DESC, id DESC
            LIMIT -1 OFFSET ?1
        )";
    execute(connection, sql, [MOST_KEPT_TOKENS]).map(drop)
}

fn keep_one(connection: &Connection, seals: &Seals, kept: &KeptToken) -> Result<(), StoreError> {
    let bound_to = bound_to(kept.key, &kept.origin);
    let jwt = kept.token.expose().as_bytes();
    let place = TOKENS.place(&bound_to);
    let sealed = seals.sealer.seal(place, jwt, seals.randomness.as_ref())?;
    let sql = "-- keep_vapid_tokens
        INSERT INTO vapid_tokens (vapid_key_id, origin, bound_to, token, signed_at, expires_at)
        SELECT id, ?3, ?4, ?5, ?6, ?7
        FROM vapid_keys
        WHERE public_id = ?1 AND application_id = ?2 AND state <> 'retired'
        ON CONFLICT (bound_to) DO UPDATE
        SET token = excluded.token,
            signed_at = excluded.signed_at,
            expires_at = excluded.expires_at";
    let values = (
        kept.key.as_bytes(),
        kept.application.as_i64(),
        &kept.origin,
        &bound_to,
        sealed,
        kept.signed_at.as_millis(),
        Timestamp::from(kept.token.expires_at()).as_millis(),
    );
    execute(connection, sql, values).map(drop)
}

pub(crate) fn kept(
    connection: &Connection,
    seals: &Seals,
    app: ApplicationId,
    key: VapidKeyId,
    now: Timestamp,
) -> Result<Vec<KeptToken>, StoreError> {
    // Index: vapid_tokens_by_key.
    let sql = "-- vapid_tokens
        SELECT t.origin, t.bound_to, t.token, t.signed_at, t.expires_at, k.public_key
        FROM vapid_keys k
        JOIN vapid_tokens t ON t.vapid_key_id = k.id
        WHERE k.public_id = ?1 AND k.application_id = ?2 AND t.expires_at > ?3
        ORDER BY t.id";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let mut rows = statement
        .query((key.as_bytes(), app.as_i64(), now.as_millis()))
        .map_err(refused)?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next().map_err(refused)? {
        let origin: String = row.get(0).map_err(refused)?;
        let bound_to: Vec<u8> = row.get(1).map_err(refused)?;
        let sealed: Vec<u8> = row.get(2).map_err(refused)?;
        let signed_at = Timestamp::from_millis(row.get(3).map_err(refused)?);
        let expires_at = Timestamp::from_millis(row.get(4).map_err(refused)?);
        let public_key: [u8; 65] = row.get(5).map_err(refused)?;
        // Another one is signed in place of what cannot be read.
        let Ok(opened) = seals.sealer.open(TOKENS.place(&bound_to), &sealed) else {
            tracing::warn!(push_service.origin = %origin, "a kept VAPID token cannot be read");
            continue;
        };
        let public_key = VapidPublicKey::from_bytes(&public_key)
            .map_err(|_| StoreError::Unreadable("vapid_keys.public_key"))?;
        let token = std::str::from_utf8(&opened).ok().and_then(|jwt| {
            VapidToken::from_exposed(jwt, &public_key, expires_at.to_system_time())
        });
        tokens.extend(token.map(|token| KeptToken {
            application: app,
            key,
            origin,
            token,
            signed_at,
        }));
    }
    Ok(tokens)
}

/// A key that is used no more needs no tokens.
pub(crate) fn forget(
    connection: &Connection,
    app: ApplicationId,
    key: VapidKeyId,
) -> Result<(), StoreError> {
    // Index: vapid_tokens_by_key.
    let sql = "-- set_vapid_key_state
        DELETE FROM vapid_tokens
        WHERE vapid_key_id = (
            SELECT id FROM vapid_keys WHERE public_id = ?1 AND application_id = ?2
        )";
    execute(connection, sql, (key.as_bytes(), app.as_i64())).map(drop)
}

fn bound_to(key: VapidKeyId, origin: &str) -> Vec<u8> {
    [key.as_bytes(), origin.as_bytes()].concat()
}
