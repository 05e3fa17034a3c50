//! The pruning guard: what push services answered, and whom not to bury.

use rusqlite::{Connection, OptionalExtension as _};
use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::id::SubscriptionId;
use tidings_core::pruning::{GoneShare, HISTORY, HOUR, is_wave, slot_of};
use tidings_core::store::{StoreError, SuspectedWave};
use tidings_core::subscription::PushServiceGroup;

use crate::database::refused;
use crate::housekeeping::{ROWS_AT_ONCE, execute};

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
        let Some(wave) = self.wave(connection, now)? else {
            for subscription in gone {
                self.bury(connection, *subscription, now)?;
            }
            return Ok(0);
        };
        let mut suspected = match wave.suspend_from {
            Some(from) => self.suspend_tombstones(connection, from, now)?,
            None => 0,
        };
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
        execute(connection, sql, values).map(drop)
    }

    /// The wave that goes on: by the numbers, or because they said so within the hour. Else it would
    /// come and go with every few answers.
    fn wave(&self, connection: &Connection, now: Timestamp) -> Result<Option<Wave>, StoreError> {
        let hour_ago = now.minus(HOUR);
        let lasting = self
            .last_wave(connection)?
            .filter(|wave| wave.seen_at > hour_ago);
        if let Some(wave) = lasting
            && slot_of(wave.seen_at) == slot_of(now)
        {
            return Ok(lasting);
        }
        let hour = self.share(connection, Slots::All, hour_ago, now)?;
        // The history is read only where it can decide: it is some thousand slots long.
        let unusual = is_wave(hour, NOTHING_GONE) && {
            let history = self.share(
                connection,
                Slots::OutsideWaves,
                now.minus(HISTORY),
                hour_ago,
            )?;
            is_wave(hour, history)
        };
        let wave = match lasting {
            // The clock was set back: seen later than now, it would last until then.
            Some(wave) if unusual || wave.seen_at > now => Wave {
                seen_at: now,
                ..wave
            },
            Some(wave) => wave,
            None if unusual => Wave {
                seen_at: now,
                suspend_from: Some(hour_ago),
            },
            None => return Ok(None),
        };
        self.leave_out_of_history(connection, hour_ago, now)?;
        if lasting != Some(wave) {
            self.keep_wave(connection, wave)?;
        }
        Ok(Some(wave))
    }

    /// What the hour of a wave counted is never what is usual. Else a wave that lasts would be measured
    /// by itself, and in the end be believed.
    fn leave_out_of_history(
        &self,
        connection: &Connection,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        // Index: the primary key.
        let sql = "-- record
            UPDATE answer_slots
            SET in_wave = 1
            WHERE application_id = ?1 AND push_service = ?2 AND starts_at > ?3 AND starts_at <= ?4
              AND in_wave = 0";
        let values = (
            self.application.as_i64(),
            &self.push_service,
            after.as_millis(),
            until.as_millis(),
        );
        execute(connection, sql, values).map(drop)
    }

    /// The answers of the slots that began after `after` and not after `until`.
    fn share(
        &self,
        connection: &Connection,
        slots: Slots,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<GoneShare, StoreError> {
        // Index: the primary key.
        let sql = "-- record
            SELECT coalesce(sum(answers), 0), coalesce(sum(gone), 0)
            FROM answer_slots
            WHERE application_id = ?1 AND push_service = ?2 AND starts_at > ?3 AND starts_at <= ?4
              AND in_wave <= ?5";
        let values = (
            self.application.as_i64(),
            &self.push_service,
            after.as_millis(),
            until.as_millis(),
            matches!(slots, Slots::All),
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

    fn last_wave(&self, connection: &Connection) -> Result<Option<Wave>, StoreError> {
        let sql = "-- record
            SELECT seen_at, suspend_from
            FROM gone_waves
            WHERE application_id = ?1 AND push_service = ?2";
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                let values = (self.application.as_i64(), &self.push_service);
                let wave = statement.query_row(values, |row| {
                    Ok(Wave {
                        seen_at: Timestamp::from_millis(row.get(0)?),
                        suspend_from: row.get::<_, Option<_>>(1)?.map(Timestamp::from_millis),
                    })
                });
                wave.optional()
            })
            .map_err(refused)
    }

    fn keep_wave(&self, connection: &Connection, wave: Wave) -> Result<(), StoreError> {
        let sql = "-- record
            INSERT INTO gone_waves (application_id, push_service, seen_at, suspend_from)
            VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO UPDATE
            SET seen_at = excluded.seen_at,
                suspend_from = excluded.suspend_from";
        let values = (
            self.application.as_i64(),
            &self.push_service,
            wave.seen_at.as_millis(),
            wave.suspend_from.map(Timestamp::as_millis),
        );
        execute(connection, sql, values).map(drop)
    }

    /// Suspends tombstones made from an instant on, some at a time. How many.
    pub(crate) fn suspend_tombstones(
        &self,
        connection: &Connection,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let owner = (self.application.as_i64(), &self.push_service);
        let values = (
            owner.0,
            owner.1,
            now.as_millis(),
            from.as_millis(),
            ROWS_AT_ONCE,
        );
        let suspended = execute(connection, SUSPEND_TOMBSTONES, values)?;
        if suspended < ROWS_AT_ONCE {
            let sql = "-- record, sweep
                UPDATE gone_waves
                SET suspend_from = NULL
                WHERE application_id = ?1 AND push_service = ?2";
            execute(connection, sql, owner)?;
        }
        Ok(u32::try_from(suspended).unwrap_or(u32::MAX))
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
        execute(connection, sql, values).map(drop)
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
        execute(connection, sql, values).map(|changed| u32::from(changed > 0))
    }
}

