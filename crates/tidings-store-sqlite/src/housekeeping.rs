//! Forgetting what has been kept long enough, some rows in each transaction.

use rusqlite::{Connection, Params};
use tidings_core::store::{StoreError, Sweep, Swept};

use crate::database::refused;
use crate::{folding, pruning};

/// Rows that one transaction changes: more would take too long where they are far from each other
/// and not in memory.
pub(crate) const ROWS_AT_ONCE: u64 = 200;

/// What one transaction did.
pub(crate) struct Step {
    pub(crate) swept: Swept,
    /// Whether it found nothing to do.
    pub(crate) is_done: bool,
}

impl Step {
    /// Of a chore that is done when nothing is left to change.
    pub(crate) fn of(swept: Swept) -> Self {
        Self {
            swept,
            is_done: swept == Swept::default(),
        }
    }
}

/// Something to do step by step, each in a transaction, until it is done.
pub(crate) type Chore = fn(&Connection, Sweep) -> Result<Step, StoreError>;

/// In this order: what one leaves may be the next one's.
pub(crate) const CHORES: [Chore; 8] = [
    suspend_tombstones,
    folding::fold,
    folding::forget,
    confirm_suspects,
    forget_tombstones,
    forget_idempotency_keys,
    forget_answers,
    forget_vapid_tokens,
];

fn suspend_tombstones(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    let suspended = pruning::suspend_some(connection, sweep.now)?;
    let swept = Swept {
        suspected: suspended.unwrap_or(0).into(),
        ..Swept::default()
    };
    Ok(Step {
        swept,
        is_done: suspended.is_none(),
    })
}

fn forget_tombstones(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    // Index: subscriptions_tombstones.
    let sql = "-- sweep
        DELETE FROM subscriptions
        WHERE rowid IN (
            SELECT rowid FROM subscriptions
            WHERE ended_at IS NOT NULL AND ended_at < ?1
            LIMIT ?2
        )";
    let before = sweep.tombstones_before.as_millis();
    let tombstones = execute(connection, sql, (before, ROWS_AT_ONCE))?;
    Ok(Step::of(Swept {
        tombstones,
        ..Swept::default()
    }))
}

fn forget_idempotency_keys(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    // Index: idempotency_keys_by_age.
    let sql = "-- sweep
        DELETE FROM idempotency_keys
        WHERE (application_id, key) IN (
            SELECT application_id, key FROM idempotency_keys
            WHERE created_at < ?1
            LIMIT ?2
        )";
    let before = sweep.idempotency_keys_before.as_millis();
    let idempotency_keys = execute(connection, sql, (before, ROWS_AT_ONCE))?;
    Ok(Step::of(Swept {
        idempotency_keys,
        ..Swept::default()
    }))
}

fn confirm_suspects(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    // Index: subscriptions_suspects. `suspected_at` stays: no wave makes it a suspect again.
    let sql = "-- sweep
        UPDATE subscriptions
        SET state = 'gone', ended_at = ?3
        WHERE rowid IN (
            SELECT rowid FROM subscriptions
            WHERE state = 'suspect' AND suspected_at < ?1
            LIMIT ?2
        )";
    let (before, now) = (sweep.suspects_before, sweep.now);
    let values = (before.as_millis(), ROWS_AT_ONCE, now.as_millis());
    let confirmed = execute(connection, sql, values)?;
    Ok(Step::of(Swept {
        confirmed,
        ..Swept::default()
    }))
}

fn forget_answers(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    // Index: answer_slots_by_age.
    let sql = "-- sweep
        DELETE FROM answer_slots
        WHERE (application_id, push_service, starts_at) IN (
            SELECT application_id, push_service, starts_at FROM answer_slots
            WHERE starts_at < ?1
            LIMIT ?2
        )";
    let before = sweep.answers_before.as_millis();
    let answers = execute(connection, sql, (before, ROWS_AT_ONCE))?;
    Ok(Step::of(Swept {
        answers,
        ..Swept::default()
    }))
}

fn forget_vapid_tokens(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    // Index: vapid_tokens_by_end. There are not many.
    let sql = "-- sweep
        DELETE FROM vapid_tokens
        WHERE expires_at <= ?1";
    let vapid_tokens = execute(connection, sql, [sweep.now.as_millis()])?;
    Ok(Step::of(Swept {
        vapid_tokens,
        ..Swept::default()
    }))
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
