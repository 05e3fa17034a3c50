//! What handlers share.

use std::fmt;
use std::sync::Arc;

use tidings_core::application::PageOrigin;
use tidings_core::application_server::ApplicationServer;
use tidings_webpush::Randomness;

use crate::admin_token::AdminToken;

/// What a router is made of.
pub struct RouterParts {
    /// The use cases.
    pub server: Arc<ApplicationServer>,
    /// What back ends and operators show.
    pub admin_token: AdminToken,
    /// Where request ids come from.
    pub randomness: Arc<dyn Randomness>,
    /// Whether `/demo` is served.
    pub demo: bool,
}

impl fmt::Debug for RouterParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterParts")
            .field("demo", &self.demo)
            .finish_non_exhaustive()
    }
}

/// Shared by all handlers.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

struct Shared {
    parts: RouterParts,
    own_origin: PageOrigin,
}

impl AppState {
    pub(crate) fn new(parts: RouterParts) -> Self {
        let own_origin = PageOrigin::of(parts.server.public_url());
        Self(Arc::new(Shared { parts, own_origin }))
    }

    pub(crate) fn server(&self) -> &ApplicationServer {
        &self.0.parts.server
    }

    pub(crate) fn admin_token(&self) -> &AdminToken {
        &self.0.parts.admin_token
    }

    pub(crate) fn randomness(&self) -> &dyn Randomness {
        self.0.parts.randomness.as_ref()
    }

    pub(crate) fn serves_demo(&self) -> bool {
        self.0.parts.demo
    }

    /// The origin of pages that this server serves itself.
    pub(crate) fn own_origin(&self) -> &PageOrigin {
        &self.0.own_origin
    }
}