/// Which slots to sum up.
#[derive(Clone, Copy)]
enum Slots {
    All,
    OutsideWaves,
}

/// A wave that was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wave {
    /// When the numbers said so last, to the slot.
    seen_at: Timestamp,
    /// Tombstones made from then on are still to be suspended.
    suspend_from: Option<Timestamp>,
}

// Index: subscriptions_suspendable. A tombstone with a `suspected_at` was suspect before and then
// confirmed, which is final.
const SUSPEND_TOMBSTONES: &str = "-- record, sweep
    UPDATE subscriptions
    SET state = 'suspect', ended_at = NULL, suspected_at = ?3
    WHERE rowid IN (
        SELECT rowid
        FROM subscriptions
        WHERE application_id = ?1 AND push_service = ?2 AND ended_at >= ?4
          AND state = 'gone' AND suspected_at IS NULL
        LIMIT ?5
    )";

/// The history by which a wave is found most easily.
const NOTHING_GONE: GoneShare = GoneShare {
    answers: u64::MAX,
    gone: 0,
};

/// Suspends some of the tombstones of a wave that still has such. How many; `None` if none has.
pub(crate) fn suspend_some(
    connection: &Connection,
    now: Timestamp,
) -> Result<Option<u32>, StoreError> {
    let sql = "-- sweep
        SELECT application_id, push_service, suspend_from
        FROM gone_waves
        WHERE suspend_from IS NOT NULL
        LIMIT 1";
    let unfinished = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let wave = statement.query_row((), |row| {
                let guarded = Guarded {
                    application: ApplicationId::from_i64(row.get(0)?),
                    push_service: row.get(1)?,
                };
                Ok((guarded, Timestamp::from_millis(row.get(2)?)))
            });
            wave.optional()
        })
        .map_err(refused)?;
    let suspended =
        unfinished.map(|(guarded, from)| guarded.suspend_tombstones(connection, from, now));
    suspended.transpose()
}

// Index: subscriptions_suspects_by_group, which has all that is asked for.
const SUSPECTED_WAVES: &str = "-- suspected_waves
    SELECT application_id, push_service, count(*), min(suspected_at)
    FROM subscriptions
    WHERE state = 'suspect'
    GROUP BY application_id, push_service";

pub(crate) fn suspected_waves(connection: &Connection) -> Result<Vec<SuspectedWave>, StoreError> {
    let mut statement = connection
        .prepare_cached(SUSPECTED_WAVES)
        .map_err(refused)?;
    let rows = statement
        .query_map((), |row| {
            Ok(SuspectedWave {
                application: ApplicationId::from_i64(row.get(0)?),
                group: PushServiceGroup::from_stored(row.get_ref(1)?.as_str()?),
                subscriptions: row.get(2)?,
                since: Timestamp::from_millis(row.get(3)?),
            })
        })
        .map_err(refused)?;
    rows.collect::<Result<_, _>>().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn suspects_are_counted_without_the_table() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let steps: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {SUSPECTED_WAVES}"))
            .unwrap()
            .query_map((), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(steps.len(), 1, "{steps:?}");
        let index = "INDEX subscriptions_suspects_by_group";
        assert!(steps[0].contains(index), "{steps:?}");
    }

    #[test]
    fn tombstones_of_a_wave_are_found_by_when_they_ended() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let steps: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {SUSPEND_TOMBSTONES}"))
            .unwrap()
            .query_map((1, "fcm", 2, 1, ROWS_AT_ONCE), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let index =
            "subscriptions_suspendable (application_id=? AND push_service=? AND ended_at>?)";
        assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
    }
}
