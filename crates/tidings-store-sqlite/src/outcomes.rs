//! Recording outcomes: under the lease token, each final one once.

use rusqlite::Connection;
use serde_json::json;
use std::collections::HashSet;
use tidings_core::application::ApplicationId;
use tidings_core::batch::{BatchId, Bitmap, Lease, Position, Selection, Seq};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{Outcome, OutcomeKind};
use tidings_core::id::SubscriptionId;
use tidings_core::store::{Recorded, StoreError};

use crate::accepted_before;
use crate::batches::read_selection;
use crate::database::refused;
use crate::pruning::Guarded;

pub(crate) fn record(
    connection: &Connection,
    lease: &Lease,
    outcomes: &[Outcome],
    now: Timestamp,
) -> Result<Recorded, StoreError> {
    let mut batch = Recording::of(connection, lease, outcomes)?;
    for outcome in outcomes {
        batch.take(connection, outcome, now)?;
    }
    let suspected = batch
        .guarded
        .record(connection, batch.answers, &batch.gone, now)?;
    accepted_before::remember(connection, batch.guarded.application, &batch.accepted)?;
    batch.store(connection, lease)?;
    Ok(Recorded { suspected })
}

/// A claimed batch while outcomes are added to it.
struct Recording {
    id: BatchId,
    guarded: Guarded,
    settled: Bitmap,
    selection: Selection,
    /// Who of those with an outcome waits for another attempt.
    retrying: HashSet<Position>,
    was_retrying: usize,
    newly: NewlySettled,
    /// How many answers that tell whether a subscription is alive came newly.
    answers: u64,
    /// The subscriptions that are gone newly.
    gone: Vec<SubscriptionId>,
    /// Those that accepted newly.
    accepted: Vec<Seq>,
}

/// How many bits were set newly, by what for.
#[derive(Default)]
struct NewlySettled {
    accepted: u32,
    gone: u32,
    refused: u32,
    expired: u32,
    ended: u32,
    cancelled: u32,
}

impl NewlySettled {
    fn count(&mut self, kind: OutcomeKind) {
        match kind {
            OutcomeKind::Accepted => self.accepted += 1,
            OutcomeKind::Gone => self.gone += 1,
            OutcomeKind::Refused => self.refused += 1,
            OutcomeKind::Expired => self.expired += 1,
            OutcomeKind::Ended => self.ended += 1,
            OutcomeKind::Cancelled => self.cancelled += 1,
            OutcomeKind::Retrying { .. } => {}
        }
    }
}

impl Recording {
    fn of(
        connection: &Connection,
        lease: &Lease,
        outcomes: &[Outcome],
    ) -> Result<Self, StoreError> {
        let sql = "-- record
            SELECT application_id, span, settled, retrying, push_service, first_seq, members
            FROM batches
            WHERE id = ?1 AND lease_token = ?2";
        let mut statement = connection.prepare_cached(sql).map_err(refused)?;
        let mut rows = statement
            .query((lease.batch.as_i64(), lease.token))
            .map_err(refused)?;
        let row = rows.next().map_err(refused)?.ok_or(StoreError::LeaseLost)?;
        let application = row.get(0).map_err(refused)?;
        let span: u16 = row.get(1).map_err(refused)?;
        let settled = row.get(2).map_err(refused)?;
        let retrying: u32 = row.get(3).map_err(refused)?;
        let selection = read_selection(row, 5, span)?;
        let retrying = if retrying == 0 {
            HashSet::new()
        } else {
            retrying_positions(connection, lease, outcomes)?
        };
        Ok(Self {
            id: lease.batch,
            guarded: Guarded {
                application: ApplicationId::from_i64(application),
                push_service: row.get(4).map_err(refused)?,
            },
            settled: Bitmap::from_octets(settled, span)
                .ok_or(StoreError::Unreadable("batches.settled"))?,
            selection,
            was_retrying: retrying.len(),
            retrying,
            newly: NewlySettled::default(),
            answers: 0,
            gone: Vec::new(),
            accepted: Vec::new(),
        })
    }

