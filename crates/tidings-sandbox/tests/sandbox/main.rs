//! The sandbox over real sockets: as application servers and user agents see it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking, in their helpers too"
)]

mod behaviour;
mod control;
mod faults;
mod personalities;
mod requests;
mod services;
mod support;
mod tls;
mod user_agents;
mod vapid;
mod virtual_agents;
