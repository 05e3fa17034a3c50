//! The behaviour that every store of Tidings must show: what the traits in `tidings_core::store`
//! promise, one test a promise.
//!
//! A store's crate implements [`Harness`] in a file of its tests and asks for the suite:
//!
//! ```text
//! tidings_store_conformance::conformance_suite!(SqliteHarness);
//! ```
//!
//! Each case becomes a test of its own there. Nothing is mocked and nothing is skipped: a case runs
//! on a fresh store, and races are run by real tasks on several threads. Only the clock stands
//! still, because a store must never read one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a case fails by panicking"
)]

mod cases;
mod harness;
mod suite;
mod views;
mod world;

pub use crate::harness::Harness;
#[doc(hidden)]
pub use crate::suite::tests;
