//! After the clock was set back: what waits for an instant that was reckoned from the time before.

use rusqlite::Connection;
use tidings_core::clock::Timestamp;
use tidings_core::store::StoreError;

use crate::database::refused;
use crate::housekeeping::execute;

/// Batches that one transaction looks at.
const BATCHES_AT_ONCE: u32 = 64;

/// How far one transaction came.
pub(crate) struct Step {
    /// The last batch that it looked at; `None` at the end.
    pub(crate) last: Option<i64>,
    /// How many of them have something that is due now.
    pub(crate) batches: u64,
}

/// Looks at some open batches behind `after`.
pub(crate) fn step(
    connection: &Connection,
    after: i64,
    now: Timestamp,
    latest: Timestamp,
) -> Result<Step, StoreError> {
    // Index: the primary key. It is walked once for each time that the clock is set back.
    let sql = "-- due_after_clock_jump
        SELECT id
        FROM batches
        WHERE id > ?1 AND open = 1
        ORDER BY id
        LIMIT ?2";
    let open: Vec<i64> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let rows = statement.query_map((after, BATCHES_AT_ONCE), |row| row.get(0))?;
            rows.collect()
        })
        .map_err(refused)?;
    let mut batches = 0;
    for batch in &open {
        let values = (batch, now.as_millis(), latest.as_millis());
        // Index: the primary key of deliveries.
        let sql = "-- due_after_clock_jump
            UPDATE deliveries
            SET next_attempt_at = ?2
            WHERE batch_id = ?1 AND state = 'retrying' AND next_attempt_at > ?3";
        let retries = execute(connection, sql, values)?;
        // One that was never tried and whose message was to be sent later waits for that instant.
        let sql = "-- due_after_clock_jump
            UPDATE batches
            SET not_before = ?2
            WHERE id = ?1 AND not_before > ?3
              AND (not_before > due_at OR EXISTS (
                SELECT 1 FROM messages m
                WHERE m.id = batches.message_id AND m.due_at = m.accepted_at
              ))";
        let waiting = execute(connection, sql, values)?;
        batches += u64::from(retries + waiting > 0);
    }
    Ok(Step {
        last: open.last().copied(),
        batches,
    })
}
