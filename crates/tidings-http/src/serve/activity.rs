//! Whether anybody uses a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The requests of one connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<Requests>>);

struct Requests {
    under_way: usize,
    begun: u64,
    last: Instant,
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay(Activity);

impl Activity {
    /// Of a connection that has just been made.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Requests {
            under_way: 0,
            begun: 0,
            last: Instant::now(),
        })))
    }

    pub(super) fn begin(&self) -> UnderWay {
        let mut requests = self.lock();
        requests.under_way += 1;
        requests.begun += 1;
        requests.last = Instant::now();
        UnderWay(self.clone())
    }

    /// Returns when there was no request for so long: `first` before the first one, then `idle`.
    pub(super) async fn ceases(&self, first: Duration, idle: Duration) {
        loop {
            let (under_way, begun, last) = {
                let requests = self.lock();
                (requests.under_way, requests.begun, requests.last)
            };
            let allowed = if begun == 0 { first } else { idle };
            let end = if under_way > 0 {
                Instant::now() + allowed
            } else {
                last + allowed
            };
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        requests.under_way = requests.under_way.saturating_sub(1);
        requests.last = Instant::now();
    }
}
