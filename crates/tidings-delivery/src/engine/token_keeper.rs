//! Keeps VAPID tokens for the next start, without anybody who sends waiting for it.

use std::mem;
use std::sync::Arc;

use tidings_core::store::{KeptToken, SendingStore};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// So many wait. Others are not kept, which costs one more signature after the next start.
const MOST_WAITING: usize = 256;

/// So many are written at once, for a short transaction.
const MOST_AT_ONCE: usize = 64;

pub(super) struct TokenKeeper {
    waiting: mpsc::Sender<KeptToken>,
}

impl TokenKeeper {
    /// One of `tasks` keeps what it is given, until the keeper is dropped and nothing waits.
    pub(super) fn start(store: Arc<dyn SendingStore>, tasks: &TaskTracker) -> Self {
        let (waiting, taken) = mpsc::channel(MOST_WAITING);
        tasks.spawn(keep(store, taken));
        Self { waiting }
    }

    pub(super) fn keep(&self, token: KeptToken) {
        if self.waiting.try_send(token).is_err() {
            tracing::debug!("too many VAPID tokens wait to be kept; this one is not");
        }
    }
}

/// One after the other: a token that was signed later is kept in place of an earlier one.
async fn keep(store: Arc<dyn SendingStore>, mut waiting: mpsc::Receiver<KeptToken>) {
    let mut tokens = Vec::new();
    while waiting.recv_many(&mut tokens, MOST_AT_ONCE).await > 0 {
        if let Err(error) = store.keep_vapid_tokens(mem::take(&mut tokens)).await {
            tracing::warn!(
                %error,
                "VAPID tokens could not be kept; others are signed after the next start"
            );
        }
    }
}
