//! Registering: one that nobody knew, or that is shown again.

use rusqlite::Connection;
use tidings_core::application::ApplicationId;
use tidings_core::batch::Seq;
use tidings_core::id::SubscriptionId;
use tidings_core::store::{NewSubscription, Registration, StoreError, SubscriptionChange};
use tidings_core::subscription::{PushServiceGroup, SubscriptionRecord, SubscriptionState};
use tidings_webpush::ContentEncoding;

use crate::Seals;
use crate::accepted_before;
use crate::database::refused;
use crate::subscriptions::user_cap::{Known, becomes_active_for, is_full};
use crate::subscriptions::{Columns, apply, find, row};

pub(super) fn register(
    connection: &Connection,
    seals: &Seals,
    new: &NewSubscription,
) -> Result<Registration, StoreError> {
    // Index: the unique one on (application_id, endpoint_hash).
    let sql = row::select("register", "s.application_id = ?1 AND s.endpoint_hash = ?2");
    let known = {
        let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
        let mut rows = statement
            .query((new.application.as_i64(), new.endpoint_hash.as_bytes()))
            .map_err(refused)?;
        rows.next()
            .map_err(refused)?
            .map(|found| row::read(found, seals))
            .transpose()?
    };
    let same_keys = known.as_ref().is_none_or(|known| {
        known.subscription.p256dh == new.subscription.p256dh
            && known.subscription.auth.ct_eq(&new.subscription.auth)
    });
    if !same_keys {
        return Ok(Registration::OtherKeys);
    }
    let change = said_of(known.as_ref(), &new.change);
    let before = known.as_ref().map(Known::of);
    let user = becomes_active_for(before, &change, SubscriptionState::Active);
    if is_full(connection, new.application, user, new.max_per_user)? {
        return Ok(Registration::TooManyOfUser);
    }
    let Some(known) = known else {
        let capability = row::seal_capability(seals, new.id, &new.subscription)?;
        let seq = next_seq(connection, new.application)?;
        insert(connection, seq, new, &capability)?;
        let created = find(connection, seals, new.application, new.id)?;
        return created
            .map(Registration::Created)
            .ok_or(StoreError::Unreadable("subscriptions"));
    };
    see_again(connection, known.id, new)?;
    apply(connection, new.application, known.id, &change)?;
    let updated = find(connection, seals, new.application, known.id)?;
    let has_other_key =
        |updated: &SubscriptionRecord| updated.details.vapid_key != known.details.vapid_key;
    if updated.as_ref().is_some_and(has_other_key) {
        accepted_before::forget(connection, new.application, known.seq)?;
    }
    updated
        .map(Registration::Updated)
        .ok_or(StoreError::Unreadable("subscriptions"))
}

fn next_seq(connection: &Connection, application: ApplicationId) -> Result<Seq, StoreError> {
    let sql = "-- register
        UPDATE applications
        SET last_seq = last_seq + 1
        WHERE id = ?1
        RETURNING last_seq";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([application.as_i64()], |row| row.get(0)))
        .map(Seq::from_i64)
        .map_err(refused)
}

pub(super) fn insert(
    connection: &Connection,
    seq: Seq,
    new: &NewSubscription,
    capability: &[u8],
) -> Result<(), StoreError> {
    let sql = "-- register, import
        INSERT INTO subscriptions
            (application_id, seq, id, endpoint_hash, capability, push_service, vapid_key_id,
             encoding, state, created_at, last_seen_at, user, attributes, locale, timezone)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                (SELECT id FROM vapid_keys WHERE public_id = ?7 AND application_id = ?1),
                ?8, 'active', ?9, ?10, ?11, ?12, ?13, ?14)";
    let said = Columns::of(&new.change);
    let values = (
        new.application.as_i64(),
        seq.as_i64(),
        new.id.as_bytes(),
        new.endpoint_hash.as_bytes(),
        capability,
        PushServiceGroup::of(&new.subscription.push_resource)
            .as_str()
            .to_owned(),
        new.vapid_key
            .unwrap_or(new.default_vapid_key)
            .as_bytes()
            .to_owned(),
        new.encoding.unwrap_or(ContentEncoding::Aes128gcm).as_str(),
        new.now.as_millis(),
        new.seen_at.unwrap_or(new.now).min(new.now).as_millis(),
        said.user,
        said.attributes,
        said.locale,
        said.timezone,
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(drop)
        .map_err(refused)
}

/// A known subscription was shown again: it is alive, whatever we thought.
fn see_again(
    connection: &Connection,
    id: SubscriptionId,
    new: &NewSubscription,
) -> Result<(), StoreError> {
    let sql = "-- register
        UPDATE subscriptions
        SET state = 'active',
            ended_at = NULL,
            suspected_at = NULL,
            last_seen_at = ?2,
            encoding = coalesce(?3, encoding),
            vapid_key_id = coalesce(
                (SELECT id FROM vapid_keys WHERE public_id = ?4 AND application_id = ?5),
                vapid_key_id)
        WHERE id = ?1";
    let values = (
        id.as_bytes(),
        new.now.as_millis(),
        new.encoding.map(ContentEncoding::as_str),
        new.vapid_key.map(|key| *key.as_bytes()),
        new.application.as_i64(),
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map(drop)
        .map_err(refused)
}

/// What becomes of what was said. One that was ended, by its page or by the back end, comes back like
/// a new one: nobody's, and without attributes, until those are said again.
fn said_of(known: Option<&SubscriptionRecord>, said: &SubscriptionChange) -> SubscriptionChange {
    let mut change = said.clone();
    if known.is_some_and(|known| known.state == SubscriptionState::Ended) {
        change.user.get_or_insert(None);
        change.attributes.get_or_insert_default();
    }
    change
}
