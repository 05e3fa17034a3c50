//! Tidings' core: entities, rules, use cases, and what they ask of storage.
//!
//! Nothing here speaks HTTP or SQL, opens a socket or a file, reads an environment variable, or
//! asks what time it is: clock, randomness and store are passed in.

pub mod alert;
pub mod api_token;
pub mod application;
pub mod application_server;
pub mod attributes;
pub mod batch;
pub mod clock;
pub mod content;
pub mod delivery;
pub mod id;
pub mod mac;
pub mod message;
pub mod metrics;
pub mod pruning;
pub mod queue;
pub mod receipt;
pub mod sealing;
pub mod store;
pub mod subscription;
pub mod user_token;
pub mod vapid_key;
