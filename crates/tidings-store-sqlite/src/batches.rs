//! Batches: claiming, loading, ending a pass.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};
use tidings_core::application::ApplicationId;
use tidings_core::batch::{
    Batch, BatchId, Bitmap, Lane, Lease, LeasedBatch, Position, Selection, Seq,
};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::Outcome;
use tidings_core::id::MessageId;
use tidings_core::store::{
    BatchStore, Claim, DueGroup, LoadedMembers, PassEnd, PassTimes, Recorded, StoreError,
    SuspectedWave,
};
use tidings_core::subscription::PushServiceGroup;

use crate::database::refused;
use crate::loading::{self, Owner};
use crate::writer::Queue;
use crate::{SqliteStore, clock_jump, damaged_batches, outcomes, plans, pruning};

#[async_trait]
impl BatchStore for SqliteStore {
    async fn due_groups(&self) -> Result<Vec<DueGroup>, StoreError> {
        self.read(|connection, _| due_groups(connection)).await
    }

    async fn claim_due(&self, claim: Claim) -> Result<Vec<LeasedBatch>, StoreError> {
        self.write(Queue::Record, move |connection, _| {
            claim_due(connection, &claim)
        })
        .await
    }

    async fn load_members(
        &self,
        batch: &Batch,
        positions: Vec<Position>,
        now: Timestamp,
    ) -> Result<LoadedMembers, StoreError> {
        let members: Vec<_> = positions
            .into_iter()
            .filter_map(|position| Some((position, batch.selection.seq_at(position)?)))
            .collect();
        let owner = Owner {
            batch: batch.id,
            message: batch.message,
            application: batch.application,
            is_range: matches!(batch.selection, Selection::Range { .. }),
        };
        self.read(move |connection, seals| loading::load(connection, seals, owner, &members, now))
            .await
    }

    async fn record(
        &self,
        lease: &Lease,
        outcomes: Vec<Outcome>,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        let lease = lease.clone();
        self.write(Queue::Record, move |connection, _| {
            outcomes::record(connection, &lease, &outcomes, now)
        })
        .await
    }

    async fn suspected_waves(&self) -> Result<Vec<SuspectedWave>, StoreError> {
        self.read(|connection, _| pruning::suspected_waves(connection))
            .await
    }

    async fn finish_pass(&self, lease: &Lease, times: PassTimes) -> Result<PassEnd, StoreError> {
        let lease = lease.clone();
        self.write(Queue::Record, move |connection, _| {
            finish_pass(connection, &lease, times)
        })
        .await
    }

    async fn due_after_clock_jump(
        &self,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<u64, StoreError> {
        let (mut after, mut batches) = (0, 0);
        loop {
            let mut open = self
                .read(move |connection, _| clock_jump::open_batches(connection, after))
                .await?;
            let Some(last) = open.last() else {
                return Ok(batches);
            };
            after = *last;
            while !open.is_empty() {
                let step = self
                    .write(Queue::Record, move |connection, _| {
                        clock_jump::step(connection, &open, now, latest)
                    })
                    .await?;
                batches += step.batches;
                open = step.rest;
            }
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.write(Queue::Record, move |connection, _| {
            let sql = "-- release
                UPDATE batches
                SET lease_token = NULL, lease_epoch = NULL
                WHERE id = ?1 AND lease_token = ?2";
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute((lease.batch.as_i64(), lease.token)))
                .map(drop)
                .map_err(refused)
        })
        .await
    }

    async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        // A claim lasts as long as the process, so there is nothing to prolong.
        let lease = lease.clone();
        self.read(move |connection, _| {
            let sql = "-- renew
                SELECT 1 FROM batches WHERE id = ?1 AND lease_token = ?2";
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.exists((lease.batch.as_i64(), lease.token)))
                .map_err(refused)
        })
        .await
    }
}

