//! Subscriptions: registering, looking at, changing, ending.

mod import;
mod list;
mod registering;
mod restore;
mod row;
mod user_cap;

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _};
use tidings_core::application::ApplicationId;
use tidings_core::batch::Seq;
use tidings_core::clock::Timestamp;
use tidings_core::id::SubscriptionId;
use tidings_core::mac::EndpointHash;
use tidings_core::store::{
    Changed, NewSubscription, PageRequest, Registration, StoreError, SubscriptionChange,
    SubscriptionFilter, SubscriptionPage, SubscriptionStore,
};
use tidings_core::subscription::{Locale, SubscriptionRecord, TimeZoneName, UserId};

use crate::database::refused;
use crate::subscriptions::registering::register;
pub(crate) use crate::subscriptions::row::read_receiver;
use crate::subscriptions::user_cap::{Known, becomes_active_for, is_full};
use crate::writer::Queue;
use crate::{Seals, SqliteStore};

#[async_trait]
impl SubscriptionStore for SqliteStore {
    async fn register(&self, new: NewSubscription) -> Result<Registration, StoreError> {
        self.write(Queue::Accept, move |connection, seals| {
            register(connection, seals, &new)
        })
        .await
    }

    async fn knows_endpoint(
        &self,
        app: ApplicationId,
        endpoint: EndpointHash,
    ) -> Result<bool, StoreError> {
        self.read(move |connection, _| {
            // Index: the unique one on (application_id, endpoint_hash).
            let sql = "-- knows_endpoint
                SELECT 1
                FROM subscriptions
                WHERE application_id = ?1 AND endpoint_hash = ?2";
            let mut statement = connection.prepare_cached(sql).map_err(refused)?;
            statement
                .exists((app.as_i64(), endpoint.as_bytes()))
                .map_err(refused)
        })
        .await
    }

    async fn subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
    ) -> Result<Option<SubscriptionRecord>, StoreError> {
        self.read(move |connection, seals| find(connection, seals, app, id))
            .await
    }

    async fn subscriptions(
        &self,
        app: ApplicationId,
        filter: SubscriptionFilter,
        page: PageRequest<Seq>,
    ) -> Result<SubscriptionPage, StoreError> {
        self.read(move |connection, seals| list::list(connection, seals, app, &filter, page))
            .await
    }

    async fn change_subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        change: SubscriptionChange,
        max_per_user: NonZeroU32,
    ) -> Result<Option<Changed>, StoreError> {
        self.write(Queue::Accept, move |connection, seals| {
            change_subscription(connection, seals, (app, id), &change, max_per_user)
        })
        .await
    }

    async fn end_subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(Queue::Accept, move |connection, _| {
            end(connection, app, id, now)
        })
        .await
    }

    async fn take_test_turn(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        now: Timestamp,
        pause: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        self.write(Queue::Accept, move |connection, _| {
            take_test_turn(connection, app, id, now, pause)
        })
        .await
    }
}

fn change_subscription(
    connection: &Connection,
    seals: &Seals,
    (app, id): (ApplicationId, SubscriptionId),
    change: &SubscriptionChange,
    max_per_user: NonZeroU32,
) -> Result<Option<Changed>, StoreError> {
    let Some(known) = find(connection, seals, app, id)? else {
        return Ok(None);
    };
    let user = becomes_active_for(Some(Known::of(&known)), change, known.state);
    if is_full(connection, app, user, max_per_user)? {
        return Ok(Some(Changed::TooManyOfUser));
    }
    apply(connection, app, id, change)?;
    let changed = find(connection, seals, app, id)?;
    Ok(changed.map(|changed| Changed::Changed(Box::new(changed))))
}

/// What was said, as the columns keep it: nothing where nothing was said.
struct Columns<'a> {
    user: Option<&'a str>,
    attributes: Option<String>,
    locale: Option<&'a str>,
    timezone: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(change: &'a SubscriptionChange) -> Self {
        let attributes = change.attributes.as_ref();
        let attributes = attributes.filter(|attributes| !attributes.is_empty());
        let (user, locale, timezone) = (&change.user, &change.locale, &change.timezone);
        Self {
            user: user.as_ref().and_then(|it| it.as_ref().map(UserId::as_str)),
            attributes: attributes.map(|it| serde_json::Value::Object(it.to_json()).to_string()),
            locale: locale
                .as_ref()
                .and_then(|it| it.as_ref().map(Locale::as_str)),
            timezone: timezone
                .as_ref()
                .and_then(|it| it.as_ref().map(TimeZoneName::as_str)),
        }
    }
}

