//! The server put together: store, use cases, engine, HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use tidings_core::alert::{AlertBoard, Condition};
use tidings_core::application::{
    Application, ApplicationId, ApplicationName, Applications, PageOrigin,
};
use tidings_core::application_server::{ApplicationServer, Parts};
use tidings_core::clock::{Clock, SystemClock};
use tidings_core::mac::{MacSecrets, Macs};
use tidings_core::metrics::Metrics;
use tidings_core::sealing::Sealer;
use tidings_core::store::{SendingStore, SetupStore as _, Store, Sweep};
use tidings_delivery::engine::{self, Engine, PlannerWake, Policy};
use tidings_delivery::queue::ChannelQueue;
use tidings_delivery::transport::{Limits, PushTransport, SystemResolver, client_config};
use tidings_http::{RateLimits, RouterParts, ServeLimits, TrustedProxies};
use tidings_store_sqlite::{Options, SqliteStore};
use tidings_webpush::{Admission, Contact, Randomness, SystemRandomness};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::data_directory::DataDirectory;
use crate::settings::{PushSettings, Settings, UserSettings};

/// How often what has been kept long enough is forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// How often it is written down when API tokens were used last.
const API_TOKEN_USES_INTERVAL: Duration = Duration::from_mins(1);

/// How often the store is asked where subscriptions are suspect.
const WAVES_INTERVAL: Duration = Duration::from_mins(1);

/// A server that is ready to serve.
pub(crate) struct RunningServer {
    listener: TcpListener,
    address: SocketAddr,
    router: axum::Router,
    serve_limits: ServeLimits,
    rate_limits: Arc<RateLimits>,
    engine: Engine,
    server: Arc<ApplicationServer>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl RunningServer {
    /// Opens everything and starts the engine. Nothing is answered before [`Self::serve`].
    pub(crate) async fn start(settings: Settings) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let randomness: Arc<dyn Randomness> = Arc::new(SystemRandomness);
        let directory = DataDirectory::create(&settings.data_dir)?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let address = listener.local_addr()?;
        let public_url = match &settings.public_url {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{address}/"))?,
        };
        let site_url = site_url(&settings, &public_url)?;
        let sealer = Sealer::with_keys(&directory.sealing_keys(settings.sealing_keys)?)?;
        let store = Arc::new(SqliteStore::open(Options {
            directory: directory.path().to_owned(),
            sealer: Arc::new(sealer),
            randomness: Arc::clone(&randomness),
            now: clock.now(),
        })?);
        let macs = store
            .mac_secrets(MacSecrets::generate(randomness.as_ref()))
            .await?;
        let alerts = Arc::new(AlertBoard::new(Arc::clone(&clock)));
        let shared = Shared {
            applications: applications(
                store.applications().await?,
                &settings.cors_origins,
                &settings.users,
                &site_url,
            )?,
            store,
            clock,
            randomness,
            macs: Arc::new(Macs::new(&macs)),
            admission: Arc::new(admission(&settings.push)),
            public_url,
            planner_wake: PlannerWake::default(),
            alerts,
            metrics: Arc::default(),
        };
        let server = Arc::new(shared.application_server());
        server
            .ensure_vapid_key(ApplicationId::DEFAULT, settings.vapid_key)
            .await?;
        let rate_limits = Arc::new(RateLimits::new(settings.limits));
        warn_of_hidden_proxy(address, &shared.public_url, &settings.trusted_proxies);
        let serve_limits = serve_limits(&settings.trusted_proxies);
        let router = tidings_http::router(RouterParts {
            server: Arc::clone(&server),
            admin_token: directory.admin_token(settings.admin_token)?,
            randomness: Arc::clone(&shared.randomness),
            rate_limits: Arc::clone(&rate_limits),
            trusted_proxies: settings.trusted_proxies,
            metrics: Arc::clone(&shared.metrics),
            demo: settings.demo,
        });
        for (name, address) in &settings.push.resolve {
            tracing::warn!(
                "push.resolve is for tests: messages for {name} go to {address}, not to where the \
                 internet says that it is"
            );
        }
        // Last: what fails above must not break off sends that have begun.
        let engine = shared.start_engine(&settings.push, settings.contact)?;
        Ok(Self {
            listener,
            address,
            router,
            serve_limits,
            rate_limits,
            engine,
            server,
            store: shared.store,
            clock: shared.clock,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then drains.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        tracing::info!("listening on http://{}", self.address);
        let serving =
            tidings_http::serve(self.listener, self.router, stop.clone(), self.serve_limits);
        // At once, not one after the other: whoever stops a process does not wait long.
        let sending = async {
            stop.cancelled().await;
            self.engine.shutdown().await;
        };
        tokio::join!(
            serving,
            sending,
            // Broken off wherever they are: both go on at the next start, and a sweep may be long.
            stop.run_until_cancelled(sweep(self.store, self.clock, &self.server)),
            stop.run_until_cancelled(look_for_waves(&self.server)),
            record_api_token_uses(&self.server, stop.clone()),
            self.rate_limits.keep_forgetting(stop.clone())
        );
        // Once more: requests were answered until now.
        write_api_token_uses(&self.server).await;
        tracing::info!("stopped");
    }
}

/// What several parts of the server use.
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    macs: Arc<Macs>,
    admission: Arc<Admission>,
    applications: Applications,
    public_url: Url,
    planner_wake: PlannerWake,
    alerts: Arc<AlertBoard>,
    metrics: Arc<Metrics>,
}

impl Shared {
    fn application_server(&self) -> ApplicationServer {
        ApplicationServer::new(Parts {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            macs: Arc::clone(&self.macs),
            admission: Arc::clone(&self.admission),
            applications: self.applications.clone(),
            public_url: self.public_url.clone(),
            planner: Arc::new(self.planner_wake.clone()),
            alerts: Arc::clone(&self.alerts),
        })
    }

