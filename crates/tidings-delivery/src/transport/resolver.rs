//! From host names to addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

/// How long addresses are used without asking again. `getaddrinfo` tells no TTL.
const KEPT: Duration = Duration::from_mins(1);

/// Names that are remembered; past that all are forgotten.
const REMEMBERED: usize = 1024;

/// Looks up the addresses of a host.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of `host`, in the order in which to try them.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The machine's resolver (`getaddrinfo`): it respects the hosts file as operators expect.
#[derive(Debug, Default)]
pub struct SystemResolver {
    fixed: HashMap<String, Vec<IpAddr>>,
    known: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl SystemResolver {
    /// A resolver that takes these addresses for these names, and asks the machine for all others.
    /// A name may be there several times, with an address each.
    ///
    /// Names as a parsed URL has them: lower case, without final dot.
    pub fn with_fixed(fixed: impl IntoIterator<Item = (String, IpAddr)>) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for (name, address) in fixed {
            by_name.entry(name).or_default().push(address);
        }
        Self {
            fixed: by_name,
            ..Self::default()
        }
    }

    fn known(&self, host: &str) -> Option<Vec<IpAddr>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(host)
            .filter(|(at, _)| at.elapsed() < KEPT)
            .map(|(_, found)| found.clone())
    }

    fn remember(&self, host: &str, found: &[IpAddr]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(host.to_owned(), (Instant::now(), found.to_vec()));
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        if let Some(fixed) = self.fixed.get(host) {
            return Ok(fixed.clone());
        }
        if let Some(known) = self.known(host) {
            return Ok(known);
        }
        let found: Vec<IpAddr> = tokio::net::lookup_host((host, 0))
            .await?
            .map(|address| address.ip())
            .collect();
        self.remember(host, &found);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fixed_name_leads_to_its_addresses_and_others_where_they_did() {
        let [first, second] = ["127.0.0.2", "::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let name = "fcm.googleapis.com";
        let fixed = [(name.to_owned(), first), (name.to_owned(), second)];
        let resolver = SystemResolver::with_fixed(fixed);
        assert_eq!(resolver.resolve(name).await.unwrap(), [first, second]);
        let found = resolver.resolve("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    }
}
