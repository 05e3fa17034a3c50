//! A push service and a headless user agent, for development and tests of Tidings.
//!
//! What the sandbox refuses to do:
//!
//! - **Remember.** Its state is in memory and ends with it: browsers that come back lose their
//!   subscriptions. So it is no push service to run for users.
//! - **Guard itself.** Whoever reaches it can read what it received and change how it answers.
//!   Let it listen on loopback.
//! - **Reach out.** It connects to nobody.
//!
//! Towards application servers it speaks RFC 8030 with VAPID (RFC 8292), over plain HTTP and over
//! TLS with a certificate authority of its own, HTTP/1.1 and HTTP/2; its limits
//! and answers are those of the push service that [`Personality`] names. Towards user agents it speaks Firefox's WebSocket protocol; a real
//! Firefox can use it, and so does [`user_agent::UserAgent`]. *Virtual* user agents need no
//! connection at all: the sandbox derives their keys from a seed, decrypts what they are sent and
//! tells what it was.
//!
//! # Control
//!
//! `GET /` lists what can be asked. Errors are problem documents (RFC 9457).
//!
//! - `POST /sandbox/subscriptions?count=N` (1 to 1 000 000) answers with N new subscriptions as
//!   NDJSON, each in the form of `PushSubscription.toJSON()`. With `applicationServerKey` they are
//!   tied to that VAPID key. Endpoints have the scheme of the listener that was asked, or `scheme`.
//!   With `service=NAMES` (personalities, hosts or `all`, with commas) they are spread over these
//!   services in turn; a name that is there twice gets twice as many.
//! - `GET /sandbox/services` lists the services played besides ([`SandboxOptions::services`]), and
//!   with which settings `tidings serve` takes them for the real ones.
//! - `DELETE /sandbox/subscriptions?subscription=ENDPOINT` ends one: its endpoint answers 410.
//! - `GET /sandbox/messages?subscription=ENDPOINT` lists what one got: payload (`{"json":…}`,
//!   `{"text":…}` or `{"base64":…}`), options, and the status it was answered with (`answer`, null
//!   while withheld or if the sender went away). `truncated` says that older ones were forgotten.
//! - `PUT /sandbox/behaviour` takes a rule, or a list of rules of which the first that applies
//!   decides about a POST. Members: `withhold` (the message is taken in, the answer waits until a
//!   behaviour without withholding is set), `delay_ms` (the same for a time: a number,
//!   `{"from_ms":A,"to_ms":B}` evenly between, or `{"p50_ms":A,"p99_ms":B}` log-normally), `status` with
//!   `retry_after`, `headers` and `body` (that answer, by default worded as the push service that
//!   is played would; nobody gets the message unless it is a 2xx), `wrong_key` (the answer that the
//!   push service gives to a message signed with another key), `reset` (`RST_STREAM`),
//!   `refuse_stream` (the same with `REFUSED_STREAM`), `disconnect` (TCP reset), `goaway`
//!   (`"abrupt"`: the connection says goodbye and answers nothing more; `"graceful"`: it answers
//!   what it has), `stall` (no answer, ever). Without an answer nobody gets the message, except
//!   that with `after` beside `reset` or `disconnect` a good one is taken in before; `delay_ms` is
//!   how long it takes until the break. What a rule says and cannot do is refused.
//!   To whom it applies: `subscriptions` (endpoints or tokens), `share` (from 0 to 1: this part of
//!   all subscriptions, always the same ones), `services` (personalities or hosts), `every` (each
//!   so manieth POST of a connection), `times` (how many POSTs), `probability` (from 0 to 1).
//!   The shares of several rules do not overlap, nor do their probabilities: with 0.1 and 0.05, one
//!   POST in ten meets the first and one in twenty the second. A rule with `times` or `every` has
//!   a draw of its own: with the same seed, the others meet the same POSTs whomever it met (its
//!   first 255 of each subscription). A rule with `continue` adds its
//!   delay, and the next ones are asked. `GET` shows the rules and the seed that chance follows
//!   from ([`SandboxOptions::seed`]); `DELETE` brings honest answers back.
//! - `PUT /sandbox/behaviour/NAME` does the same under a name (up to 100 octets; 256 names), and
//!   leaves all other rules as they are; `DELETE` removes the rules of this name, and releases what
//!   they withheld. A POST is decided by the rules of the oldest name first and by those
//!   without a name last. Shares and probabilities exclude each other within a name; whom they
//!   meet does not depend on other names.
//! - `PUT /sandbox/outage` puts services out of order: `{"services":["fcm"],"seconds":60,
//!   "how":"refuse"}` (nobody listens; on Linux the port stays the sandbox's own), `"drop"` (connections end with a reset) or `"silence"`
//!   (nothing is ever said). Their open connections end with a reset. `DELETE` ends it. Only
//!   services played besides can be out of order, so that the controls are always reached.
//! - `GET /sandbox/subscriptions` lists all virtual user agents as NDJSON: `endpoint`, `posts`,
//!   `accepted`, `duplicates`, `decrypted` (these two stop at 65 535), `gone`, and in `shares` the
//!   numbers, from 0, of the rules without a name whose `share` it is in. `DELETE /sandbox/stats` leaves it as it is.
//! - `GET /sandbox/stats` gives counters, `DELETE` sets them to zero:
//!   - `posts` push messages read to their end, `answered` of them (by status in `answers`; with
//!     the 408 of those whose body took too long), `vanished` of which the sender went away before
//!     its answer, `resets`, `in_flight`, `withheld` now and in total. One that breaks off before
//!     its end is counted nowhere, and no rule is about it;
//!   - `accepted` messages taken in, whether or not their answer was sent; by virtual user agents
//!     `decrypted`, with `decrypt_failures`, and `not_decrypted`; `subscriptions_reached` by at
//!     least one message;
//!   - `duplicates`: messages taken in for a subscription that had already taken in one with the
//!     same plaintext or, where a browser has the keys, with the same body. Messages without
//!     payload, and those of virtual user agents that do not decrypt, are not compared. It looks
//!     back over the last four million messages at least;
//!   - `posts_by_protocol`, and of `connections` (HTTP only) how many, by which protocol, how many
//!     carried a push message, and how many each carried at once;
//!   - of `user_agents` how many, and what they said: acknowledgements by code, and so on.

mod behaviour;
mod connections;
mod control;
mod delivery_counters;
mod draw;
mod fingerprints;
mod inbox;
mod landing;
mod manner;
mod options;
mod outage;
mod personality;
mod played_service;
mod problem;
mod push;
mod refusal;
mod server;
mod service;
mod stats;
mod tcp;
mod tls;
mod token;
pub mod user_agent;
mod user_agents;
mod vapid_check;
mod virtual_agents;
mod websocket;

pub use options::{AlpnOffer, CaOutput, Clock, KeptMessages, SandboxOptions};
pub use personality::{Personality, PersonalityError};
pub use played_service::{PlayedService, PlayedServiceError};
pub use server::{RunningSandbox, Sandbox, SandboxError};
pub use tls::TlsError;

/// For the fuzz targets of this repository; no part of the API.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::websocket::Conversation;
}
