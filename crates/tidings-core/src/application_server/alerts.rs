//! Looking at what needs an operator.

use std::sync::Arc;

use crate::alert::{Alert, AlertBoard};
use crate::application_server::ApplicationServer;
use crate::store::StoreError;

impl ApplicationServer {
    /// What needs an operator at present, the oldest first.
    #[expect(
        clippy::unused_async,
        reason = "looks into the store as soon as that knows of suspected waves"
    )]
    pub async fn alerts(&self) -> Result<Vec<Alert>, StoreError> {
        Ok(self.parts.alerts.alerts())
    }

    /// Where alerts stand.
    pub fn alert_board(&self) -> &Arc<AlertBoard> {
        &self.parts.alerts
    }
}
