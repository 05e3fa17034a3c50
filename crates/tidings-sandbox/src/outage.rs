use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

/// The longest outage, in seconds: an hour.
const MAX_SECONDS: f64 = 3_600.0;

/// What is asked for with `PUT /sandbox/outage`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutageDocument {
    /// Personalities, hosts or `all`.
    pub(crate) services: Vec<String>,
    /// How long it lasts.
    pub(crate) seconds: f64,
    #[serde(default)]
    pub(crate) how: How,
}

/// What happens to who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// Nobody listens: the system refuses connections.
    #[default]
    Refuse,
    /// Connections come about and end with a reset.
    Drop,
    /// Connections come about, and nothing is ever said on them.
    Silence,
}

impl OutageDocument {
    pub(crate) fn duration(&self) -> Result<Duration, String> {
        Some(self.seconds)
            .filter(|seconds| *seconds > 0.0 && *seconds <= MAX_SECONDS)
            .map(Duration::from_secs_f64)
            .ok_or_else(|| format!("seconds must be more than 0 and at most {MAX_SECONDS}"))
    }
}

/// Whether a listener is out of order.
pub(crate) struct Outage {
    state: watch::Sender<Option<(Instant, How)>>,
}

impl Outage {
    pub(crate) fn none() -> Self {
        Self {
            state: watch::Sender::new(None),
        }
    }

    pub(crate) fn begin(&self, duration: Duration, how: How) {
        self.state
            .send_replace(Some((Instant::now() + duration, how)));
    }

    pub(crate) fn end(&self) {
        self.state.send_replace(None);
    }

    /// What happens to who connects now, if it is out of order.
    pub(crate) fn now(&self) -> Option<How> {
        let state = *self.state.borrow();
        state
            .filter(|(until, _)| *until > Instant::now())
            .map(|(_, how)| how)
    }

    /// Resolves while there is an outage.
    pub(crate) async fn begun(&self) {
        let mut state = self.state.subscribe();
        // The sender is in `self`, so there is no error.
        let _ = state.wait_for(|_| self.now().is_some()).await;
    }

    /// Resolves when it is over, or another one has begun.
    pub(crate) async fn over(&self) {
        let mut state = self.state.subscribe();
        let until = state.borrow_and_update().map(|(until, _)| until);
        if let Some(until) = until {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                _ = state.changed() => {}
            }
        }
    }
}
