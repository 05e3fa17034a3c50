//! Whether outcomes can be recorded, plans kept and batches claimed. While they cannot, nothing is
//! claimed and nothing is sent: what is sent and not recorded would be sent again.

use std::sync::Arc;

use tidings_core::alert::{AlertBoard, AlertKind, Condition, Subject};
use tidings_core::store::StoreError;
use tokio::sync::watch;

/// How many writers are in trouble.
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

    /// Whether everybody can write to the database, as far as is known.
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

    /// Somebody cannot write to the database, until what is returned is dropped.
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

/// Somebody's work that is begun again and again, whether it fails or not.
pub(super) struct Work {
    health: RecordHealth,
    /// What cannot be done, for the log.
    failure: &'static str,
    trouble: Option<Trouble>,
    /// What the log said last, while that lasts.
    told: Option<String>,
}

impl Work {
    pub(super) fn new(health: RecordHealth, failure: &'static str) -> Self {
        Self {
            health,
            failure,
            trouble: None,
            told: None,
        }
    }

    pub(super) fn went_well(&mut self) {
        self.trouble = None;
        self.told = None;
    }

    /// It failed. That the database is not available is an alert until it is; everything else is in
    /// the log once for each cause.
    pub(super) fn failed(&mut self, error: &StoreError) {
        if error.is_transient() {
            self.trouble
                .get_or_insert_with(|| self.health.trouble(error));
            return;
        }
        self.trouble = None;
        let error = error.to_string();
        if self.told.as_ref() != Some(&error) {
            tracing::error!(%error, "{}; trying again", self.failure);
            self.told = Some(error);
        }
    }

    /// Whether everybody else is well: what cannot be done must be tried, or it would never end.
    pub(super) fn others_are_well(&self) -> bool {
        *self.health.troubled.borrow() == usize::from(self.trouble.is_some())
    }
}
