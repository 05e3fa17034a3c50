//! How many active subscriptions a person may have.

use std::num::NonZeroU32;

use rusqlite::Connection;
use tidings_core::application::ApplicationId;
use tidings_core::store::{StoreError, SubscriptionChange};
use tidings_core::subscription::{SubscriptionRecord, SubscriptionState, UserId};

use crate::database::refused;

/// What the cap by person needs to know of a subscription.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) state: SubscriptionState,
    pub(super) user: Option<&'a UserId>,
}

impl<'a> Known<'a> {
    pub(super) fn of(record: &'a SubscriptionRecord) -> Self {
        Self {
            state: record.state,
            user: record.details.user.as_ref(),
        }
    }
}

/// The person who gets one more active subscription, if anybody does.
pub(super) fn becomes_active_for<'a>(
    known: Option<Known<'a>>,
    change: &'a SubscriptionChange,
    becomes: SubscriptionState,
) -> Option<&'a UserId> {
    let had = known.and_then(|known| known.user);
    let gets = change.user.as_ref().map_or(had, Option::as_ref);
    let is_active = known.is_some_and(|known| known.state == SubscriptionState::Active);
    let counts_already = is_active && had == gets;
    gets.filter(|_| becomes == SubscriptionState::Active && !counts_already)
}

/// Whether the person has as many active subscriptions as are allowed. In the transaction that
/// adds one: of two at once the second sees the first.
pub(super) fn is_full(
    connection: &Connection,
    app: ApplicationId,
    user: Option<&UserId>,
    max_per_user: NonZeroU32,
) -> Result<bool, StoreError> {
    let Some(user) = user else {
        return Ok(false);
    };
    let active: u32 = connection
        .prepare_cached(COUNT_OF_USER)
        .and_then(|mut statement| {
            statement.query_row((app.as_i64(), user.as_str(), max_per_user.get()), |row| {
                row.get(0)
            })
        })
        .map_err(refused)?;
    Ok(active >= max_per_user.get())
}

// Index: subscriptions_active_by_user. By it alone: a person's tombstones are not walked.
const COUNT_OF_USER: &str = "-- register, change_subscription
    SELECT count(*)
    FROM (
        SELECT 1
        FROM subscriptions
        WHERE application_id = ?1 AND user = ?2 AND state = 'active'
        LIMIT ?3
    )";

#[cfg(test)]
mod tests {
    use tidings_core::clock::Timestamp;

    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn a_persons_active_subscriptions_are_counted_by_their_index_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let steps: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {COUNT_OF_USER}"))
            .unwrap()
            .query_map((1, "u", 50), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let index = "COVERING INDEX subscriptions_active_by_user (application_id=? AND user=?)";
        assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
    }
}
