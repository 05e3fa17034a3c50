//! User agents by the million: nothing but a number, from which everything else is derived.
//!
//! The keys come from the sandbox's seed by HKDF, the endpoint is the number with a MAC. What is
//! stored for each is sixteen octets of counters.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::{hkdf, hmac};
use thiserror::Error;
use tidings_webpush::{AuthSecret, Randomness, UserAgentKeys, VapidPublicKey};

use crate::connections::Listener;
use crate::delivery_counters::DeliveryCounters;
use crate::token::Token;

/// How many virtual user agents a sandbox has at most: 160 MB of counters.
const MAX_AGENTS: u32 = 10_000_000;

/// A derived scalar is past the group order once in 2³²; so often the next one is tried.
const DRAWS: u8 = 4;

/// Why there are no more virtual user agents.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "the sandbox has {existing} virtual user agents and takes at most {MAX_AGENTS}: restart it to begin anew"
)]
pub(crate) struct TooManyAgents {
    existing: u32,
}

/// The keys of a virtual user agent could not be derived.
#[derive(Debug, Error)]
#[error("the keys of virtual user agent {index} could not be derived")]
pub(crate) struct KeyDerivationError {
    index: u32,
}

/// All virtual user agents of a sandbox.
pub(crate) struct VirtualAgents {
    keys: hkdf::Prk,
    macs: hmac::Key,
    batches: RwLock<Vec<Arc<Batch>>>,
    /// Which reset of the counters we are in.
    period: AtomicU16,
}

/// The virtual user agents of one request; they share the application server's key.
pub(crate) struct Batch {
    first: u32,
    key: Option<VapidPublicKey>,
    /// Where the endpoints of its agents are, in turn; never empty.
    listeners: Box<[Listener]>,
    /// All that is remembered of each.
    agents: Box<[DeliveryCounters]>,
}

impl Batch {
    /// The numbers of its agents.
    pub(crate) fn indices(&self) -> std::ops::Range<u32> {
        let count = u32::try_from(self.agents.len()).unwrap_or(u32::MAX);
        self.first..self.first.saturating_add(count)
    }

    /// Where the endpoint of an agent is.
    pub(crate) fn listener(&self, index: u32) -> Listener {
        let place = index.saturating_sub(self.first) as usize % self.listeners.len().max(1);
        self.listeners.get(place).copied().unwrap_or(Listener::Http)
    }

    pub(crate) fn is_restricted(&self) -> bool {
        self.key.is_some()
    }
}

/// One virtual user agent.
#[derive(Clone)]
pub(crate) struct VirtualAgent {
    batch: Arc<Batch>,
    index: u32,
}

impl VirtualAgent {
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Where its endpoint is.
    pub(crate) fn listener(&self) -> Listener {
        self.batch.listener(self.index)
    }

    pub(crate) fn key(&self) -> Option<&VapidPublicKey> {
        self.batch.key.as_ref()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.counters().is_some_and(DeliveryCounters::is_ended)
    }

    pub(crate) fn unsubscribe(&self) {
        if let Some(agent) = self.counters() {
            agent.end();
        }
    }

    pub(crate) fn counters(&self) -> Option<&DeliveryCounters> {
        let place = usize::try_from(self.index.checked_sub(self.batch.first)?).ok()?;
        self.batch.agents.get(place)
    }
}

impl VirtualAgents {
    pub(crate) fn new(randomness: &dyn Randomness) -> Self {
        let mut seed = [0; 32];
        randomness.fill(&mut seed);
        let keys = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tidings-sandbox key seed").extract(&seed);
        randomness.fill(&mut seed);
        Self {
            keys,
            macs: hmac::Key::new(hmac::HMAC_SHA256, &seed),
            batches: RwLock::new(Vec::new()),
            period: AtomicU16::new(1),
        }
    }

    /// Makes `count` more, all tied to `key` if there is one, with endpoints at `listeners` in turn.
    pub(crate) fn create(
        &self,
        count: u32,
        key: Option<VapidPublicKey>,
        listeners: &[Listener],
    ) -> Result<Arc<Batch>, TooManyAgents> {
        let mut batches = self.batches.write().unwrap_or_else(PoisonError::into_inner);
        let first = batches.last().map_or(0, |batch| batch.indices().end);
        if first.checked_add(count).is_none_or(|end| end > MAX_AGENTS) {
            return Err(TooManyAgents { existing: first });
        }
        let agents = (0..count).map(|_| DeliveryCounters::default()).collect();
        let batch = Arc::new(Batch {
            first,
            key,
            listeners: listeners.into(),
            agents,
        });
        batches.push(Arc::clone(&batch));
        Ok(batch)
    }

