//! Receipts: kept once each, counted on their message.

use async_trait::async_trait;
use rusqlite::Connection;
use std::collections::HashMap;
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::MessageId;
use tidings_core::receipt::{Receipt, ReceiptEvent};
use tidings_core::store::{ReceiptStore, StoreError};

use crate::SqliteStore;
use crate::database::refused;
use crate::writer::Queue;

#[async_trait]
impl ReceiptStore for SqliteStore {
    async fn add_receipts(
        &self,
        app: ApplicationId,
        receipts: Vec<Receipt>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(Queue::Bulk, move |connection, _| {
            add(connection, app, &receipts, now)
        })
        .await
    }
}

fn add(
    connection: &Connection,
    app: ApplicationId,
    receipts: &[Receipt],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut new: HashMap<(MessageId, ReceiptEvent), u64> = HashMap::new();
    for receipt in receipts {
        if insert(connection, app, receipt, now)? {
            *new.entry((receipt.message, receipt.event)).or_default() += 1;
        }
    }
    for ((message, event), count) in &new {
        add_to_message(connection, *message, *event, *count)?;
    }
    Ok(new.values().sum())
}

/// Whether the receipt is new, and about a message of this application.
fn insert(
    connection: &Connection,
    app: ApplicationId,
    receipt: &Receipt,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "-- add_receipts
        INSERT OR IGNORE INTO receipts
            (message_id, subscription_id, event, action, at, received_at)
        SELECT id, ?3, ?4, ?5, ?6, ?7
        FROM messages
        WHERE id = ?1 AND application_id = ?2";
    let values = (
        receipt.message.as_bytes(),
        app.as_i64(),
        receipt.subscription.as_bytes(),
        receipt.event.as_str(),
        receipt.action.as_deref(),
        receipt.at.as_millis(),
        now.as_millis(),
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(|inserted| inserted > 0)
        .map_err(refused)
}

fn add_to_message(
    connection: &Connection,
    message: MessageId,
    event: ReceiptEvent,
    count: u64,
) -> Result<(), StoreError> {
    let sql = "-- add_receipts
        UPDATE messages
        SET shown = shown + CASE WHEN ?2 = 'shown' THEN ?3 ELSE 0 END,
            clicked = clicked + CASE WHEN ?2 = 'clicked' THEN ?3 ELSE 0 END,
            dismissed = dismissed + CASE WHEN ?2 = 'dismissed' THEN ?3 ELSE 0 END
        WHERE id = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((message.as_bytes(), event.as_str(), count)))
        .map(drop)
        .map_err(refused)
}
