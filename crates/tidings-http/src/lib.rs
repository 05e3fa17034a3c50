//! Tidings' HTTP: the API for pages and for back ends, and what browsers load from it.
//!
//! What this crate refuses to do:
//!
//! - **Decide.** A handler reads a request, calls one use case of `tidings-core`, and shapes the
//!   answer.
//! - **Answer in plain text.** Whatever goes wrong is a problem document (RFC 9457), listed in
//!   `docs/errors.md`; a 5xx tells nothing but the request's id.
//! - **Show keys or endpoints.** No answer contains them, and no log line.
//! - **Answer without end.** Every input has a limit, and so has how often anybody may ask.
//! - **Trust a page.** Its origin must be allowed, and it changes nothing but the subscription
//!   whose token it shows.
//!
//! [`router()`] makes the whole API of one server, for [`serve()`] or for tests in process.

mod accept;
mod admin_token;
mod api;
mod assets;
mod client_address;
mod conditional;
mod cursor;
mod extract;
mod layers;
mod problem;
mod rate_limits;
mod router;
mod serve;
mod state;

pub use crate::admin_token::{AdminToken, AdminTokenError};
pub use crate::api::document::openapi_json;
pub use crate::client_address::{PeerAddress, TrustedProxies};
pub use crate::problem::types::ProblemType;
pub use crate::rate_limits::{RateLimitSettings, RateLimits};
pub use crate::router::router;
pub use crate::serve::{ServeLimits, serve};
pub use crate::state::RouterParts;
