//! What handlers share.

use std::fmt;
use std::sync::Arc;

use tidings_core::application::PageOrigin;
use tidings_core::application_server::ApplicationServer;
use tidings_core::metrics::Metrics;
use tidings_webpush::Randomness;
use url::{Host, Url};

use crate::admin_token::AdminToken;
use crate::api::health::Readiness;
use crate::client_address::TrustedProxies;
use crate::rate_limits::RateLimits;

/// What a router is made of.
pub struct RouterParts {
    /// The use cases.
    pub server: Arc<ApplicationServer>,
    /// What back ends and operators show.
    pub admin_token: AdminToken,
    /// Where request ids come from.
    pub randomness: Arc<dyn Randomness>,
    /// How often anybody may ask.
    pub rate_limits: Arc<RateLimits>,
    /// Who is believed about whose request it is.
    pub trusted_proxies: TrustedProxies,
    /// What the engine counts.
    pub metrics: Arc<Metrics>,
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
    for_this_machine: bool,
    readiness: Readiness,
}

impl AppState {
    pub(crate) fn new(parts: RouterParts) -> Self {
        let own_origin = PageOrigin::of(parts.server.public_url());
        let for_this_machine = is_for_this_machine(&parts.server);
        Self(Arc::new(Shared {
            parts,
            own_origin,
            for_this_machine,
            readiness: Readiness::default(),
        }))
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

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.parts.metrics
    }

    pub(crate) fn serves_demo(&self) -> bool {
        self.0.parts.demo
    }

    pub(crate) fn rate_limits(&self) -> &RateLimits {
        &self.0.parts.rate_limits
    }

    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.0.parts.trusted_proxies
    }

    /// Whether the server is there for browsers of this machine only.
    pub(crate) fn is_for_this_machine(&self) -> bool {
        self.0.for_this_machine
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// The origin of pages that this server serves itself.
    pub(crate) fn own_origin(&self) -> &PageOrigin {
        &self.0.own_origin
    }
}

/// By its own name and by its pages' origins: whoever left `public_url` out and has a site in public
/// has a reverse proxy, whose visitors all seem to be here.
fn is_for_this_machine(server: &ApplicationServer) -> bool {
    let mut origins = server
        .applications()
        .iter()
        .flat_map(|application| &application.cors_origins);
    is_this_machine(server.public_url())
        && origins.all(|origin| origin.to_url().is_some_and(|url| is_this_machine(&url)))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
