//! Looking at messages.

use crate::application::ApplicationId;
use crate::application_server::ApplicationServer;
use crate::id::MessageId;
use crate::message::MessageRecord;
use crate::store::{Page, PageRequest, StoreError};

impl ApplicationServer {
    /// One message with its counts.
    pub async fn message(
        &self,
        app: ApplicationId,
        id: MessageId,
    ) -> Result<Option<MessageRecord>, StoreError> {
        self.parts.store.message(app, id).await
    }

    /// Messages, newest first.
    pub async fn messages(
        &self,
        app: ApplicationId,
        page: PageRequest<MessageId>,
    ) -> Result<Page<MessageRecord, MessageId>, StoreError> {
        self.parts.store.messages(app, page).await
    }
}
