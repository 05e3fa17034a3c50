//! What user agents say, without a socket: for the fuzz target.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidings_webpush::SystemRandomness;
use url::Host;

use super::frame::FromUserAgent;
use super::{End, Session};
use crate::connections::Listener;
use crate::options::SandboxOptions;
use crate::personality::Personality;
use crate::service::{PushService, Site, Sites};
use crate::token::Token;
use crate::user_agents::{Channel, Keep, Letter};

/// What came of a conversation.
#[derive(Debug)]
pub struct Conversation {
    /// What the push service said, in this order.
    pub answers: Vec<String>,
    /// The channels that still are, by the endpoints that were handed out.
    pub living: Vec<(String, String)>,
    /// The channels that messages wait for.
    pub waiting: Vec<String>,
}

impl Conversation {
    /// Has a new user agent, after its hello, say one message in each line of `text`, until the push
    /// service ends the conversation. A message comes in for each channel that is registered.
    pub fn of(text: &str) -> Self {
        const NOW: SystemTime = SystemTime::UNIX_EPOCH;
        let options = SandboxOptions::new(Arc::new(|| NOW), Arc::new(SystemRandomness));
        let address = SocketAddr::from(([127, 0, 0, 1], 8031));
        let site = Site::new(
            Personality::Mozilla,
            Host::Ipv4(Ipv4Addr::LOCALHOST),
            address,
            format!("http://{address}"),
        );
        let sites = Sites {
            http: Some(site),
            https: None,
            services: Vec::new(),
        };
        let service = PushService::new(&options, sites);
        let user_agent = service.user_agents.greet(None, &SystemRandomness);
        let line = user_agent.connect();
        let session = Session {
            service: &service,
            user_agent,
            line,
            listener: Listener::Http,
        };
        let mut conversation = Self {
            answers: Vec::new(),
            living: Vec::new(),
            waiting: Vec::new(),
        };
        let mut endpoints = Vec::new();
        for message in text.lines() {
            let Ok(answer) = session.say(message) else {
                break;
            };
            let Some(answer) = answer else { continue };
            if let Some(endpoint) = endpoint_in(&answer) {
                session.post(&endpoint);
                endpoints.push(endpoint);
            }
            conversation.answers.push(answer);
        }
        endpoints.sort();
        endpoints.dedup();
        for endpoint in endpoints {
            if let Some(channel) = session.living(&endpoint) {
                let id = channel.id.to_string();
                conversation.living.push((endpoint, id));
            }
        }
        // As after a reconnection: whatever was not acknowledged.
        let line = session.user_agent.connect();
        let letters = session.user_agent.take_mail(&line, NOW).into_iter();
        conversation
            .waiting
            .extend(letters.map(|letter| letter.channel.to_string()));
        conversation
    }
}

/// The version of every message: a fuzzer finds it, and so acknowledges some.
const VERSION: &str = "v";

impl Session<'_> {
    fn say(&self, message: &str) -> Result<Option<String>, End> {
        self.answer(FromUserAgent::parse(message)?)
    }

    fn post(&self, endpoint: &str) {
        if let Some(channel) = self.living(endpoint) {
            let letter = Letter {
                version: VERSION.to_owned(),
                channel: channel.id,
                topic: None,
                payload: None,
                keep: Keep::Until(SystemTime::UNIX_EPOCH + Duration::from_secs(1)),
            };
            self.user_agent.post(letter, SystemTime::UNIX_EPOCH);
        }
    }

    /// The channel of an endpoint, while it is one.
    fn living(&self, endpoint: &str) -> Option<Arc<Channel>> {
        let (_, token) = endpoint.rsplit_once('/')?;
        let Token::Channel(token) = Token::parse(token)? else {
            return None;
        };
        let channel = self.service.user_agents.channel(&token)?;
        channel.user_agent().is_some().then_some(channel)
    }
}

/// The endpoint that an answer hands out.
fn endpoint_in(answer: &str) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_str(answer).ok()?;
    (answer["status"] == 200).then_some(())?;
    Some(answer["pushEndpoint"].as_str()?.to_owned())
}
