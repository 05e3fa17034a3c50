//! Signals: the first one drains, the second one ends at once.

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use crate::output;

/// Cancelled at the first SIGINT or SIGTERM. A second one ends the process.
pub(crate) fn on_signal() -> Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut signals = Signals::new().context("cannot listen for signals")?;
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process")]
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping; once more to stop at once");
        cancelled.cancel();
        signals.next().await;
        tracing::warn!("stopped at once; what was under way may be done again");
        std::process::exit(130);
    });
    Ok(token)
}

/// For a command without a runtime that waits for others most of the time: the first SIGINT or
/// SIGTERM ends the process, which says these words before.
pub(crate) fn last_words_on_signal(words: impl Fn() -> String + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let inside = runtime.enter();
    let mut signals = Signals::new().context("cannot listen for signals")?;
    drop(inside);
    std::thread::spawn(move || {
        runtime.block_on(signals.next());
        output::say(&words());
        std::process::exit(130);
    });
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
