//! The router in process, on the real store: status, headers and body of every endpoint and of each
//! of its errors. Snapshots are in `tests/snapshots`, with ids, tokens and instants redacted.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: what clippy.toml allows inside test functions, their helpers need as well"
)]

mod api_tokens;
mod assets;
mod documents;
mod general;
mod harness;
mod hostile_connections;
mod import;
mod logs;
mod messages;
mod monitoring;
mod no_body_breaks_it;
mod origins;
mod own_subscriptions;
mod rate_limits;
mod receipts;
mod restoring;
mod serving;
mod subscriptions;
mod user_cap;
mod user_tokens;
mod vapid_keys;
