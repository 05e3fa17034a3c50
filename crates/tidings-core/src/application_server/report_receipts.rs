//! Browsers report what happened to notifications.

use std::fmt;

use crate::application::ApplicationId;
use crate::application_server::ApplicationServer;
use crate::receipt::Receipt;
use crate::store::StoreError;

/// A receipt as a stranger reports it.
#[derive(Clone)]
pub struct ReportedReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// What came inside the encrypted payload.
    pub proof: String,
}

impl fmt::Debug for ReportedReceipt {
    /// Without the proof: whoever has it can report in the browser's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportedReceipt")
            .field("receipt", &self.receipt)
            .finish_non_exhaustive()
    }
}

impl ApplicationServer {
    /// Keeps the receipts whose proof is right; the others count for nothing, and nobody is told
    /// which those were. Returns how many counted.
    pub async fn report_receipts(
        &self,
        app: ApplicationId,
        reported: Vec<ReportedReceipt>,
    ) -> Result<u64, StoreError> {
        let now = self.parts.clock.now();
        let proved: Vec<Receipt> = reported
            .into_iter()
            .filter(|ReportedReceipt { receipt, proof }| {
                self.parts
                    .macs
                    .is_receipt_proof(proof, receipt.message, receipt.subscription)
            })
            .map(|ReportedReceipt { mut receipt, .. }| {
                receipt.at = receipt.at.min(now);
                receipt
            })
            .collect();
        if proved.is_empty() {
            return Ok(0);
        }
        self.parts.store.add_receipts(app, proved, now).await
    }
}
