//! Tidings in bad weather: push services that fail in every way they know, a server that is killed
//! again and again, a disk without room.
//!
//! Small enough for every run of the tests; `make chaos` runs the same with 200 000 subscribers and
//! prints what the figures are. `sizes.rs` says by which variables. What the clock has to do with
//! it, jumps above all, is in the tests with a simulated clock: no setting of the binary bends it.

#![expect(
    clippy::print_stderr,
    reason = "so a test speaks to the one who reads of its failure, and `make chaos` to its reader"
)]

#[path = "../support/api.rs"]
#[expect(dead_code, reason = "the tests of the whole do more with it")]
mod api;
#[path = "../support/binary.rs"]
mod binary;
mod disk;
mod got;
#[path = "../support/http.rs"]
mod http;
mod outage;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/sandbox.rs"]
#[expect(dead_code, reason = "the tests of the whole do more with it")]
mod sandbox;
mod sizes;
mod stage;
mod storm;
#[path = "../support/tidings.rs"]
#[expect(dead_code, reason = "the tests of the whole do more with it")]
mod tidings;
#[path = "../support/wait.rs"]
mod wait;
