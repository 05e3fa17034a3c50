//! Looking at what needs an operator.

use std::sync::Arc;

use crate::alert::{Alert, AlertBoard, AlertKind, Condition};
use crate::application_server::ApplicationServer;
use crate::store::{StoreError, SuspectedWave};

impl ApplicationServer {
    /// What needs an operator at present, the oldest first.
    pub async fn alerts(&self) -> Result<Vec<Alert>, StoreError> {
        self.look_for_waves().await?;
        Ok(self.parts.alerts.alerts())
    }

    /// Looks in the store where subscriptions are suspect, for the board. What the store knows
    /// outlives the process; the board begins empty.
    pub async fn look_for_waves(&self) -> Result<(), StoreError> {
        let waves = self.parts.store.suspected_waves().await?;
        let conditions = waves.iter().filter_map(|wave| self.condition(wave));
        let conditions = conditions.collect();
        self.parts
            .alerts
            .replace(AlertKind::SuspectedWave, conditions);
        Ok(())
    }

    /// Where alerts stand.
    pub fn alert_board(&self) -> &Arc<AlertBoard> {
        &self.parts.alerts
    }

    fn condition(&self, wave: &SuspectedWave) -> Option<Condition> {
        // Suspects of an application that is served no more are nobody's.
        let application = self.parts.applications.by_id(wave.application)?;
        Some(Condition::SuspectedWave {
            push_service: wave.group.service(),
            application: application.name.clone(),
            subscriptions: wave.subscriptions,
            since: wave.since,
        })
    }
}
