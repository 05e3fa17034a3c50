//! Plans: walking an audience and keeping the batches it was cut into.

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};
use tidings_core::batch::{BatchId, Bitmap, NewBatch, Selection, Seq};
use tidings_core::clock::Timestamp;
use tidings_core::id::{MessageId, SubscriptionId};
use tidings_core::message::{Audience, Plan};
use tidings_core::store::{AudienceMember, PlannedStep, StoreError};
use tidings_core::subscription::{PushServiceGroup, UserId};
use tidings_webpush::PushService;

use crate::database::refused;

pub(crate) fn audience_to_json(audience: &Audience) -> String {
    let json = match audience {
        Audience::All => json!({"all": true}),
        Audience::Listed {
            subscriptions,
            users,
        } => json!({
            "subscriptions": subscriptions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "users": users.iter().map(UserId::as_str).collect::<Vec<_>>(),
        }),
    };
    json.to_string()
}

pub(crate) fn audience_from_json(text: &str) -> Option<Audience> {
    let json: Value = serde_json::from_str(text).ok()?;
    if json.get("all").is_some() {
        return Some(Audience::All);
    }
    let texts = |member: &str| {
        let items = json.get(member)?.as_array()?;
        items.iter().map(Value::as_str).collect::<Option<Vec<_>>>()
    };
    let subscriptions = texts("subscriptions")?;
    let users = texts("users")?;
    Some(Audience::Listed {
        subscriptions: subscriptions
            .iter()
            .map(|id| id.parse().ok())
            .collect::<Option<_>>()?,
        users: users
            .iter()
            .map(|user| UserId::parse(user))
            .collect::<Option<_>>()?,
    })
}

pub(crate) fn audience(
    connection: &Connection,
    plan: &Plan,
    through: Seq,
    limit: u16,
) -> Result<Vec<AudienceMember>, StoreError> {
    let app = plan.application.as_i64();
    let after = plan.cursor.as_i64();
    let through = through.min(plan.cutoff).as_i64();
    let limit = i64::from(limit);
    let read = |row: &rusqlite::Row<'_>| {
        // Where it is sent to is told by what is sealed. Nobody may be left out here: fewer than
        // `limit` are the end of the audience.
        let group = row.get_ref(1)?.as_str().ok().map_or_else(
            || PushServiceGroup::of_service(PushService::Other),
            PushServiceGroup::from_stored,
        );
        Ok(AudienceMember {
            seq: Seq::from_i64(row.get(0)?),
            group,
        })
    };
    match &plan.audience {
        Audience::All => {
            // Index: the primary key.
            let sql = "-- audience
                SELECT seq, push_service
                FROM subscriptions
                WHERE application_id = ?1 AND seq > ?2 AND seq <= ?3 AND state = 'active'
                ORDER BY seq
                LIMIT ?4";
            let mut statement = connection.prepare_cached(sql).map_err(refused)?;
            let rows = statement
                .query_map((app, after, through, limit), read)
                .map_err(refused)?;
            rows.collect::<Result<_, _>>().map_err(refused)
        }
        Audience::Listed {
            subscriptions,
            users,
        } => {
            // Index: the unique one on id and subscriptions_by_user, to find the listed; then the
            // primary key. The unary plus keeps the range from being walked instead.
            let sql = "-- audience
                SELECT seq, push_service
                FROM subscriptions
                WHERE application_id = ?1 AND +seq > ?2 AND +seq <= ?3 AND state = 'active'
                  AND seq IN (
                    SELECT s.seq
                    FROM json_each(?5) listed
                    CROSS JOIN subscriptions s
                        ON s.id = unhex(listed.value) AND s.application_id = ?1
                    UNION
                    SELECT s.seq
                    FROM json_each(?6) listed
                    CROSS JOIN subscriptions s
                        ON s.application_id = ?1 AND s.user = listed.value
                  )
                ORDER BY seq
                LIMIT ?4";
            let lists = lists(subscriptions, users);
            let mut statement = connection.prepare_cached(sql).map_err(refused)?;
            let rows = statement
                .query_map((app, after, through, limit, lists.0, lists.1), read)
                .map_err(refused)?;
            rows.collect::<Result<_, _>>().map_err(refused)
        }
    }
}

/// Whom a message names: subscriptions and people, as [`lists`]. `None` if it is for everybody.
pub(crate) fn named(
    connection: &Connection,
    message: MessageId,
) -> Result<Option<(String, String)>, StoreError> {
    // Index: the primary key.
    let sql = "-- load_members
        SELECT audience
        FROM messages
        WHERE id = ?1";
    let audience: String = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([message.as_bytes()], |row| row.get(0)))
        .map_err(refused)?;
    let unreadable = StoreError::Unreadable("messages.audience");
    match audience_from_json(&audience).ok_or(unreadable)? {
        Audience::All => Ok(None),
        Audience::Listed {
            subscriptions,
            users,
        } => Ok(Some(lists(&subscriptions, &users))),
    }
}

/// For `json_each`: ids in hexadecimal digits, and people.
fn lists(subscriptions: &[SubscriptionId], users: &[UserId]) -> (String, String) {
    let ids: Vec<String> = subscriptions.iter().map(hexadecimal).collect();
    let users: Vec<&str> = users.iter().map(UserId::as_str).collect();
    (json!(ids).to_string(), json!(users).to_string())
}

