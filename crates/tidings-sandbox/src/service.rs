use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use tidings_webpush::{Randomness, UserAgentKeys, VapidPublicKey};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behaviour::Behaviour;
use crate::connections::Listener;
use crate::delivery_counters::DeliveryCounters;
use crate::fingerprints::Fingerprints;
use crate::inbox::{Inbox, ReceiverId};
use crate::manner::Manner;
use crate::options::{Clock, SandboxOptions};
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
    http: Option<VapidCheck>,
    https: Option<VapidCheck>,
    personality: Personality,
    decrypt_one_in: NonZeroU32,
}

/// The origins under which the sandbox is reached.
pub(crate) struct Origins {
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
}

impl PushService {
    pub(crate) fn new(options: &SandboxOptions, origins: Origins) -> Self {
        let check = |origin| VapidCheck::new(origin, options.personality);
        Self {
            clock: Arc::clone(&options.clock),
            randomness: Arc::clone(&options.randomness),
            user_agents: UserAgents::default(),
            virtual_agents: VirtualAgents::new(&*options.randomness),
            behaviour: Behaviour::honest(),
            stats: Arc::new(Stats::new()),
            inbox: Inbox::new(options.kept),
            fingerprints: Fingerprints::new(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            http: origins.http.map(check),
            https: origins.https.map(check),
            personality: options.personality,
            decrypt_one_in: options.decrypt_one_in,
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Which push service is played at a listener.
    pub(crate) fn manner(&self, listener: Listener) -> Manner<'_> {
        // All listeners play the same one so far.
        let personality = match listener {
            Listener::Http | Listener::Https => self.personality,
        };
        Manner {
            personality,
            randomness: &*self.randomness,
        }
    }

    /// The VAPID check of a listener; its audience is the origin of the endpoints there.
    pub(crate) fn vapid(&self, listener: Listener) -> Option<&VapidCheck> {
        match listener {
            Listener::Http => self.http.as_ref(),
            Listener::Https => self.https.as_ref(),
        }
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
