//! VAPID keys.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::VapidKeyId;
use tidings_core::sealing::Sealer;
use tidings_core::store::{KeptToken, NewVapidKey, StoreError, VapidKeyStore};
use tidings_core::vapid_key::{VapidKeyRecord, VapidKeyState};
use tidings_webpush::{VapidKey, VapidPublicKey};

use crate::database::refused;
use crate::sealed_columns::PRIVATE_KEYS;
use crate::writer::Queue;
use crate::{Seals, SqliteStore, vapid_tokens};

#[async_trait]
impl VapidKeyStore for SqliteStore {
    async fn add_vapid_key(&self, new: NewVapidKey) -> Result<VapidKeyRecord, StoreError> {
        self.write(Queue::Accept, move |connection, seals| {
            add(connection, seals, &new)
        })
        .await
    }

    async fn vapid_keys(&self, app: ApplicationId) -> Result<Vec<VapidKeyRecord>, StoreError> {
        self.read(move |connection, _| list(connection, app)).await
    }

    async fn subscriptions_by_vapid_key(
        &self,
        app: ApplicationId,
    ) -> Result<HashMap<VapidKeyId, u64>, StoreError> {
        self.read(move |connection, _| count(connection, app)).await
    }

    async fn vapid_key_pair(
        &self,
        app: ApplicationId,
        id: VapidKeyId,
    ) -> Result<Option<VapidKey>, StoreError> {
        self.read(move |connection, seals| key_pair(connection, &seals.sealer, app, id))
            .await
    }

    async fn set_vapid_key_state(
        &self,
        app: ApplicationId,
        id: VapidKeyId,
        state: VapidKeyState,
    ) -> Result<Option<VapidKeyRecord>, StoreError> {
        self.write(Queue::Accept, move |connection, _| {
            set_state(connection, app, id, state)?;
            find(connection, app, id)
        })
        .await
    }

    async fn keep_vapid_tokens(&self, tokens: Vec<KeptToken>) -> Result<(), StoreError> {
        self.write(Queue::Bulk, move |connection, seals| {
            vapid_tokens::keep(connection, seals, &tokens)
        })
        .await
    }

    async fn vapid_tokens(
        &self,
        app: ApplicationId,
        key: VapidKeyId,
        now: Timestamp,
    ) -> Result<Vec<KeptToken>, StoreError> {
        self.read(move |connection, seals| vapid_tokens::kept(connection, seals, app, key, now))
            .await
    }
}

fn add(
    connection: &Connection,
    seals: &Seals,
    new: &NewVapidKey,
) -> Result<VapidKeyRecord, StoreError> {
    let public_key = new.key.public_key().as_bytes();
    let sql = "-- add_vapid_key
        SELECT public_id
        FROM vapid_keys
        WHERE application_id = ?1 AND public_key = ?2";
    let known: Option<[u8; 16]> = connection
        .query_row(sql, (new.application.as_i64(), public_key), |row| {
            row.get(0)
        })
        .optional()
        .map_err(refused)?;
    let id = if let Some(id) = known {
        VapidKeyId::from_bytes(id)
    } else {
        insert(connection, seals, new)?;
        new.id
    };
    if new.state == VapidKeyState::Active {
        set_state(connection, new.application, id, VapidKeyState::Active)?;
    }
    find(connection, new.application, id)?.ok_or(StoreError::Unreadable("vapid_keys"))
}

