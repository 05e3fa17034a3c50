//! Members of a batch, with what is needed to send to them.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, Row, Rows};
use serde_json::json;
use tidings_core::application::ApplicationId;
use tidings_core::batch::{BatchId, Position, Seq};
use tidings_core::clock::Timestamp;
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::store::{LoadedMember, LoadedMembers, SendTarget, StoreError};

use crate::accepted_before::AcceptedBefore;
use crate::database::refused;
use crate::subscriptions::read_receiver;
use crate::{Seals, plans};

/// What members are members of.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) batch: BatchId,
    pub(crate) message: MessageId,
    pub(crate) application: ApplicationId,
    /// Whether they are a broadcast's, which is for everybody.
    pub(crate) is_range: bool,
}

pub(crate) fn load(
    connection: &Connection,
    seals: &Seals,
    owner: Owner,
    members: &[(Position, Seq)],
    now: Timestamp,
) -> Result<LoadedMembers, StoreError> {
    let positions: Vec<Position> = members.iter().map(|(position, _)| *position).collect();
    let retrying = retrying(connection, owner.batch, &positions)?;
    let (mut turn, mut waiting) = (Vec::with_capacity(members.len()), Vec::new());
    for (position, seq) in members {
        match retrying.get(position) {
            Some((_, next_attempt_at)) if *next_attempt_at > now => {
                waiting.push((*position, *next_attempt_at));
            }
            Some((attempts, _)) => turn.push((*position, *seq, *attempts)),
            None => turn.push((*position, *seq, 0)),
        }
    }
    let seqs = turn.iter().map(|(_, seq, _)| *seq).collect();
    let mut targets = targets(connection, seals, owner, &seqs)?;
    let turn = turn
        .into_iter()
        .map(|(position, seq, attempts)| LoadedMember {
            position,
            attempts,
            target: targets.remove(&seq).map(Box::new),
        })
        .collect();
    Ok(LoadedMembers { turn, waiting })
}

// Index: the primary key, in one go.
const RANGE_OF_RETRIES: &str = "-- load_members
    SELECT position, attempts, next_attempt_at
    FROM deliveries
    WHERE batch_id = ?1 AND position BETWEEN ?2 AND ?3 AND state = 'retrying'";

// Index: the primary key, for each of them.
const LIST_OF_RETRIES: &str = "-- load_members
    SELECT position, attempts, next_attempt_at
    FROM deliveries
    WHERE batch_id = ?1 AND position IN (SELECT value FROM json_each(?2)) AND state = 'retrying'";

/// Who of these positions waits for another attempt.
fn retrying(
    connection: &Connection,
    batch: BatchId,
    positions: &[Position],
) -> Result<HashMap<Position, (u32, Timestamp)>, StoreError> {
    let (Some(first), Some(last)) = (positions.iter().min(), positions.iter().max()) else {
        return Ok(HashMap::new());
    };
    let batch = batch.as_i64();
    let read = |row: &Row<'_>| {
        let waits = (row.get(1)?, Timestamp::from_millis(row.get(2)?));
        Ok((Position(row.get(0)?), waits))
    };
    if is_worth_walking(i64::from(last.0) - i64::from(first.0), positions.len()) {
        let mut statement = connection
            .prepare_cached(RANGE_OF_RETRIES)
            .map_err(refused)?;
        let rows = statement.query_map((batch, first.0, last.0), read);
        return rows.and_then(Iterator::collect).map_err(refused);
    }
    let list: Vec<u16> = positions.iter().map(|position| position.0).collect();
    let mut statement = connection
        .prepare_cached(LIST_OF_RETRIES)
        .map_err(refused)?;
    let rows = statement.query_map((batch, json!(list).to_string()), read);
    rows.and_then(Iterator::collect).map_err(refused)
}

/// Whether so few in a range are not wanted that all of it may be read.
fn is_worth_walking(span: i64, wanted: usize) -> bool {
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    span < wanted.saturating_mul(WALKED_FOR_EACH)
}

// Index: the primary key, in one go.
const RANGE_OF_TARGETS: &str = "-- load_members
    SELECT s.seq, s.id, s.capability, s.encoding, k.public_id
    FROM subscriptions s
    CROSS JOIN vapid_keys k ON k.id = s.vapid_key_id
    WHERE s.application_id = ?1 AND s.state = 'active' AND s.seq BETWEEN ?2 AND ?3";

// Index: the primary key, for each of them.
const LIST_OF_TARGETS: &str = "-- load_members
    SELECT s.seq, s.id, s.capability, s.encoding, k.public_id
    FROM subscriptions s
    JOIN vapid_keys k ON k.id = s.vapid_key_id
    WHERE s.application_id = ?1 AND s.state = 'active'
      AND s.seq IN (SELECT value FROM json_each(?2))
      AND (?3 IS NULL
        OR s.id IN (SELECT unhex(value) FROM json_each(?3))
        OR s.user IN (SELECT value FROM json_each(?4)))";

