//! Calls that failed, and which of them are worth another try.

use std::io::ErrorKind;
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::{Error, Timeout};

use crate::output;

/// How often a call is tried, with a pause before each further time that doubles up to the longest.
const TRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause that a server or a proxy is granted.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);

/// A call that failed.
pub(crate) struct CallError {
    error: anyhow::Error,
    /// Whether the same call may succeed later.
    pub(super) may_pass: bool,
    may_have_worked: bool,
    retry_after: Option<Duration>,
}

impl CallError {
    /// The same call would fail again.
    pub(crate) fn for_good(error: anyhow::Error) -> Self {
        Self {
            error,
            may_pass: false,
            may_have_worked: false,
            retry_after: None,
        }
    }

    /// No answer came, or not the whole of it.
    pub(super) fn unanswered(error: Error, what: String) -> Self {
        Self {
            may_pass: true,
            may_have_worked: is_lost(&error),
            ..Self::for_good(anyhow::Error::new(error).context(what))
        }
    }

    /// The answer is no.
    pub(super) fn refused(
        status: StatusCode,
        retry_after: Option<Duration>,
        error: anyhow::Error,
    ) -> Self {
        Self {
            may_pass: matches!(status.as_u16(), 408 | 429 | 500..=599),
            // A proxy that has lost the server. The server itself says what it did not do.
            may_have_worked: matches!(status.as_u16(), 502 | 504),
            retry_after,
            ..Self::for_good(error)
        }
    }

    /// Whether the server may have done what it was asked, although it did not say so.
    pub(crate) fn may_have_worked(&self) -> bool {
        self.may_have_worked
    }

    pub(crate) fn into_error(self) -> anyhow::Error {
        self.error
    }
}

/// Calls until it succeeds or fails for good, and says what it waits for.
pub(crate) fn insist<T>(
    mut call: impl FnMut() -> Result<T, CallError>,
) -> Result<T, anyhow::Error> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        let error = match call() {
            Err(error) if error.may_pass => error,
            ended => return ended.map_err(CallError::into_error),
        };
        let asked = error.retry_after.map(|it| it.min(LONGEST_RETRY_AFTER));
        let wait = asked.unwrap_or(pause);
        output::say(&format!(
            "{:#}; trying again in {} ms",
            error.into_error(),
            wait.as_millis()
        ));
        std::thread::sleep(wait);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    call().map_err(CallError::into_error)
}

/// Once there was a connection.
fn is_lost(error: &Error) -> bool {
    match error {
        Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::TimedOut
                | ErrorKind::UnexpectedEof
        ),
        Error::Timeout(timeout) => !matches!(timeout, Timeout::Resolve | Timeout::Connect),
        Error::Protocol(_) => true,
        _ => false,
    }
}
