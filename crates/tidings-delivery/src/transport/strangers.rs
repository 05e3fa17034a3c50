//! What bounds connections to other push services together: anybody can make up their names.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::transport::pools::Pools;
use crate::transport::{Limits, TransportError};

/// How often to look for a connection that has become idle.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Lasts as long as the connection that it was given for.
pub(super) type Permit = OwnedSemaphorePermit;

pub(super) struct Strangers {
    connections: Arc<Semaphore>,
    openings: Semaphore,
    pools: Weak<Pools>,
}

impl Strangers {
    pub(super) fn new(limits: &Limits, pools: Weak<Pools>) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.other_connections)),
            openings: Semaphore::new(limits.other_openings),
            pools,
        }
    }

    /// Waits until there may be another connection; idle ones make room.
    pub(super) async fn admit(&self, limit: Duration) -> Result<Permit, TransportError> {
        let admitted = async {
            loop {
                if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
                    return Ok(permit);
                }
                if let Some(pools) = self.pools.upgrade() {
                    pools.close_an_idle_stranger();
                }
                let next = Arc::clone(&self.connections).acquire_owned();
                if let Ok(permit) = timeout(LOOK_AGAIN, next).await {
                    return permit.map_err(|_| TransportError::Closed);
                }
            }
        };
        timeout(limit, admitted)
            .await
            .unwrap_or(Err(TransportError::TimedOut(
                "waiting until another push service needs its connections no more",
            )))
    }

    /// Waits until fewer connections are being opened.
    pub(super) async fn may_open(&self) -> Result<SemaphorePermit<'_>, TransportError> {
        let permit = self.openings.acquire().await;
        permit.map_err(|_| TransportError::Closed)
    }
}