    fn take(
        &mut self,
        connection: &Connection,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let position = outcome.position;
        let Some(seq) = self.selection.seq_at(position) else {
            return Err(StoreError::Refused(
                "an outcome for a position without a member".into(),
            ));
        };
        if let OutcomeKind::Retrying { next_attempt_at } = outcome.kind {
            if !self.settled.get(position.0) {
                self.retrying.insert(position);
                keep_row(connection, self.id, outcome, Some(next_attempt_at), now)?;
            }
            return Ok(());
        }
        if !self.settled.set(position.0) {
            return Ok(());
        }
        self.newly.count(outcome.kind);
        self.answers += u64::from(tells_of_life(outcome));
        let was_retrying = self.retrying.remove(&position);
        match outcome.kind {
            OutcomeKind::Gone => {
                keep_row(connection, self.id, outcome, None, now)?;
                self.gone.extend(outcome.subscription);
            }
            OutcomeKind::Refused | OutcomeKind::Expired => {
                keep_row(connection, self.id, outcome, None, now)?;
            }
            OutcomeKind::Accepted => {
                self.accepted.push(seq);
                if was_retrying {
                    drop_row(connection, self.id, position)?;
                }
            }
            _ if was_retrying => drop_row(connection, self.id, position)?,
            _ => {}
        }
        Ok(())
    }

    fn store(self, connection: &Connection, lease: &Lease) -> Result<(), StoreError> {
        let retrying = i64::try_from(self.retrying.len()).unwrap_or(i64::MAX)
            - i64::try_from(self.was_retrying).unwrap_or(0);
        let sql = "-- record
            UPDATE batches
            SET settled = ?3,
                retrying = retrying + ?4,
                accepted = accepted + ?5,
                gone = gone + ?6,
                refused = refused + ?7,
                expired = expired + ?8,
                ended = ended + ?9,
                cancelled = cancelled + ?10
            WHERE id = ?1 AND lease_token = ?2";
        let values = (
            lease.batch.as_i64(),
            lease.token,
            self.settled.as_octets(),
            retrying,
            self.newly.accepted,
            self.newly.gone,
            self.newly.refused,
            self.newly.expired,
            self.newly.ended,
            self.newly.cancelled,
        );
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map(drop)
            .map_err(refused)
    }
}

// Index: the primary key of deliveries, for each of them.
const RETRYING_POSITIONS: &str = "-- record
    SELECT position
    FROM deliveries
    WHERE batch_id = ?1
      AND position IN (SELECT value FROM json_each(?2))
      AND state = 'retrying'";

fn retrying_positions(
    connection: &Connection,
    lease: &Lease,
    outcomes: &[Outcome],
) -> Result<HashSet<Position>, StoreError> {
    let positions: Vec<u16> = outcomes.iter().map(|outcome| outcome.position.0).collect();
    let mut statement = connection
        .prepare_cached(RETRYING_POSITIONS)
        .map_err(refused)?;
    let rows = statement
        .query_map(
            (lease.batch.as_i64(), json!(positions).to_string()),
            |row| row.get(0).map(Position),
        )
        .map_err(refused)?;
    rows.collect::<Result<_, _>>().map_err(refused)
}

fn keep_row(
    connection: &Connection,
    batch: BatchId,
    outcome: &Outcome,
    next_attempt_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "-- record
        INSERT OR REPLACE INTO deliveries
            (batch_id, position, subscription_id, state, attempts, next_attempt_at,
             last_status, last_reason, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let answer = outcome.last_answer.as_ref();
    let values = (
        batch.as_i64(),
        outcome.position.0,
        outcome.subscription.map(|id| *id.as_bytes()),
        outcome.kind.as_str(),
        outcome.attempt,
        next_attempt_at.map(Timestamp::as_millis),
        answer.and_then(|answer| answer.status),
        answer.map(|answer| answer.reason.as_str()),
        now.as_millis(),
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(drop)
        .map_err(refused)
}

fn drop_row(connection: &Connection, batch: BatchId, position: Position) -> Result<(), StoreError> {
    let sql = "-- record
        DELETE FROM deliveries
        WHERE batch_id = ?1 AND position = ?2";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((batch.as_i64(), position.0)))
        .map(drop)
        .map_err(refused)
}

/// Whether a push service answered something that it says only of a subscription it knows, or that
/// it knows of none.
fn tells_of_life(outcome: &Outcome) -> bool {
    match outcome.kind {
        OutcomeKind::Accepted => true,
        OutcomeKind::Gone => outcome.subscription.is_some(),
        OutcomeKind::Refused => {
            let answer = outcome.last_answer.as_ref();
            answer.is_some_and(|answer| answer.status.is_some())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn only_retries_with_an_outcome_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let steps: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {RETRYING_POSITIONS}"))
            .unwrap()
            .query_map((1, "[1,2]"), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let index = "PRIMARY KEY (batch_id=? AND position=?)";
        assert!(steps[0].contains(index), "{steps:?}");
    }
}
