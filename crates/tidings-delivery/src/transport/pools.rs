//! The pools of all origins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tidings_webpush::{PushResource, PushService};
use tokio::time::Instant;

use crate::transport::dialer::Target;
use crate::transport::pool::{Pool, Shared};
use crate::transport::strangers::Strangers;

pub(super) struct Pools {
    shared: Shared,
    strangers: Arc<Strangers>,
    state: Mutex<State>,
}

/// Dropping a pool closes its idle connections; requests that are under way keep theirs.
struct State {
    by_origin: HashMap<String, Entry>,
    tidied_at: Instant,
}

struct Entry {
    pool: Arc<Pool>,
    is_known: bool,
}

impl Pools {
    pub(super) fn new(shared: Shared, now: Instant) -> Arc<Self> {
        Arc::new_cyclic(|pools: &Weak<Self>| Self {
            strangers: Arc::new(Strangers::new(&shared.limits, pools.clone())),
            shared,
            state: Mutex::new(State {
                by_origin: HashMap::new(),
                tidied_at: now,
            }),
        })
    }

    pub(super) fn of(&self, resource: &PushResource, now: Instant) -> Arc<Pool> {
        let limits = &self.shared.limits;
        let mut state = self.lock();
        if now.saturating_duration_since(state.tidied_at) >= limits.idle {
            // A pool that is used closes its own idle connections.
            state.by_origin.retain(|_, entry| {
                now.saturating_duration_since(entry.pool.last_used()) <= limits.idle
            });
            state.tidied_at = now;
        }
        if let Some(entry) = state.by_origin.get(resource.origin()) {
            return Arc::clone(&entry.pool);
        }
        if state.by_origin.len() >= limits.origins {
            state.make_room();
        }
        let service = resource.push_service();
        let is_known = service != PushService::Other;
        let strangers = (!is_known).then(|| Arc::clone(&self.strangers));
        let pool = Arc::new(Pool::new(
            self.shared.clone(),
            Target::of(resource),
            limits.of(service),
            strangers,
            now,
        ));
        let entry = Entry {
            pool: Arc::clone(&pool),
            is_known,
        };
        state.by_origin.insert(resource.origin().to_owned(), entry);
        pool
    }

    /// Of all connections to other push services, closes the one that has carried nothing for
    /// longest. Whether there was one.
    pub(super) fn close_an_idle_stranger(&self) -> bool {
        let idle = {
            let state = self.lock();
            let strangers = state.by_origin.values().filter(|entry| !entry.is_known);
            let idle = strangers.filter_map(|entry| Some((entry.pool.idle_since()?, &entry.pool)));
            let longest = idle.min_by_key(|(since, _)| *since);
            longest.map(|(_, pool)| Arc::clone(pool))
        };
        idle.is_some_and(|pool| pool.close_longest_idle())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets the pool that was used longest ago: of those that nobody uses first, then of those
    /// that may be inventions, for anybody can make up names below a known push service's domain,
    /// then of strangers.
    fn make_room(&mut self) {
        let worth = |entry: &Entry| {
            let Entry { pool, is_known } = entry;
            let is_used = !pool.is_unused();
            (is_used, pool.is_proven(), *is_known, pool.last_used())
        };
        let least = self.by_origin.iter().min_by_key(|(_, entry)| worth(entry));
        if let Some(origin) = least.map(|(origin, _)| origin.clone()) {
            self.by_origin.remove(&origin);
        }
    }
}
