//! Imports: many registrations, in pieces short enough that nobody waits for them.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use rusqlite::{Connection, Row};
use tidings_core::application::ApplicationId;
use tidings_core::batch::Seq;
use tidings_core::id::SubscriptionId;
use tidings_core::store::{ImportStore, Imported, NewSubscription, StoreError};
use tidings_core::subscription::{SubscriptionState, UserId};
use tidings_webpush::ContentEncoding;

use crate::accepted_before;
use crate::database::refused;
use crate::subscriptions::registering::insert;
use crate::subscriptions::user_cap::{Known, becomes_active_for, is_full};
use crate::subscriptions::{apply, row};
use crate::writer::Queue;
use crate::{Seals, SqliteStore};

/// How many subscriptions one piece of the writer's work registers: about 5 ms, so that a message or
/// an outcome that comes meanwhile is written after less.
const PIECE: usize = 200;

#[async_trait]
impl ImportStore for SqliteStore {
    async fn import(&self, new: Vec<NewSubscription>) -> Result<Vec<Imported>, StoreError> {
        let seals = self.seals.clone();
        // Not on the writer's thread, which everybody waits for, and not on one of the reactor's.
        let sealing = tokio::task::spawn_blocking(move || seal_all(&seals, new));
        let mut sealed = sealing
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))??
            .into_iter();
        let mut pieces = Vec::new();
        loop {
            let piece: Vec<_> = sealed.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            // All at once, in their order: short ones share a transaction.
            pieces.push(self.write(Queue::Bulk, move |connection, seals| {
                let mut seqs = Seqs::default();
                let imported = piece
                    .iter()
                    .map(|sealed| import(connection, seals, &mut seqs, sealed))
                    .collect::<Result<Vec<_>, _>>()?;
                seqs.keep(connection)?;
                Ok(imported)
            }));
        }
        Ok(try_join_all(pieces).await?.concat())
    }
}

/// A subscription with its capability, sealed for the id that it gets if it is new.
struct Sealed {
    new: NewSubscription,
    capability: Vec<u8>,
}

fn seal_all(seals: &Seals, new: Vec<NewSubscription>) -> Result<Vec<Sealed>, StoreError> {
    let seal = |new: NewSubscription| {
        let capability = row::seal_capability(seals, new.id, &new.subscription)?;
        Ok(Sealed { new, capability })
    };
    new.into_iter().map(seal).collect()
}

/// The seqs of what one piece registers: counted up here, kept at the piece's end. A statement for
/// each, which SQLite must be able to undo by itself, costs 7 % of an import.
#[derive(Default)]
struct Seqs {
    last: Option<(ApplicationId, Seq)>,
}

impl Seqs {
    fn next(
        &mut self,
        connection: &Connection,
        application: ApplicationId,
    ) -> Result<Seq, StoreError> {
        let last = match self.last {
            Some((of, last)) if of == application => last,
            _ => {
                self.keep(connection)?;
                last_seq(connection, application)?
            }
        };
        let next = last.plus(1);
        self.last = Some((application, next));
        Ok(next)
    }

    fn keep(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Some((application, last)) = self.last.take() else {
            return Ok(());
        };
        let sql = "-- import
            UPDATE applications
            SET last_seq = ?2
            WHERE id = ?1";
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute((application.as_i64(), last.as_i64())))
            .map(drop)
            .map_err(refused)
    }
}

fn last_seq(connection: &Connection, application: ApplicationId) -> Result<Seq, StoreError> {
    let sql = "-- import
        SELECT last_seq
        FROM applications
        WHERE id = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([application.as_i64()], |row| row.get(0)))
        .map(Seq::from_i64)
        .map_err(refused)
}

struct Found {
    id: SubscriptionId,
    seq: Seq,
    vapid_key: i64,
    state: SubscriptionState,
    user: Option<UserId>,
    has_keys: bool,
}