    /// Finds the agent whose endpoint has these parts.
    pub(crate) fn find(&self, index: u32, mac: &[u8]) -> Option<VirtualAgent> {
        hmac::verify(&self.macs, &index.to_be_bytes(), mac).ok()?;
        let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
        let after = batches.partition_point(|batch| batch.first <= index);
        let batch = batches.get(after.checked_sub(1)?)?;
        batch.indices().contains(&index).then(|| VirtualAgent {
            batch: Arc::clone(batch),
            index,
        })
    }

    /// All agents there are now, in the order of their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = VirtualAgent> + Send + use<> {
        let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
        batches.clone().into_iter().flat_map(|batch| {
            let indices = batch.indices();
            indices.map(move |index| VirtualAgent {
                batch: Arc::clone(&batch),
                index,
            })
        })
    }

    /// The token in the endpoint of an agent.
    pub(crate) fn token(&self, index: u32) -> Token {
        let tag = hmac::sign(&self.macs, &index.to_be_bytes());
        let mut mac = [0; 32];
        mac.copy_from_slice(tag.as_ref());
        Token::Virtual { index, mac }
    }

    /// The keys of an agent.
    pub(crate) fn keys(&self, index: u32) -> Result<UserAgentKeys, KeyDerivationError> {
        (0..DRAWS)
            .find_map(|draw| self.draw_keys(index, draw))
            .ok_or(KeyDerivationError { index })
    }

    /// The number to pass to [`DeliveryCounters::count_message`].
    pub(crate) fn period(&self) -> u16 {
        self.period.load(Ordering::Relaxed)
    }

    /// Begins to count anew who was reached.
    pub(crate) fn reset_reached(&self) {
        self.period.fetch_add(1, Ordering::Relaxed);
    }

    fn draw_keys(&self, index: u32, draw: u8) -> Option<UserAgentKeys> {
        let scalar = self.derive(b"p256dh", index, draw)?;
        let auth = self.derive(b"auth", index, draw)?;
        let auth = AuthSecret::from_bytes(auth.first_chunk::<16>()?).ok()?;
        UserAgentKeys::from_parts(&scalar, auth).ok()
    }

    fn derive(&self, purpose: &[u8], index: u32, draw: u8) -> Option<[u8; 32]> {
        let mut octets = [0; 32];
        let info = [purpose, &[0], &index.to_be_bytes(), &[draw]];
        self.keys
            .expand(&info, hkdf::HKDF_SHA256)
            .ok()?
            .fill(&mut octets)
            .ok()?;
        Some(octets)
    }
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;

    fn find(agents: &VirtualAgents, token: &Token) -> Option<VirtualAgent> {
        match token {
            Token::Virtual { index, mac } => agents.find(*index, mac),
            Token::Channel(_) => None,
        }
    }

    #[test]
    fn an_agent_is_what_its_number_says() {
        let agents = VirtualAgents::new(&SystemRandomness);
        agents.create(3, None, &[Listener::Http]).unwrap();
        agents.create(2, None, &[Listener::Http]).unwrap();
        for index in 0..5 {
            let agent = find(&agents, &agents.token(index)).unwrap();
            assert_eq!(agent.index(), index);
            let keys = [agents.keys(index).unwrap(), agents.keys(index).unwrap()];
            assert_eq!(
                keys[0].public_key().as_bytes(),
                keys[1].public_key().as_bytes()
            );
            assert!(keys[0].auth().ct_eq(keys[1].auth()));
        }
        assert!(
            find(&agents, &agents.token(5)).is_none(),
            "nobody has the number 5 yet"
        );
        assert_ne!(
            agents.keys(0).unwrap().public_key().as_bytes(),
            agents.keys(1).unwrap().public_key().as_bytes()
        );
    }

    #[test]
    fn a_guessed_mac_finds_nobody() {
        let agents = VirtualAgents::new(&SystemRandomness);
        agents.create(1, None, &[Listener::Http]).unwrap();
        assert!(agents.find(0, &[0; 32]).is_none());
        assert!(find(&agents, &VirtualAgents::new(&SystemRandomness).token(0)).is_none());
    }

    #[test]
    fn an_agent_is_reached_once_in_each_period() {
        let agents = VirtualAgents::new(&SystemRandomness);
        agents.create(1, None, &[Listener::Http]).unwrap();
        let agent = find(&agents, &agents.token(0)).unwrap();
        let counters = agent.counters().unwrap();
        assert!(counters.count_message(agents.period()));
        assert!(!counters.count_message(agents.period()));
        agents.reset_reached();
        assert!(counters.count_message(agents.period()));
        assert_eq!(counters.received(), 3);
    }

    #[test]
    fn ten_million_are_the_limit() {
        let agents = VirtualAgents::new(&SystemRandomness);
        agents.create(1, None, &[Listener::Http]).unwrap();
        assert_eq!(
            agents.create(MAX_AGENTS, None, &[Listener::Http]).err(),
            Some(TooManyAgents { existing: 1 })
        );
    }

    #[test]
    fn an_agent_costs_sixteen_octets() {
        assert_eq!(size_of::<DeliveryCounters>(), 16);
    }
}
