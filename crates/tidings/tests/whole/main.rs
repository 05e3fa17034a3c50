//! Tidings as a whole: the binary as processes, the sandbox as their push service, and what an
//! operator may do to them.
//!
//! Nothing here leaves the machine, and nothing is mocked: what the tests know, they asked the API,
//! the sandbox, or the files.

#![expect(
    clippy::print_stderr,
    reason = "so a test speaks to the one who reads of its failure"
)]

mod answers;
#[path = "../support/api.rs"]
mod api;
mod bench;
#[path = "../support/binary.rs"]
mod binary;
mod command_line;
#[path = "../support/http.rs"]
mod http;
mod keys;
#[path = "../support/other_senders.rs"]
mod other_senders;
mod peers;
#[path = "../support/process.rs"]
mod process;
mod restart;
#[path = "../support/sandbox.rs"]
mod sandbox;
mod scripted;
mod secrets;
mod send;
mod shutdown;
mod subscriptions;
#[path = "../support/tidings.rs"]
mod tidings;
mod tokens;
mod transport;
mod users;
#[path = "../support/wait.rs"]
mod wait;
