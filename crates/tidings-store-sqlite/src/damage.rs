//! Damaged subscriptions, which an operator is told of once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tidings_core::id::SubscriptionId;
use tidings_core::store::StoreError;

/// So many are told apart; a file with more of them is told of by these.
const MOST_TOLD: usize = 1000;

/// Those that were told of since the start: a list is asked for often, and a batch is loaded for each
/// of its attempts.
#[derive(Default)]
pub(crate) struct Told(Mutex<HashSet<SubscriptionId>>);

impl Told {
    /// Logs that a subscription cannot be read, unless that was done.
    pub(crate) fn tell(&self, id: SubscriptionId, error: &StoreError) {
        if self.is_new(id) {
            tracing::error!(
                subscription.id = %id,
                %error,
                "subscription {id} is damaged and left out everywhere: {error}"
            );
        }
    }

    fn is_new(&self, id: SubscriptionId) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST_TOLD && told.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use tidings_testkit::Entities;

    use super::*;

    #[test]
    fn each_is_told_of_once_and_not_without_end() {
        let told = Told::default();
        let entities = Entities::new(1);
        let ids: Vec<_> = (0..=MOST_TOLD)
            .map(|_| entities.subscription_id())
            .collect();
        let new: Vec<_> = ids.iter().filter(|id| told.is_new(**id)).collect();
        assert_eq!(new.len(), MOST_TOLD);
        assert!(ids.iter().all(|id| !told.is_new(*id)));
    }
}
