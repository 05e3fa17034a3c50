//! Which messages are planned next: direct ones before broadcasts, application by application.

use rusqlite::{Connection, OptionalExtension as _};
use tidings_core::application::ApplicationId;
use tidings_core::batch::{Lane, Seq};
use tidings_core::clock::Timestamp;
use tidings_core::id::MessageId;
use tidings_core::message::Plan;
use tidings_core::store::{PlanRound, StoreError};

use crate::database::refused;
use crate::plans::audience_from_json;

/// The messages that are to be planned next.
#[derive(Default)]
pub(crate) struct NextPlans {
    pub(crate) plans: Vec<Plan>,
    /// Whom these are for cannot be read any more.
    pub(crate) unreadable: Vec<MessageId>,
}

pub(crate) fn next(connection: &Connection, round: &PlanRound) -> Result<NextPlans, StoreError> {
    let mut ids = in_turn(connection, round, Lane::Direct, round.direct)?;
    ids.truncate(usize::from(round.direct));
    if ids.is_empty() {
        ids = in_turn(connection, round, Lane::Bulk, 1)?;
        ids.truncate(usize::from(round.bulk));
    }
    let mut next = NextPlans::default();
    for id in ids {
        read(connection, id, &mut next)?;
    }
    Ok(next)
}

/// The first message of each application, then the second of each, up to so many of each.
fn in_turn(
    connection: &Connection,
    round: &PlanRound,
    lane: Lane,
    of_each: u16,
) -> Result<Vec<MessageId>, StoreError> {
    let mut applications = applications(connection, lane)?;
    let had_their_turn = applications.partition_point(|application| *application <= round.after);
    applications.rotate_left(had_their_turn);
    let waiting = applications
        .into_iter()
        .map(|application| due(connection, lane, application, round.now, of_each))
        .collect::<Result<Vec<_>, _>>()?;
    let turns = (0..usize::from(of_each)).flat_map(|turn| {
        let of_each = waiting.iter();
        of_each.filter_map(move |messages| messages.get(turn).copied())
    });
    Ok(turns.collect())
}

// Index: messages_to_plan, from the first entry of each application to that of the next. A
// `DISTINCT` would walk all of its entries.
const APPLICATIONS: &str = "-- next_plans
    WITH RECURSIVE waiting (application_id) AS (
        SELECT (
            SELECT application_id
            FROM messages
            WHERE state = 'planning' AND lane = ?1
            ORDER BY application_id
            LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT application_id
            FROM messages
            WHERE state = 'planning' AND lane = ?1 AND application_id > before.application_id
            ORDER BY application_id
            LIMIT 1
        )
        FROM waiting before
        WHERE before.application_id IS NOT NULL
    )
    SELECT application_id
    FROM waiting
    WHERE application_id IS NOT NULL";

/// Those that have something to plan in a lane, now or later, in rising order.
fn applications(connection: &Connection, lane: Lane) -> Result<Vec<ApplicationId>, StoreError> {
    connection
        .prepare_cached(APPLICATIONS)
        .and_then(|mut statement| {
            let rows = statement.query_map([lane.as_i64()], |row| row.get(0))?;
            rows.map(|id| id.map(ApplicationId::from_i64)).collect()
        })
        .map_err(refused)
}

// Index: messages_to_plan, which has all that is read.
const DUE: &str = "-- next_plans
    SELECT id
    FROM messages
    WHERE state = 'planning' AND lane = ?1 AND application_id = ?2 AND plan_from <= ?3
    ORDER BY plan_from, id
    LIMIT ?4";

fn due(
    connection: &Connection,
    lane: Lane,
    application: ApplicationId,
    now: Timestamp,
    limit: u16,
) -> Result<Vec<MessageId>, StoreError> {
    let values = (lane.as_i64(), application.as_i64(), now.as_millis(), limit);
    connection
        .prepare_cached(DUE)
        .and_then(|mut statement| {
            let rows = statement.query_map(values, |row| row.get(0))?;
            rows.map(|id| id.map(MessageId::from_bytes)).collect()
        })
        .map_err(refused)
}

/// Adds a message, unless it was planned in the meantime.
fn read(connection: &Connection, id: MessageId, next: &mut NextPlans) -> Result<(), StoreError> {
    // Index: the primary key.
    let sql = "-- next_plans
        SELECT application_id, audience, cutoff, cursor, due_at
        FROM messages
        WHERE id = ?1 AND state = 'planning'";
    let read = |row: &rusqlite::Row<'_>| {
        let text = row.get_ref(1)?.as_str();
        let audience = text.ok().and_then(audience_from_json);
        let plan = |audience| {
            Ok(Plan {
                message: id,
                application: ApplicationId::from_i64(row.get(0)?),
                audience,
                cutoff: Seq::from_i64(row.get(2)?),
                cursor: Seq::from_i64(row.get(3)?),
                due_at: Timestamp::from_millis(row.get(4)?),
            })
        };
        audience.map(plan).transpose()
    };
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([id.as_bytes()], read).optional())
        .map_err(refused)?;
    match found {
        Some(Some(plan)) => next.plans.push(plan),
        Some(None) => next.unreadable.push(id),
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::database::open_for_writing;

    /// What it costs to look, once so many more messages of each of three applications wait, as
    /// many of them for a later instant.
    fn steps_with(connection: &Connection, messages: i64) -> i32 {
        let sql = "-- test
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 6 * ?1)
            INSERT INTO messages (id, application_id, state, lane, audience, content, ttl_s,
                                  urgency, cutoff, accepted_at, due_at)
            SELECT randomblob(16), 1 + n % 3, 'planning', 0, '{\"all\":true}', x'', 0,
                   'normal', 0, 5, CASE n % 2 WHEN 0 THEN 5 ELSE 1000 END
            FROM n";
        connection.execute(sql, [messages]).unwrap();
        let mut statement = connection.prepare(APPLICATIONS).unwrap();
        assert_eq!(statement.query_map([0], |_| Ok(())).unwrap().count(), 3);
        let look = statement.get_status(StatementStatus::VmStep);
        let mut statement = connection.prepare(DUE).unwrap();
        let rows = statement.query_map((0, 2, 7, 64), |_| Ok(())).unwrap();
        assert_eq!(rows.count(), 64);
        look + statement.get_status(StatementStatus::VmStep)
    }

    #[test]
    fn next_plans_cost_the_same_however_many_messages_wait() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        for application in [2, 3] {
            let sql = "INSERT INTO applications (id, name, created_at) VALUES (?1, ?1, 0)";
            connection.execute(sql, [application]).unwrap();
        }
        let few = steps_with(&connection, 100);
        assert_eq!(few, steps_with(&connection, 20_000));
    }
}