fn import(
    connection: &Connection,
    seals: &Seals,
    seqs: &mut Seqs,
    Sealed { new, capability }: &Sealed,
) -> Result<Imported, StoreError> {
    let found = match find(connection, seals, new)? {
        Some((id, Err(error))) if error.is_damage() => {
            seals.told.tell(id, &error);
            return Ok(Imported::Damaged(id));
        }
        found => found.map(|(_, found)| found).transpose()?,
    };
    if found.as_ref().is_some_and(|found| !found.has_keys) {
        return Ok(Imported::OtherKeys);
    }
    let known = found.as_ref().map(|found| Known {
        state: found.state,
        user: found.user.as_ref(),
    });
    if let Some(known) = known
        && known.state != SubscriptionState::Active
    {
        return Ok(Imported::NotActive(known.state));
    }
    let user = becomes_active_for(known, &new.change, SubscriptionState::Active);
    if is_full(connection, new.application, user, new.max_per_user)? {
        return Ok(Imported::TooManyOfUser);
    }
    if let Some(found) = found {
        correct(connection, &found, new)?;
        apply(connection, new.application, found.id, &new.change)?;
        return Ok(Imported::Updated);
    }
    let seq = seqs.next(connection, new.application)?;
    insert(connection, seq, new, capability)?;
    Ok(Imported::Created)
}

/// A row of the endpoint, and what is in it.
type Looked = (SubscriptionId, Result<Found, StoreError>);

/// What is known of the endpoint, or why that cannot be read.
fn find(
    connection: &Connection,
    seals: &Seals,
    new: &NewSubscription,
) -> Result<Option<Looked>, StoreError> {
    // Index: the unique one on (application_id, endpoint_hash).
    let sql = "-- import
        SELECT id, state, user, capability, seq, vapid_key_id
        FROM subscriptions
        WHERE application_id = ?1 AND endpoint_hash = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let mut rows = statement
        .query((new.application.as_i64(), new.endpoint_hash.as_bytes()))
        .map_err(refused)?;
    let Some(found) = rows.next().map_err(refused)? else {
        return Ok(None);
    };
    let id = SubscriptionId::from_bytes(found.get(0).map_err(refused)?);
    Ok(Some((id, read(found, seals, id, new))))
}

fn read(
    found: &Row<'_>,
    seals: &Seals,
    id: SubscriptionId,
    new: &NewSubscription,
) -> Result<Found, StoreError> {
    let state = found.get_ref(1).map_err(refused)?.as_str();
    let user: Option<String> = found.get(2).map_err(refused)?;
    let capability = found.get_ref(3).map_err(refused)?.as_blob();
    let capability = capability.map_err(|_| StoreError::Unreadable("subscriptions.capability"))?;
    Ok(Found {
        id,
        seq: Seq::from_i64(found.get(4).map_err(refused)?),
        vapid_key: found.get(5).map_err(refused)?,
        state: state
            .ok()
            .and_then(SubscriptionState::parse)
            .ok_or(StoreError::Unreadable("subscriptions.state"))?,
        user: user.and_then(|user| UserId::parse(&user)),
        has_keys: row::has_keys(seals, id, capability, &new.subscription)?,
    })
}

/// What a file says of a known subscription. That it was seen is not among it: the file may be old.
fn correct(
    connection: &Connection,
    found: &Found,
    new: &NewSubscription,
) -> Result<(), StoreError> {
    let sql = "-- import
        UPDATE subscriptions
        SET encoding = coalesce(?2, encoding),
            vapid_key_id = coalesce(
                (SELECT id FROM vapid_keys WHERE public_id = ?3 AND application_id = ?4),
                vapid_key_id)
        WHERE id = ?1
        RETURNING vapid_key_id";
    let values = (
        found.id.as_bytes(),
        new.encoding.map(ContentEncoding::as_str),
        new.vapid_key.map(|key| *key.as_bytes()),
        new.application.as_i64(),
    );
    let vapid_key: i64 = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(values, |row| row.get(0)))
        .map_err(refused)?;
    if vapid_key != found.vapid_key {
        accepted_before::forget(connection, new.application, found.seq)?;
    }
    Ok(())
}
