use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use tidings_webpush::{Randomness, UserAgentKeys, VapidPublicKey};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Host;

use crate::behaviour::{Behaviour, RuleDocument};
use crate::connections::Listener;
use crate::delivery_counters::DeliveryCounters;
use crate::draw;
use crate::fingerprints::Fingerprints;
use crate::inbox::{Inbox, ReceiverId};
use crate::manner::Manner;
use crate::options::{Clock, SandboxOptions};
use crate::outage::Outage;
use crate::personality::Personality;
use crate::stats::Stats;
use crate::token::Token;
use crate::user_agents::{Channel, UserAgents};
use crate::vapid_check::VapidCheck;
use crate::virtual_agents::{VirtualAgent, VirtualAgents};

/// Everything the push service knows. There is one for all listeners, in memory only.
pub(crate) struct PushService {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) user_agents: UserAgents,
    pub(crate) virtual_agents: VirtualAgents,
    pub(crate) behaviour: Behaviour,
    pub(crate) stats: Arc<Stats>,
    pub(crate) inbox: Inbox,
    pub(crate) fingerprints: Fingerprints,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the sandbox begins to shut down.
    pub(crate) draining: CancellationToken,
    http: Option<Site>,
    https: Option<Site>,
    services: Vec<Site>,
    decrypt_one_in: NonZeroU32,
}

/// What is at one listener.
pub(crate) struct Site {
    pub(crate) personality: Personality,
    /// The host of the endpoints.
    pub(crate) host: Host,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) outage: Outage,
    vapid: VapidCheck,
}

impl Site {
    /// `origin` is that of the endpoints.
    pub(crate) fn new(
        personality: Personality,
        host: Host,
        address: SocketAddr,
        origin: String,
    ) -> Self {
        Self {
            personality,
            host,
            address,
            outage: Outage::none(),
            vapid: VapidCheck::new(origin, personality),
        }
    }

    /// Whether a request means it by this name: its personality's, its host, or `all`.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        name == "all" || name == self.personality.as_str() || name == self.host.to_string()
    }
}

/// The sites of a sandbox.
pub(crate) struct Sites {
    pub(crate) http: Option<Site>,
    pub(crate) https: Option<Site>,
    pub(crate) services: Vec<Site>,
}

