//! Forgetting what has been kept long enough, some rows in each transaction.

use rusqlite::{Connection, Params};
use tidings_core::store::{StoreError, Sweep, Swept};

use crate::database::refused;
use crate::{folding, pruning};

/// Rows of each kind that one transaction changes.
const SWEPT_AT_ONCE: i64 = 500;

/// One transaction's worth. Nothing is left to do when it did nothing.
pub(crate) fn sweep(connection: &Connection, sweep: Sweep) -> Result<Swept, StoreError> {
    let mut suspected = 0;
    for guarded in pruning::unfinished(connection)? {
        suspected += u64::from(guarded.suspend_tombstones(connection, sweep.now)?);
    }
    let (messages, receipts) = folding::forget(connection, sweep.messages_before)?;
    Ok(Swept {
        suspected,
        folded: folding::fold(connection, sweep.fold_before)?,
        messages,
        receipts,
        tombstones: tombstones(connection, sweep)?,
        idempotency_keys: idempotency_keys(connection, sweep)?,
        confirmed: suspects(connection, sweep)?,
        answers: answers(connection, sweep)?,
        vapid_tokens: vapid_tokens(connection, sweep)?,
    })
}

fn tombstones(connection: &Connection, sweep: Sweep) -> Result<u64, StoreError> {
    // Index: subscriptions_tombstones.
    let sql = "-- sweep
        DELETE FROM subscriptions
        WHERE rowid IN (
            SELECT rowid FROM subscriptions
            WHERE ended_at IS NOT NULL AND ended_at < ?1
            LIMIT ?2
        )";
    let before = sweep.tombstones_before.as_millis();
    execute(connection, sql, (before, SWEPT_AT_ONCE))
}

fn idempotency_keys(connection: &Connection, sweep: Sweep) -> Result<u64, StoreError> {
    // Index: idempotency_keys_by_age.
    let sql = "-- sweep
        DELETE FROM idempotency_keys
        WHERE (application_id, key) IN (
            SELECT application_id, key FROM idempotency_keys
            WHERE created_at < ?1
            LIMIT ?2
        )";
    let before = sweep.idempotency_keys_before.as_millis();
    execute(connection, sql, (before, SWEPT_AT_ONCE))
}

fn suspects(connection: &Connection, sweep: Sweep) -> Result<u64, StoreError> {
    // Index: subscriptions_suspects.
    let sql = "-- sweep
        UPDATE subscriptions
        SET state = 'gone', ended_at = ?3, suspected_at = NULL
        WHERE rowid IN (
            SELECT rowid FROM subscriptions
            WHERE state = 'suspect' AND suspected_at < ?1
            LIMIT ?2
        )";
    let (before, now) = (sweep.suspects_before, sweep.now);
    let values = (before.as_millis(), SWEPT_AT_ONCE, now.as_millis());
    execute(connection, sql, values)
}

fn answers(connection: &Connection, sweep: Sweep) -> Result<u64, StoreError> {
    // Index: answer_slots_by_age.
    let sql = "-- sweep
        DELETE FROM answer_slots
        WHERE (application_id, push_service, starts_at) IN (
            SELECT application_id, push_service, starts_at FROM answer_slots
            WHERE starts_at < ?1
            LIMIT ?2
        )";
    let before = sweep.answers_before.as_millis();
    execute(connection, sql, (before, SWEPT_AT_ONCE))
}

fn vapid_tokens(connection: &Connection, sweep: Sweep) -> Result<u64, StoreError> {
    // Index: vapid_tokens_by_end. There are not many.
    let sql = "-- sweep
        DELETE FROM vapid_tokens
        WHERE expires_at <= ?1";
    execute(connection, sql, [sweep.now.as_millis()])
}

/// How many rows it changed.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> Result<u64, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(|changed| changed as u64)
        .map_err(refused)
}
