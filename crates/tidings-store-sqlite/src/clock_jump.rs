//! After the clock was set back: what waits for an instant that was reckoned from the time before.

use rusqlite::Connection;
use tidings_core::clock::Timestamp;
use tidings_core::store::StoreError;

use crate::database::refused;
use crate::housekeeping::execute;

/// Open batches that are read at once.
const BATCHES_AT_ONCE: u32 = 64;

/// After so many rows a transaction looks at no further batch. They lie beside each other.
const ROWS_AT_ONCE: u64 = 1000;

/// How far one transaction came.
pub(crate) struct Step {
    /// The batches that it did not look at any more.
    pub(crate) rest: Vec<i64>,
    /// How many have something that is due now.
    pub(crate) batches: u64,
}

/// Some open batches behind `after`.
pub(crate) fn open_batches(connection: &Connection, after: i64) -> Result<Vec<i64>, StoreError> {
    // Index: the primary key. It is walked once for each time that the clock is set back.
    let sql = "-- due_after_clock_jump
        SELECT id
        FROM batches
        WHERE id > ?1 AND open = 1
        ORDER BY id
        LIMIT ?2";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let rows = statement.query_map((after, BATCHES_AT_ONCE), |row| row.get(0))?;
            rows.collect()
        })
        .map_err(refused)
}

/// Looks at some of these batches.
pub(crate) fn step(
    connection: &Connection,
    open: &[i64],
    now: Timestamp,
    latest: Timestamp,
) -> Result<Step, StoreError> {
    let (mut looked_at, mut batches, mut rows) = (0, 0, 0);
    for batch in open {
        if rows >= ROWS_AT_ONCE {
            break;
        }
        looked_at += 1;
        let values = (batch, now.as_millis(), latest.as_millis());
        // Index: the primary key of deliveries.
        let sql = "-- due_after_clock_jump
            UPDATE deliveries
            SET next_attempt_at = ?2
            WHERE batch_id = ?1 AND state = 'retrying' AND next_attempt_at > ?3";
        let retries = execute(connection, sql, values)?;
        // One that was never tried is due since its message was accepted, whatever the clock says;
        // if the message was to be sent later, it waits for that instant.
        let sql = "-- due_after_clock_jump
            UPDATE batches
            SET not_before = ?2
            WHERE id = ?1 AND not_before > CASE not_before WHEN due_at THEN ?2 ELSE ?3 END
              AND (not_before <> due_at OR EXISTS (
                SELECT 1 FROM messages m
                WHERE m.id = batches.message_id AND m.due_at = m.accepted_at
                  AND m.due_at = batches.due_at
              ))";
        let waiting = execute(connection, sql, values)?;
        batches += u64::from(retries + waiting > 0);
        rows += retries;
    }
    Ok(Step {
        rest: open.iter().skip(looked_at).copied().collect(),
        batches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn a_transaction_takes_few_batches_with_many_retries() {
        let directory = tempfile::tempdir().unwrap();
        let zero = Timestamp::from_millis(0);
        let (_lock, connection) = open_for_writing(directory.path(), zero).unwrap();
        let sql = "-- test
            INSERT INTO messages (id, application_id, state, lane, audience, content, ttl_s, urgency,
                                  cutoff, accepted_at, due_at)
            VALUES (zeroblob(16), 1, 'sending', 1, '{}', x'', 0, 'normal', 0, 0, 0);
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5)
            INSERT INTO batches (id, message_id, application_id, push_service, lane, due_at,
                                 not_before, first_seq, span, members, settled, targeted, retrying)
            SELECT n, zeroblob(16), 1, 'fcm', 1, 0, 9000, 1, 600, zeroblob(75), zeroblob(75), 600, 600
            FROM n;
            WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 599)
            INSERT INTO deliveries (batch_id, position, state, attempts, next_attempt_at, updated_at)
            SELECT batches.id, n, 'retrying', 1, 9000, 0
            FROM batches, n;";
        connection.execute_batch(sql).unwrap();
        let open = open_batches(&connection, 0).unwrap();
        assert_eq!(open, [1, 2, 3, 4, 5]);
        let latest = Timestamp::from_millis(1000);
        let first = step(&connection, &open, zero, latest).unwrap();
        assert_eq!((first.batches, first.rest.as_slice()), (2, &[3, 4, 5][..]));
        let second = step(&connection, &first.rest, zero, latest).unwrap();
        assert_eq!((second.batches, second.rest.as_slice()), (2, &[5][..]));
    }
}