impl PushService {
    pub(crate) fn new(options: &SandboxOptions, sites: Sites) -> Self {
        Self {
            clock: Arc::clone(&options.clock),
            randomness: Arc::clone(&options.randomness),
            user_agents: UserAgents::default(),
            virtual_agents: VirtualAgents::new(&*options.randomness),
            behaviour: Behaviour::honest(
                options.seed.unwrap_or_else(|| seed(&*options.randomness)),
            ),
            stats: Arc::new(Stats::new()),
            inbox: Inbox::new(options.kept),
            fingerprints: Fingerprints::new(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            http: sites.http,
            https: sites.https,
            services: sites.services,
            decrypt_one_in: options.decrypt_one_in,
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Which push service is played at a listener.
    pub(crate) fn manner(&self, listener: Listener) -> Manner<'_> {
        Manner {
            personality: self
                .site(listener)
                .map_or_else(Personality::default, |site| site.personality),
            randomness: &*self.randomness,
        }
    }

    /// The VAPID check of a listener; its audience is the origin of the endpoints there.
    pub(crate) fn vapid(&self, listener: Listener) -> Option<&VapidCheck> {
        self.site(listener).map(|site| &site.vapid)
    }

    /// What is at a listener.
    pub(crate) fn site(&self, listener: Listener) -> Option<&Site> {
        match listener {
            Listener::Http => self.http.as_ref(),
            Listener::Https => self.https.as_ref(),
            Listener::Service(place) => self.services.get(usize::from(place)),
        }
    }

    /// Replaces the rules of this name, or those without, if they are about services that are there.
    pub(crate) fn behave(
        &self,
        name: Option<&str>,
        rules: Vec<RuleDocument>,
    ) -> Result<(), String> {
        let sites = || self.http.iter().chain(&self.https).chain(&self.services);
        let is_there = |name: &&String| sites().any(|site| site.is_called(name));
        let mut names = rules.iter().flat_map(RuleDocument::services);
        if let Some(unknown) = names.find(|name| !is_there(name)) {
            let known = sites().flat_map(|site| {
                let host = site.host.to_string();
                [site.personality.as_str().to_owned(), host]
            });
            let known = known.collect::<BTreeSet<_>>();
            return Err(format!(
                "no service is called {unknown}: write all, or of these those that are meant: {}",
                known.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
        self.behaviour.replace(name, rules)
    }

    /// The push services played besides, each with its listener.
    pub(crate) fn services(&self) -> impl Iterator<Item = (Listener, &Site)> {
        (0..).map(Listener::Service).zip(&self.services)
    }

    /// The origin of the endpoints handed out at a listener; empty if there is no such listener.
    pub(crate) fn origin(&self, listener: Listener) -> &str {
        self.vapid(listener).map_or("", VapidCheck::audience)
    }

    /// The endpoint with this token. The version says whether it is tied to a key.
    pub(crate) fn endpoint(&self, listener: Listener, restricted: bool, token: &str) -> String {
        let version = if restricted { "v2" } else { "v1" };
        format!("{}/wpush/{version}/{token}", self.origin(listener))
    }

    /// Finds who holds the subscription with this token.
    pub(crate) fn receiver(&self, token: &str) -> Option<Receiver> {
        match Token::parse(token)? {
            Token::Channel(token) => self.user_agents.channel(&token).map(Receiver::Channel),
            Token::Virtual { index, mac } => {
                self.virtual_agents.find(index, &mac).map(Receiver::Virtual)
            }
        }
    }

    /// The keys to decrypt for this receiver with, or why it is not done.
    pub(crate) fn keys_of(&self, receiver: &Receiver) -> Result<UserAgentKeys, &'static str> {
        match receiver {
            Receiver::Channel(_) => Err("the keys are in the browser"),
            Receiver::Virtual(agent) if agent.index() % self.decrypt_one_in != 0 => {
                Err("not one of the user agents that decrypt")
            }
            Receiver::Virtual(agent) => self.virtual_agents.keys(agent.index()).map_err(|error| {
                tracing::error!(%error, "a virtual user agent has no keys");
                "its keys could not be derived"
            }),
        }
    }
}

fn seed(randomness: &dyn Randomness) -> u64 {
    let mut octets = [0; 8];
    randomness.fill(&mut octets);
    // JSON has no larger numbers that everybody reads alike.
    u64::from_be_bytes(octets) >> 11
}

/// Who holds a subscription.
pub(crate) enum Receiver {
    /// A user agent at the other end of a WebSocket.
    Channel(Arc<Channel>),
    /// A virtual one.
    Virtual(VirtualAgent),
}

impl Receiver {
    pub(crate) fn id(&self) -> ReceiverId {
        match self {
            Self::Channel(channel) => ReceiverId::Channel(channel.token),
            Self::Virtual(agent) => ReceiverId::Virtual(agent.index()),
        }
    }

    /// Whether its endpoint is at this listener. The two listeners that every sandbox has are one
    /// push service, each other one is another.
    pub(crate) fn is_at(&self, asked: Listener) -> bool {
        let own = match self {
            Self::Channel(_) => Listener::Http,
            Self::Virtual(agent) => agent.listener(),
        };
        own == asked
            || !matches!(
                (own, asked),
                (Listener::Service(_), _) | (_, Listener::Service(_))
            )
    }

    /// What names it to chance: virtual ones have the same name in every run.
    pub(crate) fn subject(&self) -> u64 {
        match self {
            Self::Channel(channel) => draw::thing(&channel.token.encode()),
            Self::Virtual(agent) => agent.index().into(),
        }
    }

    /// The application server's key that the subscription is tied to.
    pub(crate) fn key(&self) -> Option<&VapidPublicKey> {
        match self {
            Self::Channel(channel) => channel.key.as_ref(),
            Self::Virtual(agent) => agent.key(),
        }
    }

    /// Whether the subscription ended.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Channel(channel) => channel.user_agent().is_none(),
            Self::Virtual(agent) => agent.is_gone(),
        }
    }

    /// Ends the subscription.
    pub(crate) fn unsubscribe(&self) {
        match self {
            Self::Channel(channel) => {
                if let Some(user_agent) = channel.user_agent() {
                    user_agent.unregister(channel.id);
                }
            }
            Self::Virtual(agent) => agent.unsubscribe(),
        }
    }

    /// What it got so far.
    pub(crate) fn counters(&self) -> Option<&DeliveryCounters> {
        match self {
            Self::Channel(channel) => Some(&channel.counters),
            Self::Virtual(agent) => agent.counters(),
        }
    }
}
