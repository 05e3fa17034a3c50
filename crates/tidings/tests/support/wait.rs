//! Waiting for what a process on the other side of a socket will do.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::time::{Instant, sleep};

/// What happens here takes fractions of a second, on a busy machine some seconds; whatever has not
/// happened after this time will not happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const INTERVAL: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer; fails, naming `what` it waited for, at the
/// deadline.
///
/// An error of `ask` counts as "not yet" and is told at the end: a page that is being replaced, for
/// one, cannot be asked for a moment.
pub(crate) async fn eventually<T>(
    what: &str,
    ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    eventually_within(DEADLINE, what, ask).await
}

/// As [`eventually`], with a deadline of its own.
pub(crate) async fn eventually_within<T>(
    deadline: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let last = match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if Instant::now() >= end {
            return match last {
                Ok(()) => bail!("waited {deadline:?} in vain for {what}"),
                Err(error) => Err(error).context(format!("waited {deadline:?} in vain for {what}")),
            };
        }
        sleep(INTERVAL).await;
    }
}

/// Waits until `ask` returns what `expected` accepts; an error at the deadline shows what it
/// returned last.
pub(crate) async fn until<T: std::fmt::Debug>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T>,
    expected: impl Fn(&T) -> bool,
) -> Result<T> {
    let mut last = None;
    let found = eventually(what, async || {
        let now = ask().await?;
        if expected(&now) {
            return Ok(Some(now));
        }
        last = Some(now);
        Ok(None)
    })
    .await;
    found.map_err(|error| match last {
        Some(last) => anyhow!("{error:#}; last it was {last:?}"),
        None => error,
    })
}
