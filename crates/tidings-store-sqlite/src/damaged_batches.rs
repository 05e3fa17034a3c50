//! Batches that cannot be read any more. They are closed when they are claimed: every later claim
//! would meet them again, and nothing behind them would ever be sent.

use rusqlite::Connection;
use tidings_core::clock::Timestamp;
use tidings_core::id::MessageId;
use tidings_core::store::StoreError;

use crate::database::refused;
use crate::plans;

/// Closes a batch. Whoever was not settled counts as refused; the message's other batches go on.
pub(crate) fn close(connection: &Connection, batch: i64, now: Timestamp) -> Result<(), StoreError> {
    // Index: the primary key of deliveries.
    let sql = "-- claim_due
        UPDATE deliveries
        SET state = 'refused', next_attempt_at = NULL,
            last_reason = 'the batch cannot be read any more', updated_at = ?2
        WHERE batch_id = ?1 AND state = 'retrying'";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((batch, now.as_millis())))
        .map_err(refused)?;
    let sql = "-- claim_due
        UPDATE batches
        SET open = 0, lease_token = NULL, lease_epoch = NULL, retrying = 0,
            refused = targeted - (accepted + gone + expired + ended + cancelled)
        WHERE id = ?1
        RETURNING message_id, refused";
    let (message, failed): ([u8; 16], u32) = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_row([batch], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .map_err(refused)?;
    let message = MessageId::from_bytes(message);
    tracing::error!(
        message.id = %message,
        batch,
        "a batch is damaged and cannot be read: nothing more is sent of it, and {failed} of its \
         deliveries count as refused; check the disk, and restore a backup if more is damaged"
    );
    plans::finish_if_done(connection, message, now)?;
    Ok(())
}