/// More seqs in a range than so many for each that is wanted are not walked.
const WALKED_FOR_EACH: i64 = 4;

/// The active subscriptions among these seqs that the message is still for: who was chosen as one of
/// a person's, and has been detached or given to somebody else since, must not show what is not theirs.
fn targets(
    connection: &Connection,
    seals: &Seals,
    owner: Owner,
    seqs: &BTreeSet<Seq>,
) -> Result<HashMap<Seq, SendTarget>, StoreError> {
    let application = owner.application.as_i64();
    let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else {
        return Ok(HashMap::new());
    };
    let (first, last) = (first.as_i64(), last.as_i64());
    let accepted_before = AcceptedBefore::of(connection, owner.application, seqs.iter().copied())?;
    if owner.is_range && is_worth_walking(last - first, seqs.len()) {
        let mut statement = connection
            .prepare_cached(RANGE_OF_TARGETS)
            .map_err(refused)?;
        let rows = statement.query((application, first, last));
        return read_targets(rows.map_err(refused)?, seals, seqs, &accepted_before);
    }
    let (ids, users) = if owner.is_range {
        (None, None)
    } else {
        plans::named(connection, owner.message)?.unzip()
    };
    let list: Vec<i64> = seqs.iter().map(|seq| seq.as_i64()).collect();
    let mut statement = connection
        .prepare_cached(LIST_OF_TARGETS)
        .map_err(refused)?;
    let rows = statement.query((application, json!(list).to_string(), ids, users));
    read_targets(rows.map_err(refused)?, seals, seqs, &accepted_before)
}

fn read_targets(
    mut rows: Rows<'_>,
    seals: &Seals,
    wanted: &BTreeSet<Seq>,
    accepted_before: &AcceptedBefore,
) -> Result<HashMap<Seq, SendTarget>, StoreError> {
    let mut targets = HashMap::with_capacity(wanted.len());
    while let Some(row) = rows.next().map_err(refused)? {
        let seq = Seq::from_i64(row.get(0).map_err(refused)?);
        if !wanted.contains(&seq) {
            continue;
        }
        let id = SubscriptionId::from_bytes(row.get(1).map_err(refused)?);
        let (subscription, encoding) = match read_receiver(row, (2, 3), seals, id) {
            Ok(read) => read,
            // It must not keep the rest of the batch from being sent.
            Err(error) if error.is_damage() => {
                seals.told.tell(id, &error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let target = SendTarget {
            id,
            subscription,
            encoding,
            vapid_key: VapidKeyId::from_bytes(row.get(4).map_err(refused)?),
            has_accepted: accepted_before.has(seq),
        };
        targets.insert(seq, target);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn members_of_a_range_are_read_in_one_go() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let steps: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {RANGE_OF_TARGETS}"))
            .unwrap()
            .query_map((1, 1, 256), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let range = "(application_id=? AND seq>? AND seq<?)";
        assert!(steps[0].contains(range), "{steps:?}");
    }

    #[test]
    fn a_few_retries_cost_the_same_however_many_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let zero = Timestamp::from_millis(0);
        let (_lock, connection) = open_for_writing(directory.path(), zero).unwrap();
        connection
            .pragma_update(None, "foreign_keys", false)
            .unwrap();
        let batch = BatchId::from_i64(1);
        let few = [0, 2000, 4000].map(Position);
        let steps_with = |others: u16| {
            let sql = "-- test
                WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + ?1 FROM n WHERE n < 4000)
                INSERT OR IGNORE INTO deliveries
                    (batch_id, position, state, attempts, next_attempt_at, updated_at)
                SELECT 1, n, 'retrying', 1, 9000, 0 FROM n";
            connection.execute(sql, [others]).unwrap();
            assert_eq!(retrying(&connection, batch, &few).unwrap().len(), 3);
            let mut statement = connection.prepare(LIST_OF_RETRIES).unwrap();
            let rows = statement.query_map((1, "[0, 2000, 4000]"), |_| Ok(()));
            assert_eq!(rows.unwrap().count(), 3);
            statement.get_status(StatementStatus::VmStep)
        };
        assert_eq!(steps_with(2000), steps_with(1));
        assert!(!is_worth_walking(4000, few.len()));
        // And all of them in one go.
        let all: Vec<Position> = (0..=4000).map(Position).collect();
        assert_eq!(retrying(&connection, batch, &all).unwrap().len(), 4001);
    }
}
