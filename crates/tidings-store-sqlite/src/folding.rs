//! Messages that are done: their batches are folded into counts, and in the end they are forgotten.
//!
//! A message's counts are its own and the sums over its batches. A batch is deleted in the
//! transaction that adds its counts to the message, so they are exact at any instant.

use rusqlite::{Connection, OptionalExtension as _};
use tidings_core::store::{StoreError, Sweep, Swept};

use crate::database::refused;
use crate::housekeeping::{ROWS_AT_ONCE, Step, execute};

/// Messages that one transaction looks at.
const MESSAGES_AT_ONCE: u32 = 100;

/// Folds batches of messages that were done before an instant, as many as one transaction may take.
/// There may be more of them though no row was deleted: many messages reach nobody.
pub(crate) fn fold(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    // Index: messages_to_fold.
    let sql = "-- sweep
        SELECT id
        FROM messages
        WHERE folded = 0 AND done_at IS NOT NULL AND done_at < ?1
        ORDER BY done_at
        LIMIT ?2";
    let done: Vec<[u8; 16]> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let values = (sweep.fold_before.as_millis(), MESSAGES_AT_ONCE);
            statement.query_map(values, |row| row.get(0))?.collect()
        })
        .map_err(refused)?;
    let is_done = done.is_empty();
    let mut deleted = 0;
    for message in done {
        deleted += fold_message(connection, message, ROWS_AT_ONCE.saturating_sub(deleted))?;
        if deleted >= ROWS_AT_ONCE {
            break;
        }
    }
    let swept = Swept {
        folded: deleted,
        ..Swept::default()
    };
    Ok(Step { swept, is_done })
}

/// Folds batches of a message until so many rows are deleted.
fn fold_message(connection: &Connection, message: [u8; 16], most: u64) -> Result<u64, StoreError> {
    let mut deleted = 0;
    while let Some(batch) = a_batch_of(connection, message)? {
        let left = most.saturating_sub(deleted);
        // Index: the primary key of deliveries.
        let sql = "-- sweep
            DELETE FROM deliveries
            WHERE (batch_id, position) IN (
                SELECT batch_id, position FROM deliveries WHERE batch_id = ?1 LIMIT ?2
            )";
        let rows = execute(connection, sql, (batch, left))?;
        deleted += rows;
        if rows >= left {
            // There may be more of them.
            return Ok(deleted);
        }
        let sql = "-- sweep
            UPDATE messages
            SET targeted = messages.targeted + b.targeted,
                retrying = messages.retrying + b.retrying,
                accepted = messages.accepted + b.accepted,
                gone = messages.gone + b.gone,
                refused = messages.refused + b.refused,
                expired = messages.expired + b.expired,
                ended = messages.ended + b.ended,
                cancelled = messages.cancelled + b.cancelled
            FROM (
                SELECT message_id, targeted, retrying, accepted, gone, refused, expired, ended, cancelled
                FROM batches
                WHERE id = ?1
            ) AS b
            WHERE messages.id = b.message_id";
        execute(connection, sql, [batch])?;
        let sql = "-- sweep
            DELETE FROM batches
            WHERE id = ?1";
        deleted += execute(connection, sql, [batch])?;
    }
    let sql = "-- sweep
        UPDATE messages
        SET folded = 1
        WHERE id = ?1";
    execute(connection, sql, [message])?;
    Ok(deleted)
}

fn a_batch_of(connection: &Connection, message: [u8; 16]) -> Result<Option<i64>, StoreError> {
    // Index: batches_by_message.
    let sql = "-- sweep
        SELECT id
        FROM batches
        WHERE message_id = ?1
        LIMIT 1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([message], |row| row.get(0)).optional())
        .map_err(refused)
}

/// Forgets messages that were done before an instant, and first what browsers reported of them.
pub(crate) fn forget(connection: &Connection, sweep: Sweep) -> Result<Step, StoreError> {
    let before = sweep.messages_before.as_millis();
    // Index: messages_folded, then the primary key of receipts.
    let sql = "-- sweep
        DELETE FROM receipts
        WHERE (message_id, subscription_id, event) IN (
            SELECT r.message_id, r.subscription_id, r.event
            FROM (
                SELECT id
                FROM messages
                WHERE folded = 1 AND done_at < ?1
                ORDER BY done_at
                LIMIT ?2
            ) AS m
            CROSS JOIN receipts r ON r.message_id = m.id
            LIMIT ?3
        )";
    let receipts = execute(connection, sql, (before, MESSAGES_AT_ONCE, ROWS_AT_ONCE))?;
    if receipts > 0 {
        return Ok(Step::of(Swept {
            receipts,
            ..Swept::default()
        }));
    }
    // Index: messages_folded, then idempotency_keys_by_message.
    let sql = "-- sweep
        DELETE FROM idempotency_keys
        WHERE message_id IN (
            SELECT id
            FROM messages
            WHERE folded = 1 AND done_at < ?1
            ORDER BY done_at
            LIMIT ?2
        )";
    execute(connection, sql, (before, MESSAGES_AT_ONCE))?;
    let sql = "-- sweep
        DELETE FROM messages
        WHERE id IN (
            SELECT id
            FROM messages
            WHERE folded = 1 AND done_at < ?1
            ORDER BY done_at
            LIMIT ?2
        )";
    let messages = execute(connection, sql, (before, MESSAGES_AT_ONCE))?;
    Ok(Step::of(Swept {
        messages,
        ..Swept::default()
    }))
}
