//! The pruning guard: what push services answered, and whom not to bury.

use rusqlite::{Connection, OptionalExtension as _};
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::SubscriptionId;
use tidings_core::pruning::{GoneShare, HISTORY, HOUR, is_wave, slot_of};
use tidings_core::store::{StoreError, SuspectedWave};
use tidings_core::subscription::PushServiceGroup;

use crate::database::refused;

/// Tombstones that one recording suspends: a wave can come after many of them.
const SUSPENDED_AT_ONCE: u32 = 500;

/// Whose answers are counted together. An application's own keys, pages and imports make a wave, so
/// it is neither hidden by the answers of a larger one nor spread to others.
pub(crate) struct Guarded {
    pub(crate) application: ApplicationId,
    pub(crate) push_service: String,
}

impl Guarded {
    /// Counts answers and ends the subscriptions that are gone: as tombstones, or in a wave as
    /// suspects. How many became suspect.
    pub(crate) fn record(
        &self,
        connection: &Connection,
        answers: u64,
        gone: &[SubscriptionId],
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        if answers > 0 {
            self.count(connection, answers, gone.len(), now)?;
        }
        if gone.is_empty() {
            return Ok(0);
        }
        if !self.in_wave(connection, now)? {
            for subscription in gone {
                self.bury(connection, *subscription, now)?;
            }
            return Ok(0);
        }
        let mut suspected = self.suspend_tombstones(connection, now)?;
        for subscription in gone {
            suspected += self.suspect(connection, *subscription, now)?;
        }
        Ok(suspected)
    }

    fn count(
        &self,
        connection: &Connection,
        answers: u64,
        gone: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "-- record
            INSERT INTO answer_slots (application_id, push_service, starts_at, answers, gone)
            VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT DO UPDATE
            SET answers = answers + excluded.answers,
                gone = gone + excluded.gone";
        let values = (
            self.application.as_i64(),
            &self.push_service,
            slot_of(now).as_millis(),
            answers,
            gone as u64,
        );
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map(drop)
            .map_err(refused)
    }

    /// Whether there is a wave: by the numbers, or because there was one within the hour. Else it
    /// would come and go with every few answers.
    fn in_wave(&self, connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
        let hour_ago = now.minus(HOUR);
        let lasting = self.seen_at(connection)?.filter(|seen| *seen > hour_ago);
        let hour = self.share(connection, hour_ago, now)?;
        // The history is read only where it can decide: it is some thousand slots long.
        let unusual = is_wave(hour, NOTHING_GONE) && {
            let history = self.share(connection, now.minus(HISTORY), hour_ago)?;
            is_wave(hour, history)
        };
        if unusual {
            self.keep_wave(connection, now, lasting.is_none())?;
        }
        Ok(unusual || lasting.is_some())
    }