// Index: batches_unclaimed, from the first entry of each group to that of the next. A `GROUP BY`
// would walk all of its entries, and of a comparison of rows SQLite uses only the first column here.
const DUE_GROUPS: &str = "-- due_groups
    WITH RECURSIVE firsts (id) AS (
        SELECT (
            SELECT id
            FROM batches
            WHERE open = 1 AND lease_token IS NULL
            ORDER BY application_id, push_service, lane, not_before
            LIMIT 1
        )
        UNION ALL
        SELECT coalesce(
            (
                SELECT id
                FROM batches
                WHERE open = 1 AND lease_token IS NULL
                  AND application_id = before.application_id
                  AND push_service = before.push_service
                  AND lane > before.lane
                ORDER BY lane, not_before
                LIMIT 1
            ), (
                SELECT id
                FROM batches
                WHERE open = 1 AND lease_token IS NULL
                  AND application_id = before.application_id
                  AND push_service > before.push_service
                ORDER BY push_service, lane, not_before
                LIMIT 1
            ), (
                SELECT id
                FROM batches
                WHERE open = 1 AND lease_token IS NULL
                  AND application_id > before.application_id
                ORDER BY application_id, push_service, lane, not_before
                LIMIT 1
            )
        )
        FROM firsts
        JOIN batches before ON before.id = firsts.id
    )
    SELECT b.application_id, b.push_service, b.lane, b.not_before
    FROM firsts
    JOIN batches b ON b.id = firsts.id";

fn due_groups(connection: &Connection) -> Result<Vec<DueGroup>, StoreError> {
    let mut statement = connection.prepare_cached(DUE_GROUPS).map_err(refused)?;
    let mut rows = statement.query(()).map_err(refused)?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next().map_err(refused)? {
        groups.push(DueGroup {
            application: ApplicationId::from_i64(row.get(0).map_err(refused)?),
            group: read_group(row, 1)?,
            lane: read_lane(row, 2)?,
            not_before: Timestamp::from_millis(row.get(3).map_err(refused)?),
        });
    }
    Ok(groups)
}

fn claim_due(connection: &Connection, claim: &Claim) -> Result<Vec<LeasedBatch>, StoreError> {
    // Index: batches_unclaimed.
    let sql = "-- claim_due
        UPDATE batches
        SET lease_token = ?6, lease_epoch = (SELECT epoch FROM epochs WHERE id = 1)
        WHERE id IN (
            SELECT id FROM batches
            WHERE application_id = ?1 AND push_service = ?2 AND lane = ?3
              AND open = 1 AND lease_token IS NULL AND not_before <= ?4
            ORDER BY not_before, id
            LIMIT ?5
        )
        RETURNING id, message_id, application_id, push_service, lane, due_at,
                  span, first_seq, members, settled, not_before";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let mut rows = statement
        .query((
            claim.application.as_i64(),
            claim.group.as_str(),
            claim.lane.as_i64(),
            claim.now.as_millis(),
            claim.limit,
            claim.token,
        ))
        .map_err(refused)?;
    let mut claimed = Vec::new();
    let mut damaged = Vec::new();
    while let Some(row) = rows.next().map_err(refused)? {
        let batch = match read_batch(row) {
            Err(error) if error.is_damage() => {
                damaged.push(row.get(0).map_err(refused)?);
                continue;
            }
            read => read?,
        };
        let lease = Lease {
            batch: batch.id,
            token: claim.token,
        };
        let not_before: i64 = row.get(10).map_err(refused)?;
        claimed.push((not_before, LeasedBatch { batch, lease }));
    }
    for batch in damaged {
        damaged_batches::close(connection, batch, claim.now)?;
    }
    // SQLite returns updated rows in no particular order.
    claimed.sort_by_key(|(not_before, leased)| (*not_before, leased.batch.id));
    Ok(claimed.into_iter().map(|(_, leased)| leased).collect())
}

fn read_lane(row: &Row<'_>, column: usize) -> Result<Lane, StoreError> {
    let number = row.get(column).map_err(refused)?;
    Lane::from_i64(number).ok_or(StoreError::Unreadable("batches.lane"))
}

/// Who is in a batch, from its `first_seq` and its `members`, which is the next column.
pub(crate) fn read_selection(
    row: &Row<'_>,
    column: usize,
    span: u16,
) -> Result<Selection, StoreError> {
    let first_seq: Option<i64> = row.get(column).map_err(refused)?;
    let members: Vec<u8> = row.get(column + 1).map_err(refused)?;
    let unreadable = || StoreError::Unreadable("batches.members");
    Ok(match first_seq {
        Some(first) => Selection::Range {
            first: Seq::from_i64(first),
            members: Bitmap::from_octets(members, span).ok_or_else(unreadable)?,
        },
        None => Selection::Members(
            members
                .as_chunks()
                .0
                .iter()
                .map(|octets| Seq::from_i64(i64::from_be_bytes(*octets)))
                .collect(),
        ),
    })
}

fn read_group(row: &Row<'_>, at: usize) -> Result<PushServiceGroup, StoreError> {
    row.get_ref(at)
        .and_then(|value| Ok(PushServiceGroup::from_stored(value.as_str()?)))
        .map_err(refused)
}