    fn start_engine(&self, push: &PushSettings, contact: Option<Contact>) -> Result<Engine> {
        let transport = PushTransport::new(
            Arc::clone(&self.admission),
            client_config(push.extra_ca.as_deref())?,
            Arc::new(SystemResolver::with_fixed(push.resolve.iter().cloned())),
            Limits::default(),
        );
        let parts = engine::Parts {
            store: Arc::clone(&self.store) as Arc<dyn SendingStore>,
            queue: Arc::new(ChannelQueue::default()),
            transport: Arc::new(transport),
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            macs: Arc::clone(&self.macs),
            applications: self.applications.clone(),
            contact: choose_contact(contact, &self.public_url, &self.alerts),
            public_url: self.public_url.clone(),
            planner_wake: self.planner_wake.clone(),
            alerts: Arc::clone(&self.alerts),
            metrics: Arc::clone(&self.metrics),
        };
        Ok(Engine::start(parts, Policy::default()))
    }
}

fn admission(push: &PushSettings) -> Admission {
    Admission::new()
        .with_hosts(push.hosts.iter().cloned())
        .with_networks(push.allow_networks.iter().copied())
        .with_insecure(push.allow_insecure)
}

/// The applications of the store; the settings are those of the default one.
fn applications(
    stored: Vec<(ApplicationId, ApplicationName)>,
    cors_origins: &[PageOrigin],
    users: &UserSettings,
    site_url: &Url,
) -> Result<Applications> {
    let all = stored.into_iter().map(|(id, name)| {
        let is_default = id == ApplicationId::DEFAULT;
        let users = if is_default {
            users.clone()
        } else {
            UserSettings::default()
        };
        Application {
            id,
            name,
            cors_origins: if is_default {
                cors_origins.to_vec()
            } else {
                Vec::new()
            },
            page_users: users.page_users,
            user_token_keys: users.token_keys,
            max_subscriptions_per_user: users.max_subscriptions,
            site_url: site_url.clone(),
        }
    });
    let applications = Applications::new(all);
    applications
        .by_id(ApplicationId::DEFAULT)
        .context("the default application is missing")?;
    Ok(applications)
}

/// The first origin that pages come from is the site; without one it is what this server shows.
fn site_url(settings: &Settings, public_url: &Url) -> Result<Url> {
    let site = settings.cors_origins.first().and_then(PageOrigin::to_url);
    match site {
        Some(url) => Ok(url),
        None if settings.demo => Ok(public_url.join("demo")?),
        None => Ok(public_url.clone()),
    }
}

/// The configured contact, else this server's address if the public can reach it.
fn choose_contact(
    configured: Option<Contact>,
    public_url: &Url,
    alerts: &AlertBoard,
) -> Option<Contact> {
    let own = || {
        let is_https = public_url.scheme() == "https";
        is_https
            .then(|| Contact::parse(public_url.as_str()).ok())
            .flatten()
    };
    let contact = configured.or_else(own);
    if contact.is_none() {
        alerts.raise(Condition::NoContact);
    }
    contact
}

/// Connections of proxies are not counted by address, nor are those of this machine: a proxy that
/// nobody has named yet is not to lose visitors, and who is on this machine has other ways.
fn serve_limits(trusted: &TrustedProxies) -> ServeLimits {
    let loopback = [
        IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        IpNet::new_assert(IpAddr::V4(Ipv4Addr::LOCALHOST), 8).trunc(),
    ];
    let mut limits = ServeLimits::default();
    limits.uncounted = trusted.clone().and(loopback);
    limits
}

/// A server that the public reaches by a name, and that listens for this machine only, is behind a
/// reverse proxy.
fn warn_of_hidden_proxy(address: SocketAddr, public_url: &Url, trusted: &TrustedProxies) {
    let is_public = match public_url.host() {
        Some(Host::Domain(name)) => name != "localhost" && !name.ends_with(".localhost"),
        Some(Host::Ipv4(host)) => !host.is_loopback(),
        Some(Host::Ipv6(host)) => !host.is_loopback(),
        None => false,
    };
    if is_public && address.ip().is_loopback() && trusted.is_empty() {
        tracing::warn!(
            "browsers reach this server by {public_url} and it listens on {address}, so there is a \
             reverse proxy, and all of its visitors share one rate limit: have it set \
             X-Forwarded-For, and name it in `trusted_proxies` (TIDINGS_TRUSTED_PROXIES), \
             127.0.0.1/32 for example"
        );
    }
}

async fn sweep(store: Arc<dyn Store>, clock: Arc<dyn Clock>, server: &ApplicationServer) {
    loop {
        match store.sweep(Sweep::at(clock.now())).await {
            Ok(swept) => tracing::debug!(?swept, "forgot what had been kept long enough"),
            Err(error) => tracing::error!(%error, "old rows could not be deleted"),
        }
        match server.forget_api_tokens().await {
            Ok(forgotten) => tracing::debug!(forgotten, "forgot API tokens that ended long ago"),
            Err(error) => tracing::error!(%error, "old API tokens could not be deleted"),
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}

/// An operator is told of a wave though nobody asks.
async fn look_for_waves(server: &ApplicationServer) {
    loop {
        if let Err(error) = server.look_for_waves().await {
            tracing::error!(%error, "it could not be seen whether subscriptions are suspect");
        }
        tokio::time::sleep(WAVES_INTERVAL).await;
    }
}

async fn record_api_token_uses(server: &ApplicationServer, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(API_TOKEN_USES_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        write_api_token_uses(server).await;
    }
}

async fn write_api_token_uses(server: &ApplicationServer) {
    if let Err(error) = server.record_api_token_uses().await {
        tracing::error!(%error, "the last use of API tokens could not be written");
    }
}
