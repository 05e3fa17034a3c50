//! Draft.
mod behaviour;
mod connections;
mod control;
mod delivery_counters;
mod fingerprints;
mod inbox;
mod landing;
mod options;
mod problem;
mod push;
mod refusal;
mod server;
mod service;
mod stats;
mod tls;
mod token;
mod user_agents;
mod vapid_check;
mod virtual_agents;
mod websocket;

pub use options::{AlpnOffer, CaOutput, Clock, KeptMessages, SandboxOptions};
pub use server::{RunningSandbox, Sandbox, SandboxError};
pub use tls::TlsError;