fn insert(connection: &Connection, seals: &Seals, new: &NewVapidKey) -> Result<(), StoreError> {
    let scalar = new.key.to_raw_base64url();
    let sealed = seals.sealer.seal(
        PRIVATE_KEYS.place(new.id.as_bytes()),
        scalar.as_bytes(),
        seals.randomness.as_ref(),
    )?;
    // Never active at once: there can be only one, and `set_state` makes room for it.
    let state = match new.state {
        VapidKeyState::Active => VapidKeyState::Live,
        other => other,
    };
    let sql = "-- add_vapid_key
        INSERT INTO vapid_keys
            (public_id, application_id, public_key, private_key, state, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection
        .execute(
            sql,
            (
                new.id.as_bytes(),
                new.application.as_i64(),
                new.key.public_key().as_bytes(),
                sealed,
                state.as_str(),
                new.created_at.as_millis(),
            ),
        )
        .map(drop)
        .map_err(refused)
}

fn set_state(
    connection: &Connection,
    app: ApplicationId,
    id: VapidKeyId,
    state: VapidKeyState,
) -> Result<(), StoreError> {
    if state == VapidKeyState::Active {
        let sql = "-- set_vapid_key_state
            UPDATE vapid_keys
            SET state = 'live'
            WHERE application_id = ?1 AND state = 'active'
              AND EXISTS (SELECT 1 FROM vapid_keys WHERE application_id = ?1 AND public_id = ?2)";
        connection
            .execute(sql, (app.as_i64(), id.as_bytes()))
            .map_err(refused)?;
    }
    let sql = "-- set_vapid_key_state
        UPDATE vapid_keys
        SET state = ?3
        WHERE application_id = ?1 AND public_id = ?2";
    connection
        .execute(sql, (app.as_i64(), id.as_bytes(), state.as_str()))
        .map_err(refused)?;
    if state == VapidKeyState::Retired {
        vapid_tokens::forget(connection, app, id)?;
    }
    Ok(())
}

const COLUMNS: &str = "
    SELECT k.public_id, k.application_id, k.public_key, k.state, k.created_at
    FROM vapid_keys k";

fn list(connection: &Connection, app: ApplicationId) -> Result<Vec<VapidKeyRecord>, StoreError> {
    let sql = format!("-- vapid_keys {COLUMNS} WHERE k.application_id = ?1 ORDER BY k.id");
    let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
    let mut rows = statement.query([app.as_i64()]).map_err(refused)?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next().map_err(refused)? {
        keys.push(read(row)?);
    }
    Ok(keys)
}

fn count(
    connection: &Connection,
    app: ApplicationId,
) -> Result<HashMap<VapidKeyId, u64>, StoreError> {
    // Index: subscriptions_by_vapid_key.
    let sql = "-- subscriptions_by_vapid_key
        SELECT k.public_id, count(*)
        FROM vapid_keys k
        JOIN subscriptions s ON s.vapid_key_id = k.id AND s.state = 'active'
        WHERE k.application_id = ?1
        GROUP BY k.id";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let rows = statement
        .query_map([app.as_i64()], |row| {
            Ok((VapidKeyId::from_bytes(row.get(0)?), row.get(1)?))
        })
        .map_err(refused)?;
    rows.collect::<Result<_, _>>().map_err(refused)
}

fn find(
    connection: &Connection,
    app: ApplicationId,
    id: VapidKeyId,
) -> Result<Option<VapidKeyRecord>, StoreError> {
    let sql = format!("-- vapid_key {COLUMNS} WHERE k.application_id = ?1 AND k.public_id = ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
    let mut rows = statement
        .query((app.as_i64(), id.as_bytes()))
        .map_err(refused)?;
    rows.next().map_err(refused)?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<VapidKeyRecord, StoreError> {
    let public_key: [u8; 65] = row.get(2).map_err(refused)?;
    let state: String = row.get(3).map_err(refused)?;
    Ok(VapidKeyRecord {
        id: VapidKeyId::from_bytes(row.get(0).map_err(refused)?),
        application: ApplicationId::from_i64(row.get(1).map_err(refused)?),
        public_key: VapidPublicKey::from_bytes(&public_key)
            .map_err(|_| StoreError::Unreadable("vapid_keys.public_key"))?,
        state: VapidKeyState::parse(&state).ok_or(StoreError::Unreadable("vapid_keys.state"))?,
        created_at: Timestamp::from_millis(row.get(4).map_err(refused)?),
    })
}

/// All keys with their private halves.
pub(crate) fn read_pairs(
    connection: &Connection,
    sealer: &Sealer,
    app: ApplicationId,
) -> Result<Vec<(VapidKeyRecord, VapidKey)>, StoreError> {
    let mut pairs = Vec::new();
    for record in list(connection, app)? {
        if let Some(key) = key_pair(connection, sealer, app, record.id)? {
            pairs.push((record, key));
        }
    }
    Ok(pairs)
}

fn key_pair(
    connection: &Connection,
    sealer: &Sealer,
    app: ApplicationId,
    id: VapidKeyId,
) -> Result<Option<VapidKey>, StoreError> {
    let sql = "-- vapid_key_pair
        SELECT private_key
        FROM vapid_keys
        WHERE application_id = ?1 AND public_id = ?2";
    let sealed: Option<Vec<u8>> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_row((app.as_i64(), id.as_bytes()), |row| row.get(0))
                .optional()
        })
        .map_err(refused)?;
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let opened = sealer.open(PRIVATE_KEYS.place(id.as_bytes()), &sealed)?;
    VapidKey::from_key_file(&opened)
        .map(Some)
        .map_err(|_| StoreError::Unreadable("vapid_keys.private_key"))
}
