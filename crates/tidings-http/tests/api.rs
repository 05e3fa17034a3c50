//! The router in process, on the real store: status, headers and body of every endpoint and of each
//! of its errors. Snapshots are in `tests/snapshots`, with ids, tokens and instants redacted.

#[path = "api/harness.rs"]
mod harness;

#[path = "api/assets.rs"]
mod assets;
#[path = "api/documents.rs"]
mod documents;
#[path = "api/general.rs"]
mod general;
#[path = "api/logs.rs"]
mod logs;
#[path = "api/messages.rs"]
mod messages;
#[path = "api/no_body_breaks_it.rs"]
mod no_body_breaks_it;
#[path = "api/origins.rs"]
mod origins;
#[path = "api/own_subscriptions.rs"]
mod own_subscriptions;
#[path = "api/receipts.rs"]
mod receipts;
#[path = "api/serving.rs"]
mod serving;
#[path = "api/subscriptions.rs"]
mod subscriptions;
#[path = "api/vapid_keys.rs"]
mod vapid_keys;