fn read_batch(row: &Row<'_>) -> Result<Batch, StoreError> {
    let span: u16 = row.get(6).map_err(refused)?;
    Ok(Batch {
        id: BatchId::from_i64(row.get(0).map_err(refused)?),
        message: MessageId::from_bytes(row.get(1).map_err(refused)?),
        application: ApplicationId::from_i64(row.get(2).map_err(refused)?),
        group: read_group(row, 3)?,
        lane: read_lane(row, 4)?,
        due_at: Timestamp::from_millis(row.get(5).map_err(refused)?),
        selection: read_selection(row, 7, span)?,
        settled: Bitmap::from_octets(row.get(9).map_err(refused)?, span)
            .ok_or(StoreError::Unreadable("batches.settled"))?,
    })
}

fn finish_pass(
    connection: &Connection,
    lease: &Lease,
    times: PassTimes,
) -> Result<PassEnd, StoreError> {
    let PassTimes { looked_at, now, .. } = times;
    let sql = "-- finish_pass
        SELECT message_id, targeted, retrying,
               accepted + gone + refused + expired + ended + cancelled
        FROM batches
        WHERE id = ?1 AND lease_token = ?2";
    let claimed: Option<([u8; 16], u32, u32, u32)> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_row((lease.batch.as_i64(), lease.token), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()
        })
        .map_err(refused)?;
    let (message, targeted, retrying, settled) = claimed.ok_or(StoreError::LeaseLost)?;
    if settled == targeted {
        close(connection, lease)?;
        let message_done = plans::finish_if_done(connection, MessageId::from_bytes(message), now)?;
        return Ok(PassEnd::Done { message_done });
    }
    let resume_at = times.resume_at.map_or(now, |at| at.max(now));
    // The clock may have been set back meanwhile.
    let looked_at = looked_at.min(now);
    let retry_at = earliest_attempt(connection, lease.batch, looked_at, resume_at)?;
    let left_out = (settled + retrying < targeted).then_some(resume_at);
    let not_before = left_out.into_iter().chain(retry_at).min().unwrap_or(now);
    let sql = "-- finish_pass
        UPDATE batches
        SET not_before = ?2, lease_token = NULL, lease_epoch = NULL
        WHERE id = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((lease.batch.as_i64(), not_before.as_millis())))
        .map_err(refused)?;
    Ok(PassEnd::Again { not_before })
}

fn close(connection: &Connection, lease: &Lease) -> Result<(), StoreError> {
    let sql = "-- finish_pass
        UPDATE batches
        SET open = 0, lease_token = NULL, lease_epoch = NULL
        WHERE id = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([lease.batch.as_i64()]))
        .map(drop)
        .map_err(refused)
}

/// The earliest next attempt. One that was due when the pass looked last had its turn in it without
/// an outcome.
fn earliest_attempt(
    connection: &Connection,
    batch: BatchId,
    looked_at: Timestamp,
    resume_at: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    // Index: the primary key of deliveries.
    let sql = "-- finish_pass
        SELECT min(CASE WHEN next_attempt_at > ?2 THEN next_attempt_at ELSE ?3 END)
        FROM deliveries
        WHERE batch_id = ?1 AND state = 'retrying'";
    let values = (batch.as_i64(), looked_at.as_millis(), resume_at.as_millis());
    let earliest: Option<i64> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(values, |row| row.get(0)))
        .map_err(refused)?;
    Ok(earliest.map(Timestamp::from_millis))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn due_groups_cost_the_same_however_many_batches_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let steps_with = |batches: i64| {
            let sql = "-- test
                WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                INSERT INTO batches (message_id, application_id, push_service, lane, due_at,
                                     not_before, first_seq, span, members, settled, targeted)
                SELECT (SELECT id FROM messages), 1, 'service ' || (n % 3), n % 2, n, n, n, 1, x'01', x'00', 1
                FROM n";
            connection.execute(sql, [batches]).unwrap();
            let mut statement = connection.prepare(DUE_GROUPS).unwrap();
            let groups = statement.query_map((), |_| Ok(())).unwrap().count();
            assert_eq!(groups, 6);
            statement.get_status(StatementStatus::VmStep)
        };
        let message = "-- test
            INSERT INTO messages (id, application_id, state, lane, audience, content, ttl_s, urgency,
                                  cutoff, accepted_at, due_at)
            VALUES (randomblob(16), 1, 'sending', 1, '{}', x'', 0, 'normal', 0, 0, 0)";
        connection.execute(message, ()).unwrap();
        assert_eq!(steps_with(60), steps_with(60_000));
    }
}