/// Changes what was said and leaves the rest.
fn apply(
    connection: &Connection,
    app: ApplicationId,
    id: SubscriptionId,
    change: &SubscriptionChange,
) -> Result<(), StoreError> {
    let said = Columns::of(change);
    let sql = "-- change_subscription
        UPDATE subscriptions
        SET user       = CASE WHEN ?3 THEN ?4 ELSE user END,
            attributes = CASE WHEN ?5 THEN ?6 ELSE attributes END,
            locale     = CASE WHEN ?7 THEN ?8 ELSE locale END,
            timezone   = CASE WHEN ?9 THEN ?10 ELSE timezone END
        WHERE id = ?1 AND application_id = ?2";
    let values = (
        id.as_bytes(),
        app.as_i64(),
        change.user.is_some(),
        said.user,
        change.attributes.is_some(),
        said.attributes,
        change.locale.is_some(),
        said.locale,
        change.timezone.is_some(),
        said.timezone,
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(drop)
        .map_err(refused)
}

fn find(
    connection: &Connection,
    seals: &Seals,
    app: ApplicationId,
    id: SubscriptionId,
) -> Result<Option<SubscriptionRecord>, StoreError> {
    // Index: the unique one on id.
    let sql = row::select("subscription", "s.id = ?1 AND s.application_id = ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
    let mut rows = statement
        .query((id.as_bytes(), app.as_i64()))
        .map_err(refused)?;
    rows.next()
        .map_err(refused)?
        .map(|found| row::read(found, seals))
        .transpose()
}

fn end(
    connection: &Connection,
    app: ApplicationId,
    id: SubscriptionId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "-- end_subscription
        UPDATE subscriptions
        SET state = 'ended',
            suspected_at = NULL,
            ended_at = CASE WHEN state = 'ended' THEN ended_at ELSE ?3 END
        WHERE id = ?1 AND application_id = ?2";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((id.as_bytes(), app.as_i64(), now.as_millis())))
        .map(|changed| changed > 0)
        .map_err(refused)
}

fn take_test_turn(
    connection: &Connection,
    app: ApplicationId,
    id: SubscriptionId,
    now: Timestamp,
    pause: Duration,
) -> Result<Option<Duration>, StoreError> {
    let sql = "-- take_test_turn
        SELECT tested_at
        FROM subscriptions
        WHERE id = ?1 AND application_id = ?2";
    let tested_at: Option<i64> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement
                .query_row((id.as_bytes(), app.as_i64()), |row| row.get(0))
                .optional()
        })
        .map_err(refused)?
        .flatten();
    if let Some(tested_at) = tested_at {
        let passed = now.since(Timestamp::from_millis(tested_at));
        // A clock that went back must not lock the page out: only a test in the past counts.
        let in_the_past = tested_at <= now.as_millis();
        if in_the_past && passed < pause {
            return Ok(Some(pause.saturating_sub(passed)));
        }
    }
    let sql = "-- take_test_turn
        UPDATE subscriptions
        SET tested_at = ?3
        WHERE id = ?1 AND application_id = ?2";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((id.as_bytes(), app.as_i64(), now.as_millis())))
        .map_err(refused)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidings_core::sealing::{Sealer, SealingKey};
    use tidings_core::vapid_key::VapidKeyState;
    use tidings_testkit::Entities;
    use tidings_webpush::{PushResource, SystemRandomness};

    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn a_subscription_takes_at_most_600_octets() {
        const ROWS: usize = 5_000;
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let key = SealingKey::generate(&SystemRandomness);
        let seals = Seals {
            sealer: Arc::new(Sealer::new(&key, &[]).unwrap()),
            randomness: Arc::new(SystemRandomness),
            told: Arc::default(),
        };
        let entities = Entities::new(1);
        let vapid_key = entities.new_vapid_key(VapidKeyState::Active);
        let sql = "-- test
            INSERT INTO vapid_keys
                (public_id, application_id, public_key, private_key, state, created_at)
            VALUES (?1, 1, zeroblob(65), x'', 'active', 0)";
        connection.execute(sql, [vapid_key.id.as_bytes()]).unwrap();
        let transaction = connection.unchecked_transaction().unwrap();
        for n in 0..ROWS {
            let mut new = entities.new_subscription(vapid_key.id);
            // As long as those of FCM are.
            let endpoint = format!("https://fcm.googleapis.com/fcm/send/{n:0>152}");
            new.subscription.push_resource = PushResource::parse(&endpoint).unwrap();
            register(&transaction, &seals, &new).unwrap();
        }
        transaction.commit().unwrap();
        let sql = "-- test
            SELECT name, sum(pgsize)
            FROM dbstat
            WHERE name LIKE '%subscriptions%'
            GROUP BY name";
        let mut statement = connection.prepare(sql).unwrap();
        let sizes: Vec<(String, usize)> = statement
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let total: usize = sizes.iter().map(|(_, octets)| octets).sum();
        for (name, octets) in &sizes {
            println!("{name}: {}", octets / ROWS);
        }
        assert!(total / ROWS <= 600, "{} octets: {sizes:?}", total / ROWS);
    }
}
