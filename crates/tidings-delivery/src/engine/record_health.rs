//! Whether outcomes can be recorded. While they cannot, nothing is claimed and nothing is sent:
//! what is sent and not recorded would be sent again.

use std::sync::Arc;

use tidings_core::alert::{AlertBoard, AlertKind, Condition, Subject};
use tidings_core::store::StoreError;
use tokio::sync::watch;

/// How many writers of outcomes are in trouble.
#[derive(Clone, Debug)]
pub(super) struct RecordHealth {
    troubled: watch::Sender<usize>,
    alerts: Arc<AlertBoard>,
}

impl RecordHealth {
    pub(super) fn new(alerts: Arc<AlertBoard>) -> Self {
        Self {
            troubled: watch::Sender::new(0),
            alerts,
        }
    }

    /// Whether everybody who writes down outcomes can do so, as far as is known.
    pub(super) fn is_well(&self) -> bool {
        *self.troubled.borrow() == 0
    }

    /// Waits until it is so.
    pub(super) async fn well(&self) {
        // Fails only without a sender, and `self` is one.
        let _ = self
            .troubled
            .subscribe()
            .wait_for(|count| *count == 0)
            .await;
    }

    /// Somebody cannot write down outcomes, until what is returned is dropped.
    pub(super) fn trouble(&self, error: &StoreError) -> Trouble {
        self.troubled.send_modify(|count| *count += 1);
        self.alerts.raise(Condition::OutcomesNotRecorded {
            error: error.to_string(),
        });
        Trouble {
            health: self.clone(),
        }
    }
}

/// Somebody's trouble, as long as it lasts.
#[derive(Debug)]
pub(super) struct Trouble {
    health: RecordHealth,
}

impl Drop for Trouble {
    fn drop(&mut self) {
        let mut over = false;
        self.health.troubled.send_modify(|count| {
            *count = count.saturating_sub(1);
            over = *count == 0;
        });
        if over {
            let kind = AlertKind::OutcomesNotRecorded;
            self.health.alerts.clear(kind, &Subject::default());
        }
    }
}
