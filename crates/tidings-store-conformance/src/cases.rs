//! The cases, by what they are about. `suite.rs` has the table that makes tests of them; a case
//! that is missing there is dead code, which the compiler reports.

pub(crate) mod api_tokens;
pub(crate) mod audience;
pub(crate) mod claiming;
pub(crate) mod clock_jumps;
pub(crate) mod durability;
pub(crate) mod finishing;
pub(crate) mod imports;
pub(crate) mod leases;
pub(crate) mod loading;
pub(crate) mod messages;
pub(crate) mod planning;
pub(crate) mod pruning;
pub(crate) mod random_operations;
pub(crate) mod receipts;
pub(crate) mod recording;
pub(crate) mod registration;
pub(crate) mod restoring;
pub(crate) mod retention;
pub(crate) mod setup;
pub(crate) mod subscriptions;
pub(crate) mod user_cap;
pub(crate) mod vapid_keys;
pub(crate) mod vapid_tokens;
