pub(crate) mod reason;

use std::time::{Duration, SystemTime};

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use crate::retry_after::parse_seconds;
use crate::{PushService, parse_retry_after};

/// What a push service's response means for the message and its subscription.
///
/// Spec: RFC 8030 §5, §7.2, §7.3 and §8.4; beyond it, what the large services document or do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Taken over by the push service. Nobody has seen it yet.
    Accepted {
        /// The push message resource, where a message not yet delivered may be withdrawn.
        message_resource: Option<String>,
    },
    /// Taken over and thrown away at once (WNS only). Send again later.
    Dropped {
        /// How long the push service asks to wait.
        retry_after: Option<Duration>,
    },
    /// The subscription has ended: never send there again. Nothing else means this.
    Gone,
    /// The body is too large for this user agent. Shorter messages pass.
    TooLarge,
    /// This message, or this subscription for now, is refused. Others pass; sending again as it
    /// is does not help.
    MessageRefused,
    /// The VAPID key or token is refused: the subscription was made with another key, or the
    /// settings are wrong. The subscription lives.
    KeyRefused,
    /// Too many messages. Send again later.
    SlowDown {
        /// How long the push service asks to wait.
        retry_after: Option<Duration>,
    },
    /// The push service, or something in front of it, is not well. Send again later.
    Unwell {
        /// How long the push service asks to wait.
        retry_after: Option<Duration>,
    },
}

/// Tells what a response means.
///
/// `body` may be cut; the first 4 KiB are more than enough. Redirects are not to be followed:
/// they come out as [`Answer::Unwell`].
///
/// # Example
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
/// use tidings_webpush::{Answer, PushService, interpret};
///
/// let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let interpret = |status, headers| interpret(PushService::Fcm, status, &headers, b"", now);
///
/// let wait = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("120"))]);
/// let retry_after = Some(Duration::from_secs(120));
/// let busy = interpret(StatusCode::TOO_MANY_REQUESTS, wait);
/// assert_eq!(busy, Answer::SlowDown { retry_after });
/// assert_eq!(interpret(StatusCode::GONE, HeaderMap::new()), Answer::Gone);
/// ```
///
/// Spec: RFC 8030 §5, §7 and §8.4.
pub fn interpret(
    service: PushService,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Answer {
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| parse_retry_after(value, now));
    match status.as_u16() {
        200..=299 => interpret_success(service, headers, retry_after),
        404 | 410 => Answer::Gone,
        413 => Answer::TooLarge,
        429 => Answer::SlowDown {
            retry_after: retry_after.or_else(|| continue_after(service, headers)),
        },
        406 if service == PushService::Wns => Answer::SlowDown {
            retry_after: retry_after.or_else(|| continue_after(service, headers)),
        },
        // FCM said this about single subscriptions that worked again the next day, so it must not
        // count against the key (zaru/webpush issue 89).
        403 if service == PushService::Fcm
            && contains(body, "invalid push subscription endpoint") =>
        {
            Answer::MessageRefused
        }
        401 | 403 => Answer::KeyRefused,
        400 if is_about_the_key(service, body) => Answer::KeyRefused,
        400 | 405 | 406 | 411 | 414 | 415 | 417 | 422 | 431 => Answer::MessageRefused,
        // Everything else passes in time or is somebody else's fault, a proxy's for instance.
        _ => Answer::Unwell { retry_after },
    }
}

fn interpret_success(
    service: PushService,
    headers: &HeaderMap,
    retry_after: Option<Duration>,
) -> Answer {
    let wns_status = headers.get("x-wns-status").map(http::HeaderValue::as_bytes);
    if service == PushService::Wns
        && wns_status.is_some_and(|status| {
            status.eq_ignore_ascii_case(b"dropped")
                || status.eq_ignore_ascii_case(b"channelthrottled")
        })
    {
        let retry_after = retry_after.or_else(|| continue_after(service, headers));
        return Answer::Dropped { retry_after };
    }
    let location = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok());
    Answer::Accepted {
        message_resource: location.map(str::to_owned),
    }
}

/// WNS's own header for the time until a throttled channel is open again, in seconds.
fn continue_after(service: PushService, headers: &HeaderMap) -> Option<Duration> {
    if service != PushService::Wns {
        return None;
    }
    let text = headers.get("x-wns-continue-after")?.to_str().ok()?;
    parse_seconds(text.trim()).filter(|wait| !wait.is_zero())
}

/// Whether a 400 is about the identification, as other services say with 401 or 403.
fn is_about_the_key(service: PushService, body: &[u8]) -> bool {
    match service {
        PushService::Apple => ["VapidPkHashMismatch", "BadJwtToken", "BadVapidPublicKey"]
            .iter()
            .any(|reason| contains(body, reason)),
        PushService::Fcm => contains(body, "UnauthorizedRegistration"),
        _ => false,
    }
}

fn contains(body: &[u8], words: &str) -> bool {
    body.windows(words.len())
        .any(|window| window == words.as_bytes())
}