fn hexadecimal(id: &SubscriptionId) -> String {
    use std::fmt::Write as _;
    id.as_bytes()
        .iter()
        .fold(String::with_capacity(32), |mut text, octet| {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        })
}

pub(crate) fn add(
    connection: &Connection,
    step: &PlannedStep,
) -> Result<Option<Vec<BatchId>>, StoreError> {
    let sql = "-- add_planned
        UPDATE messages
        SET cursor = ?3
        WHERE id = ?1 AND cursor = ?2 AND state = 'planning'
        RETURNING application_id, lane, CASE due_at WHEN accepted_at THEN due_at END";
    let moved: Option<Planned> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let values = (
                step.message.as_bytes(),
                step.from.as_i64(),
                step.to.as_i64(),
            );
            statement
                .query_row(values, |row| {
                    Ok(Planned {
                        application: row.get(0)?,
                        lane: row.get(1)?,
                        at_once: row.get(2)?,
                    })
                })
                .optional()
        })
        .map_err(refused)?;
    let Some(planned) = moved else {
        return Ok(None);
    };
    let mut added = Vec::with_capacity(step.batches.len());
    for batch in &step.batches {
        added.push(insert(connection, step, &planned, batch)?);
    }
    if step.complete {
        complete(connection, step.message, step.now)?;
    }
    Ok(Some(added))
}

/// The message of a step.
struct Planned {
    application: i64,
    lane: i64,
    /// When it was accepted, if it was to be sent at once.
    at_once: Option<i64>,
}

fn insert(
    connection: &Connection,
    step: &PlannedStep,
    planned: &Planned,
    batch: &NewBatch,
) -> Result<BatchId, StoreError> {
    let span = batch.selection.span();
    let (first_seq, members) = match &batch.selection {
        Selection::Range { first, members } => (Some(first.as_i64()), members.as_octets().to_vec()),
        Selection::Members(seqs) => (
            None,
            seqs.iter()
                .flat_map(|seq| seq.as_i64().to_be_bytes())
                .collect(),
        ),
    };
    let due_at = batch.due_at.as_millis();
    // The clock may have been set back since the message was accepted.
    let not_before = if planned.at_once == Some(due_at) {
        due_at.min(step.now.as_millis())
    } else {
        due_at
    };
    let sql = "-- add_planned
        INSERT INTO batches
            (message_id, application_id, push_service, lane, due_at, not_before,
             first_seq, span, members, settled, targeted)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        RETURNING id";
    let values = (
        step.message.as_bytes(),
        planned.application,
        batch.group.as_str(),
        planned.lane,
        due_at,
        not_before,
        first_seq,
        span,
        members,
        Bitmap::new(span).as_octets().to_vec(),
        batch.selection.member_count(),
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(values, |row| row.get(0)))
        .map(BatchId::from_i64)
        .map_err(refused)
}

/// The audience has been walked: the message is being sent, or done if nothing is open.
fn complete(connection: &Connection, message: MessageId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "-- add_planned
        UPDATE messages
        SET state = 'sending'
        WHERE id = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([message.as_bytes()]))
        .map_err(refused)?;
    finish_if_done(connection, message, now).map(drop)
}

/// Nothing more is sent of the message. Whether it was planned or sent until now.
pub(crate) fn fail(
    connection: &Connection,
    message: MessageId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "-- fail_message
        UPDATE messages
        SET state = 'failed', done_at = ?2
        WHERE id = ?1 AND state IN ('planning', 'sending')";
    let failed = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((message.as_bytes(), now.as_millis())))
        .map_err(refused)?;
    if failed == 0 {
        return Ok(false);
    }
    // Index: batches_by_message.
    let sql = "-- fail_message
        UPDATE batches
        SET open = 0, lease_token = NULL, lease_epoch = NULL, refused = refused + retrying,
            retrying = 0
        WHERE message_id = ?1 AND open = 1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([message.as_bytes()]))
        .map_err(refused)?;
    Ok(true)
}

/// Batches of a failed message behind `after`, some of them.
pub(crate) fn failed_batches(
    connection: &Connection,
    message: MessageId,
    after: i64,
) -> Result<Vec<i64>, StoreError> {
    // Index: batches_by_message.
    let sql = "-- fail_message
        SELECT id
        FROM batches
        WHERE message_id = ?1 AND id > ?2
        ORDER BY id
        LIMIT 64";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let rows = statement.query_map((message.as_bytes(), after), |row| row.get(0))?;
            rows.collect()
        })
        .map_err(refused)
}

/// What waited for another attempt in one of its batches gets none. It is counted already.
pub(crate) fn refuse_retries(
    connection: &Connection,
    batch: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Index: the primary key of deliveries.
    let sql = "-- fail_message
        UPDATE deliveries
        SET state = 'refused', next_attempt_at = NULL, last_reason = 'the message has failed',
            updated_at = ?2
        WHERE batch_id = ?1 AND state = 'retrying'";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((batch, now.as_millis())))
        .map(drop)
        .map_err(refused)
}

/// A message is done when its plan is complete and no batch is open. Whether it became so now.
pub(crate) fn finish_if_done(
    connection: &Connection,
    message: MessageId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // Index: batches_by_message.
    let sql = "-- finish_pass
        UPDATE messages
        SET state = 'done', done_at = ?2
        WHERE id = ?1 AND state = 'sending'
          AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.message_id = ?1 AND b.open = 1)";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((message.as_bytes(), now.as_millis())))
        .map(|changed| changed > 0)
        .map_err(refused)
}
