//! Tombstones undone, and suspected subscriptions restored or confirmed.

use std::num::NonZeroU32;

use async_trait::async_trait;
use rusqlite::Connection;
use tidings_core::application::ApplicationId;
use tidings_core::batch::Seq;
use tidings_core::clock::Timestamp;
use tidings_core::id::SubscriptionId;
use tidings_core::store::{
    RestoreStore, Restored, StoreError, SubscriptionChange, SuspectPage, SuspectsDecided,
};
use tidings_core::subscription::{SubscriptionState, UserId};

use crate::database::refused;
use crate::housekeeping::execute;
use crate::subscriptions::find;
use crate::subscriptions::user_cap::{Known, becomes_active_for, is_full};
use crate::writer::Queue;
use crate::{Seals, SqliteStore};

#[async_trait]
impl RestoreStore for SqliteStore {
    async fn restore(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        even_ended: bool,
        max_per_user: NonZeroU32,
    ) -> Result<Option<Restored>, StoreError> {
        self.write(Queue::Accept, move |connection, seals| {
            restore(connection, seals, (app, id), even_ended, max_per_user)
        })
        .await
    }

    async fn restore_suspects(
        &self,
        page: SuspectPage,
        max_per_user: NonZeroU32,
    ) -> Result<SuspectsDecided, StoreError> {
        self.write(Queue::Bulk, move |connection, _| {
            decide(connection, &page, |suspect| {
                let app = page.application;
                if is_full(connection, app, suspect.user.as_ref(), max_per_user)? {
                    return Ok(false);
                }
                activate(connection, suspect.id)?;
                Ok(true)
            })
        })
        .await
    }

    async fn confirm_suspects(&self, page: SuspectPage) -> Result<SuspectsDecided, StoreError> {
        self.write(Queue::Bulk, move |connection, _| {
            decide(connection, &page, |suspect| {
                confirm(connection, suspect.id, page.now)?;
                Ok(true)
            })
        })
        .await
    }
}

fn restore(
    connection: &Connection,
    seals: &Seals,
    (app, id): (ApplicationId, SubscriptionId),
    even_ended: bool,
    max_per_user: NonZeroU32,
) -> Result<Option<Restored>, StoreError> {
    let Some(known) = find(connection, seals, app, id)? else {
        return Ok(None);
    };
    if known.state == SubscriptionState::Active {
        return Ok(Some(Restored::Active(Box::new(known))));
    }
    if known.state == SubscriptionState::Ended && !even_ended {
        return Ok(Some(Restored::Ended));
    }
    let nothing_said = SubscriptionChange::default();
    let known = Known::of(&known);
    let user = becomes_active_for(Some(known), &nothing_said, SubscriptionState::Active);
    if is_full(connection, app, user, max_per_user)? {
        return Ok(Some(Restored::TooManyOfUser));
    }
    activate(connection, id)?;
    let restored = find(connection, seals, app, id)?;
    Ok(restored.map(|record| Restored::Active(Box::new(record))))
}

struct Suspect {
    seq: Seq,
    id: SubscriptionId,
    user: Option<UserId>,
}

/// Lets `change` decide about each suspected subscription of a part; it says whether it changed it.
fn decide(
    connection: &Connection,
    page: &SuspectPage,
    change: impl Fn(&Suspect) -> Result<bool, StoreError>,
) -> Result<SuspectsDecided, StoreError> {
    let suspects = suspects(connection, page)?;
    let mut decided = SuspectsDecided::default();
    for suspect in &suspects {
        if change(suspect)? {
            decided.changed += 1;
        } else {
            decided.left += 1;
        }
    }
    if suspects.len() == usize::from(page.limit) {
        decided.next = suspects.last().map(|suspect| suspect.seq);
    }
    Ok(decided)
}

// Index: subscriptions_suspects_by_group.
const SUSPECTS: &str = "-- restore_suspects, confirm_suspects
    SELECT seq, id, user
    FROM subscriptions
    WHERE application_id = ?1
      AND push_service = ?3
      AND state = 'suspect'
      AND seq > ?2
    ORDER BY seq
    LIMIT ?4";

fn suspects(connection: &Connection, page: &SuspectPage) -> Result<Vec<Suspect>, StoreError> {
    let mut statement = connection.prepare_cached(SUSPECTS).map_err(refused)?;
    let values = (
        page.application.as_i64(),
        page.after.as_i64(),
        page.group.as_str(),
        page.limit,
    );
    let rows = statement
        .query_map(values, |row| {
            let user: Option<String> = row.get(2)?;
            Ok(Suspect {
                seq: Seq::from_i64(row.get(0)?),
                id: SubscriptionId::from_bytes(row.get(1)?),
                user: user.and_then(|user| UserId::parse(&user)),
            })
        })
        .map_err(refused)?;
    rows.collect::<Result<_, _>>().map_err(refused)
}

fn activate(connection: &Connection, id: SubscriptionId) -> Result<(), StoreError> {
    let sql = "-- restore, restore_suspects
        UPDATE subscriptions
        SET state = 'active', ended_at = NULL, suspected_at = NULL
        WHERE id = ?1";
    execute(connection, sql, [id.as_bytes()]).map(drop)
}

/// `suspected_at` stays: that is how a tombstone is known to be confirmed, which is final.
fn confirm(connection: &Connection, id: SubscriptionId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "-- confirm_suspects
        UPDATE subscriptions
        SET state = 'gone', ended_at = ?2
        WHERE id = ?1";
    execute(connection, sql, (id.as_bytes(), now.as_millis())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn suspected_ones_are_found_by_their_index() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let steps: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {SUSPECTS}"))
            .unwrap()
            .query_map((1, 0, "fcm", 10), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let index =
            "subscriptions_suspects_by_group (application_id=? AND push_service=? AND seq>?)";
        assert!(steps[0].contains(index), "{steps:?}");
        assert!(
            !steps.iter().any(|step| step.contains("B-TREE")),
            "{steps:?}"
        );
    }
}
