//! Tidings' engine: plans, leases, encrypts, posts and records.
//!
//! One message's way: planner → batches in the store → the dispatcher claims them → a
//! batch worker loads, renders, encrypts, authorizes, posts, decides and records. Nothing here
//! speaks SQL or HTTP to callers.

pub mod engine;
pub mod manners;
pub mod queue;
pub mod transport;
