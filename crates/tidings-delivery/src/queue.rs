//! The queue of hints within one process.

use async_trait::async_trait;
use tidings_core::queue::{BatchQueue, DueHint};
use tokio::sync::{Mutex, mpsc};

/// Hints that may wait. One that finds no room is dropped: due batches are looked for anyway.
const CAPACITY: usize = 1024;

/// Carries hints from the planner to the dispatcher of the same process.
#[derive(Debug)]
pub struct ChannelQueue {
    sender: mpsc::Sender<DueHint>,
    receiver: Mutex<mpsc::Receiver<DueHint>>,
}

impl Default for ChannelQueue {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        Self {
            sender,
            receiver: Mutex::new(receiver),
        }
    }
}

#[async_trait]
impl BatchQueue for ChannelQueue {
    async fn announce(&self, hint: DueHint) {
        // A full channel means that the dispatcher has more than enough reasons to look.
        let _ = self.sender.try_send(hint);
    }

    async fn next(&self) -> DueHint {
        match self.receiver.lock().await.recv().await {
            Some(hint) => hint,
            // The sender lives as long as `self`, so the channel never closes.
            None => std::future::pending().await,
        }
    }
}