    /// The answers of the slots that began after `after` and not after `until`.
    fn share(
        &self,
        connection: &Connection,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<GoneShare, StoreError> {
        // Index: the primary key.
        let sql = "-- record
            SELECT coalesce(sum(answers), 0), coalesce(sum(gone), 0)
            FROM answer_slots
            WHERE application_id = ?1 AND push_service = ?2 AND starts_at > ?3 AND starts_at <= ?4";
        let values = (
            self.application.as_i64(),
            &self.push_service,
            after.as_millis(),
            until.as_millis(),
        );
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                statement.query_row(values, |row| {
                    Ok(GoneShare {
                        answers: row.get(0)?,
                        gone: row.get(1)?,
                    })
                })
            })
            .map_err(refused)
    }

    fn seen_at(&self, connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
        let sql = "-- record
            SELECT seen_at
            FROM gone_waves
            WHERE application_id = ?1 AND push_service = ?2";
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                let values = (self.application.as_i64(), &self.push_service);
                statement.query_row(values, |row| row.get(0)).optional()
            })
            .map(|seen| seen.map(Timestamp::from_millis))
            .map_err(refused)
    }

    fn keep_wave(
        &self,
        connection: &Connection,
        now: Timestamp,
        is_new: bool,
    ) -> Result<(), StoreError> {
        let sql = "-- record
            INSERT INTO gone_waves (application_id, push_service, seen_at, suspend_from)
            VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO UPDATE
            SET seen_at = excluded.seen_at,
                suspend_from = coalesce(excluded.suspend_from, suspend_from)";
        let values = (
            self.application.as_i64(),
            &self.push_service,
            now.as_millis(),
            is_new.then(|| now.minus(HOUR).as_millis()),
        );
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map(drop)
            .map_err(refused)
    }

    /// Suspends tombstones made in the hour before the wave, some at a time. How many.
    pub(crate) fn suspend_tombstones(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        // Index: subscriptions_tombstones; the plus keeps SQLite from walking the whole application.
        let sql = "-- record
            UPDATE subscriptions
            SET state = 'suspect', ended_at = NULL, suspected_at = ?3
            WHERE rowid IN (
                SELECT s.rowid
                FROM gone_waves w
                CROSS JOIN subscriptions s
                    ON s.ended_at >= w.suspend_from AND +s.application_id = w.application_id
                    AND s.push_service = w.push_service AND s.state = 'gone'
                WHERE w.application_id = ?1 AND w.push_service = ?2
                LIMIT ?4
            )";
        let owner = (self.application.as_i64(), &self.push_service);
        let suspended = connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                statement.execute((owner.0, owner.1, now.as_millis(), SUSPENDED_AT_ONCE))
            })
            .map_err(refused)?;
        let suspended = u32::try_from(suspended).unwrap_or(u32::MAX);
        if suspended < SUSPENDED_AT_ONCE {
            let sql = "-- record
                UPDATE gone_waves
                SET suspend_from = NULL
                WHERE application_id = ?1 AND push_service = ?2 AND suspend_from IS NOT NULL";
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute(owner))
                .map_err(refused)?;
        }
        Ok(suspended)
    }

    fn bury(
        &self,
        connection: &Connection,
        id: SubscriptionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "-- record
            UPDATE subscriptions
            SET state = 'gone', ended_at = ?3, suspected_at = NULL
            WHERE id = ?1 AND application_id = ?2 AND state IN ('active', 'suspect')";
        let values = (id.as_bytes(), self.application.as_i64(), now.as_millis());
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map(drop)
            .map_err(refused)
    }

    /// 1 if it was active until now.
    fn suspect(
        &self,
        connection: &Connection,
        id: SubscriptionId,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let sql = "-- record
            UPDATE subscriptions
            SET state = 'suspect', suspected_at = ?3
            WHERE id = ?1 AND application_id = ?2 AND state = 'active'";
        let values = (id.as_bytes(), self.application.as_i64(), now.as_millis());
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map(|changed| u32::from(changed > 0))
            .map_err(refused)
    }
}

/// The history by which a wave is found most easily.
const NOTHING_GONE: GoneShare = GoneShare {
    answers: u64::MAX,
    gone: 0,
};

/// Where tombstones of a wave are still to be suspended.
pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<Guarded>, StoreError> {
    let sql = "-- sweep
        SELECT application_id, push_service
        FROM gone_waves
        WHERE suspend_from IS NOT NULL";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let rows = statement
        .query_map((), |row| {
            Ok(Guarded {
                application: ApplicationId::from_i64(row.get(0)?),
                push_service: row.get(1)?,
            })
        })
        .map_err(refused)?;
    rows.collect::<Result<_, _>>().map_err(refused)
}

pub(crate) fn suspected_waves(connection: &Connection) -> Result<Vec<SuspectedWave>, StoreError> {
    // Index: subscriptions_suspects, which has all that is asked for.
    let sql = "-- suspected_waves
        SELECT application_id, push_service, count(*), min(suspected_at)
        FROM subscriptions
        WHERE state = 'suspect'
        GROUP BY application_id, push_service";
    let mut statement = connection.prepare_cached(sql).map_err(refused)?;
    let rows = statement
        .query_map((), |row| {
            Ok(SuspectedWave {
                application: ApplicationId::from_i64(row.get(0)?),
                group: PushServiceGroup::from_stored(row.get(1)?),
                subscriptions: row.get(2)?,
                since: Timestamp::from_millis(row.get(3)?),
            })
        })
        .map_err(refused)?;
    rows.collect::<Result<_, _>>().map_err(refused)
}
