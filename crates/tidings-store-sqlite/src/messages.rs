//! Messages: accepting, and what became of them.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};
use std::time::Duration;
use tidings_core::application::ApplicationId;
use tidings_core::batch::BatchId;
use tidings_core::clock::Timestamp;
use tidings_core::content::Content;
use tidings_core::id::MessageId;
use tidings_core::message::{
    MessageCounts, MessageOptions, MessageRecord, MessageState, MessageToSend, NewMessage, Plan,
    ReceiptCounts,
};
use tidings_core::store::{
    Accepted, AudienceMember, IdempotencyKey, MessageStore, Page, PageRequest, PlanRound,
    PlannedStep, StoreError,
};
use tidings_webpush::Topic;

use crate::database::refused;
use crate::sealed_columns::CONTENTS;
use crate::writer::Queue;
use crate::{Seals, SqliteStore, next_plans, plans};

/// An idempotency key that was used longer ago counts as new (`docs/api.md`).
const IDEMPOTENCY_KEPT: Duration = Duration::from_hours(24);

#[async_trait]
impl MessageStore for SqliteStore {
    async fn accept(
        &self,
        new: NewMessage,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Accepted, StoreError> {
        self.write(Queue::Accept, move |connection, seals| {
            accept(connection, seals, &new, idempotency.as_ref())
        })
        .await
    }

    async fn message(
        &self,
        app: ApplicationId,
        id: MessageId,
    ) -> Result<Option<MessageRecord>, StoreError> {
        self.read(move |connection, _| find(connection, app, id))
            .await
    }

    async fn messages(
        &self,
        app: ApplicationId,
        page: PageRequest<MessageId>,
    ) -> Result<Page<MessageRecord, MessageId>, StoreError> {
        self.read(move |connection, _| list(connection, app, page))
            .await
    }

    async fn message_to_send(&self, id: MessageId) -> Result<Option<MessageToSend>, StoreError> {
        self.read(move |connection, seals| to_send(connection, seals, id))
            .await
    }

    async fn next_plans(&self, round: PlanRound) -> Result<Vec<Plan>, StoreError> {
        loop {
            let next = self
                .read(move |connection, _| next_plans::next(connection, &round))
                .await?;
            let none_unreadable = next.unreadable.is_empty();
            let failed = self.fail_unreadable(next.unreadable, round.now).await;
            if !next.plans.is_empty() {
                // Those that could not be marked come again, and keep no other from its turn.
                return Ok(next.plans);
            }
            failed?;
            if none_unreadable {
                return Ok(Vec::new());
            }
        }
    }

    async fn fail_message(&self, id: MessageId, now: Timestamp) -> Result<bool, StoreError> {
        let failed = self.write(Queue::Record, move |connection, _| {
            plans::fail(connection, id, now)
        });
        if !failed.await? {
            return Ok(false);
        }
        // A broadcast may have a million that wait for another attempt. If this breaks off, their
        // rows say so until the sweep deletes them.
        let mut after = 0;
        loop {
            let batches = self
                .read(move |connection, _| plans::failed_batches(connection, id, after))
                .await?;
            let Some(last) = batches.last() else {
                return Ok(true);
            };
            after = *last;
            for batch in batches {
                self.write(Queue::Record, move |connection, _| {
                    plans::refuse_retries(connection, batch, now)
                })
                .await?;
            }
        }
    }

    async fn audience(
        &self,
        plan: &Plan,
        through: tidings_core::batch::Seq,
        limit: u16,
    ) -> Result<Vec<AudienceMember>, StoreError> {
        let plan = plan.clone();
        self.read(move |connection, _| plans::audience(connection, &plan, through, limit))
            .await
    }

    async fn add_planned(&self, step: PlannedStep) -> Result<Option<Vec<BatchId>>, StoreError> {
        self.write(Queue::Record, move |connection, _| {
            plans::add(connection, &step)
        })
        .await
    }
}

impl SqliteStore {
    async fn fail_unreadable(
        &self,
        unreadable: Vec<MessageId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for id in unreadable {
            if self.fail_message(id, now).await? {
                tracing::error!(
                    message.id = %id,
                    "whom the message is for cannot be read any more: it has failed"
                );
            }
        }
        Ok(())
    }
}

fn accept(
    connection: &Connection,
    seals: &Seals,
    new: &NewMessage,
    idempotency: Option<&IdempotencyKey>,
) -> Result<Accepted, StoreError> {
    if let Some(idempotency) = idempotency
        && let Some(before) = accepted_before(connection, new, idempotency)?
    {
        return Ok(before);
    }
    insert(connection, seals, new)?;
    if let Some(idempotency) = idempotency {
        let sql = "-- accept
            INSERT OR REPLACE INTO idempotency_keys
                (application_id, key, body, message_id, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = (
            new.application.as_i64(),
            idempotency.key,
            idempotency.body,
            new.id.as_bytes(),
            new.accepted_at.as_millis(),
        );
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(refused)?;
    }
    let record = find(connection, new.application, new.id)?;
    record
        .map(Accepted::New)
        .ok_or(StoreError::Unreadable("messages"))
}

fn accepted_before(
    connection: &Connection,
    new: &NewMessage,
    idempotency: &IdempotencyKey,
) -> Result<Option<Accepted>, StoreError> {
    let sql = "-- accept
        SELECT body, message_id
        FROM idempotency_keys
        WHERE application_id = ?1 AND key = ?2 AND created_at > ?3";
    let forgotten_before = new.accepted_at.minus(IDEMPOTENCY_KEPT);
    let values = (
        new.application.as_i64(),
        idempotency.key,
        forgotten_before.as_millis(),
    );
    let kept: Option<([u8; 32], [u8; 16])> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(refused)?;
    let Some((body, message)) = kept else {
        return Ok(None);
    };
    if body != idempotency.body {
        return Ok(Some(Accepted::KeyReused));
    }
    let record = find(connection, new.application, MessageId::from_bytes(message))?;
    Ok(record.map(Accepted::Before))
}

fn insert(connection: &Connection, seals: &Seals, new: &NewMessage) -> Result<(), StoreError> {
    let content = seals.sealer.seal(
        CONTENTS.place(new.id.as_bytes()),
        &new.content.to_stored(),
        seals.randomness.as_ref(),
    )?;
    // The cutoff is read here, in the transaction that accepts.
    let sql = "-- accept
        INSERT INTO messages
            (id, application_id, state, lane, audience, content, ttl_s, urgency, topic,
             cutoff, accepted_at, due_at)
        VALUES (?1, ?2, 'planning', ?3, ?4, ?5, ?6, ?7, ?8,
                (SELECT last_seq FROM applications WHERE id = ?2), ?9, ?10)";
    let values = (
        new.id.as_bytes(),
        new.application.as_i64(),
        new.audience.lane().as_i64(),
        plans::audience_to_json(&new.audience),
        content,
        i64::try_from(new.options.ttl.as_secs()).unwrap_or(i64::MAX),
        new.options.urgency.as_str(),
        new.options.topic.as_ref().map(Topic::as_str),
        new.accepted_at.as_millis(),
        new.due_at.as_millis(),
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(drop)
        .map_err(refused)
}

// A message's counts are its own, of batches that were folded, and the sums over the others. Index:
// batches_by_message.
fn select(method: &str, condition: &str) -> String {
    format!(
        "-- {method}
        SELECT m.id, m.application_id, m.state, m.ttl_s, m.urgency, m.topic, m.accepted_at,
               m.due_at, m.done_at, m.shown, m.clicked, m.dismissed,
               m.targeted + coalesce(sum(b.targeted), 0), m.retrying + coalesce(sum(b.retrying), 0),
               m.accepted + coalesce(sum(b.accepted), 0), m.gone + coalesce(sum(b.gone), 0),
               m.refused + coalesce(sum(b.refused), 0), m.expired + coalesce(sum(b.expired), 0),
               m.ended + coalesce(sum(b.ended), 0), m.cancelled + coalesce(sum(b.cancelled), 0)
        FROM messages m
        LEFT JOIN batches b ON b.message_id = m.id
        WHERE {condition}
        GROUP BY m.id"
    )
}

fn find(
    connection: &Connection,
    app: ApplicationId,
    id: MessageId,
) -> Result<Option<MessageRecord>, StoreError> {
    let sql = select("message", "m.id = ?1 AND m.application_id = ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
    let mut rows = statement
        .query((id.as_bytes(), app.as_i64()))
        .map_err(refused)?;
    rows.next().map_err(refused)?.map(read).transpose()
}

fn list(
    connection: &Connection,
    app: ApplicationId,
    page: PageRequest<MessageId>,
) -> Result<Page<MessageRecord, MessageId>, StoreError> {
    // Index: messages_by_application. The page is cut before the sums are made.
    let sql = select(
        "messages",
        "m.id IN (
            SELECT id FROM messages
            WHERE application_id = ?1 AND id < ?2
            ORDER BY id DESC
            LIMIT ?3
        )",
    ) + " ORDER BY m.id DESC";
    let before = page.after.map_or([0xff; 16], |id| *id.as_bytes());
    let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
    let mut rows = statement
        .query((app.as_i64(), before, i64::from(page.limit) + 1))
        .map_err(refused)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(refused)? {
        items.push(read(row)?);
    }
    Ok(Page::from_surplus(items, page.limit, |record| record.id))
}

fn read(row: &Row<'_>) -> Result<MessageRecord, StoreError> {
    let state: String = row.get(2).map_err(refused)?;
    let instant = |column| row.get(column).map(Timestamp::from_millis).map_err(refused);
    let done_at: Option<i64> = row.get(8).map_err(refused)?;
    let count = |column| row.get::<_, u64>(column).map_err(refused);
    Ok(MessageRecord {
        id: MessageId::from_bytes(row.get(0).map_err(refused)?),
        application: ApplicationId::from_i64(row.get(1).map_err(refused)?),
        state: MessageState::parse(&state).ok_or(StoreError::Unreadable("messages.state"))?,
        options: read_options(row, 3)?,
        accepted_at: instant(6)?,
        due_at: instant(7)?,
        done_at: done_at.map(Timestamp::from_millis),
        receipts: ReceiptCounts {
            shown: count(9)?,
            clicked: count(10)?,
            dismissed: count(11)?,
        },
        counts: MessageCounts {
            targeted: count(12)?,
            retrying: count(13)?,
            accepted: count(14)?,
            gone: count(15)?,
            refused: count(16)?,
            expired: count(17)?,
            ended: count(18)?,
            cancelled: count(19)?,
        },
    })
}

/// Reads TTL, urgency and topic from three columns in a row.
fn read_options(row: &Row<'_>, first: usize) -> Result<MessageOptions, StoreError> {
    let ttl: u64 = row.get(first).map_err(refused)?;
    let urgency: String = row.get(first + 1).map_err(refused)?;
    let topic: Option<String> = row.get(first + 2).map_err(refused)?;
    Ok(MessageOptions {
        ttl: Duration::from_secs(ttl),
        urgency: urgency
            .parse()
            .map_err(|_| StoreError::Unreadable("messages.urgency"))?,
        topic: topic
            .map(|topic| Topic::parse(&topic))
            .transpose()
            .map_err(|_| StoreError::Unreadable("messages.topic"))?,
    })
}

fn to_send(
    connection: &Connection,
    seals: &Seals,
    id: MessageId,
) -> Result<Option<MessageToSend>, StoreError> {
    let sql = "-- message_to_send
        SELECT content, ttl_s, urgency, topic, state, audience
        FROM messages
        WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let mut rows = statement.query([id.as_bytes()]).map_err(refused)?;
    let Some(row) = rows.next().map_err(refused)? else {
        return Ok(None);
    };
    let sealed: Vec<u8> = row.get(0).map_err(refused)?;
    let state: String = row.get(4).map_err(refused)?;
    let audience: String = row.get(5).map_err(refused)?;
    // Whom a list names is asked when its members are loaded, which would fail each time.
    if plans::audience_from_json(&audience).is_none() {
        return Err(StoreError::Unreadable("messages.audience"));
    }
    let opened = seals.sealer.open(CONTENTS.place(id.as_bytes()), &sealed)?;
    Ok(Some(MessageToSend {
        content: Content::from_stored(&opened).ok_or(StoreError::Unreadable("messages.content"))?,
        options: read_options(row, 1)?,
        cancelled: state == MessageState::Cancelled.as_str(),
    }))
}
