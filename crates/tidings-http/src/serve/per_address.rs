//! Nobody holds all connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client_address::ClientNetwork;

/// How many connections each address has, and may have.
#[derive(Clone)]
pub(super) struct PerAddress {
    most: usize,
    counts: Arc<Mutex<HashMap<ClientNetwork, usize>>>,
}

/// A connection that is counted until this is dropped.
pub(super) struct Held {
    counted: Option<(PerAddress, ClientNetwork)>,
}

impl PerAddress {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    /// `None` if the address has as many as it may.
    pub(super) fn hold(&self, address: IpAddr) -> Option<Held> {
        let network = ClientNetwork::of(address);
        let mut counts = self.lock();
        let count = counts.entry(network).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Held {
            counted: Some((self.clone(), network)),
        })
    }

    /// A connection that counts for nobody.
    pub(super) fn uncounted() -> Held {
        Held { counted: None }
    }

    fn release(&self, network: ClientNetwork) {
        let mut counts = self.lock();
        if let Some(count) = counts.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&network);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientNetwork, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((counts, network)) = self.counted.take() {
            counts.release(network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_so_many_and_leaves_no_trace() {
        let connections = PerAddress::new(2);
        let (one, other): (IpAddr, IpAddr) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8:0:1::1".parse().unwrap(),
        );
        let held = [
            connections.hold(one),
            connections.hold("2001:db8::2".parse().unwrap()),
        ];
        assert!(held.iter().all(Option::is_some));
        assert!(connections.hold(one).is_none(), "its network has two");
        assert!(connections.hold(other).is_some());
        drop(held);
        assert!(connections.hold(one).is_some());
        assert!(connections.lock().is_empty());
    }
}
