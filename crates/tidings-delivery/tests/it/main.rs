//! The engine against scripted push services, and the transport against real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a case fails by panicking"
)]

mod engine;
mod hostile_push_services;
mod http2_server;
mod lanes;
mod pooling;
mod rig;
mod transport;
