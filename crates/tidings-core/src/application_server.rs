//! The use cases: what Tidings does for pages, back ends and operators. One file each.

mod accept_message;
mod alerts;
mod api_tokens;
mod import_subscriptions;
mod page_user;
mod read_messages;
mod register_subscription;
mod report_receipts;
mod restore_subscriptions;
mod subscriptions;
mod vapid_keys;

use std::fmt;
use std::sync::Arc;

use tidings_webpush::{Admission, Randomness};
use url::Url;

use crate::alert::AlertBoard;
use crate::application::Applications;
pub use crate::application_server::accept_message::{
    AcceptError, AcceptedMessage, ContentRequest, MessageRequest, NotificationError,
};
use crate::application_server::api_tokens::ApiTokenUses;
pub use crate::application_server::api_tokens::{
    API_TOKENS_KEPT, ApiTokenRefused, ApiTokenRequest, MAX_API_TOKEN_LIFE,
};
pub use crate::application_server::import_subscriptions::{ImportKeys, ImportRequest};
pub use crate::application_server::page_user::PageUserError;
pub use crate::application_server::register_subscription::{
    RegisterError, Registered, RegistrationRequest, Said,
};
pub use crate::application_server::report_receipts::ReportedReceipt;
pub use crate::application_server::restore_subscriptions::{RestoreError, SuspectsVerdict};
pub use crate::application_server::subscriptions::{
    ChangeError, OwnChange, OwnSubscriptionError, TestError,
};
pub use crate::application_server::vapid_keys::{VapidKeyChange, VapidKeyError};
use crate::clock::Clock;
use crate::mac::Macs;
use crate::queue::WakePlanner;
use crate::store::Store;

/// The sending role of RFC 8030, which Tidings plays for its applications.
pub struct ApplicationServer {
    parts: Parts,
    api_token_uses: ApiTokenUses,
}

/// What an application server is made of. The binary chooses each.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where identifiers and slots come from.
    pub randomness: Arc<dyn Randomness>,
    /// Computes tokens, proofs and endpoint identities.
    pub macs: Arc<Macs>,
    /// Which endpoints may be registered.
    pub admission: Arc<Admission>,
    /// The applications.
    pub applications: Applications,
    /// How browsers reach this server.
    pub public_url: Url,
    /// Told when there is something to plan.
    pub planner: Arc<dyn WakePlanner>,
    /// Where conditions stand that need an operator.
    pub alerts: Arc<AlertBoard>,
}

impl ApplicationServer {
    /// Ready to serve.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            api_token_uses: ApiTokenUses::default(),
        }
    }

    /// The applications it serves.
    pub fn applications(&self) -> &Applications {
        &self.parts.applications
    }

    /// How browsers reach this server.
    pub fn public_url(&self) -> &Url {
        &self.parts.public_url
    }

    /// Where everything is kept.
    pub fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }

    /// The clock everything here goes by.
    pub fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }
}

impl fmt::Debug for ApplicationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationServer")
            .field("public_url", &self.parts.public_url.as_str())
            .finish_non_exhaustive()
    }
}

/// Where the browsers of an application report receipts to.
pub fn receipts_url(public_url: &Url, application: &crate::application::ApplicationName) -> String {
    let base = public_url.as_str().trim_end_matches('/');
    format!("{base}/v1/apps/{application}/receipts")
}
