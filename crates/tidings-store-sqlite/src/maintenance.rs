//! Work on a database that no server uses: which sealing keys it needs, and sealing anew.
//!
//! A store that several processes share does the same while they run: all of them have both keys
//! by then, and a value is replaced only where it is still the one that was read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior};
use tidings_core::clock::Timestamp;
use tidings_core::sealing::{Sealer, SealingError, SealingKeyId};
use tidings_core::store::StoreError;
use tidings_webpush::Randomness;

use crate::database::{self, DirectoryLock, OpenError, refused};
use crate::sealed_columns::{self, SealedColumn};

/// Values that one transaction seals anew.
const RESEALED_AT_ONCE: usize = 256;

/// How many values a key has sealed in a table. No key: what is there is no sealed value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUsage {
    /// The table.
    pub table: &'static str,
    /// The key that the values name.
    pub key: Option<SealingKeyId>,
    /// How many values name it.
    pub values: u64,
}

/// Reads which keys the values of a database need. A server may be running.
pub fn read_key_usage(directory: &Path) -> Result<Vec<KeyUsage>, ReadError> {
    let connection = database::open_for_reading(directory)?;
    Ok(key_usage(&connection)?)
}

/// Why a database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be understood.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A database that is held for maintenance: no server can start meanwhile.
#[derive(Debug)]
pub struct Maintenance {
    // First: it closes the database before the hold on the directory ends.
    connection: Connection,
    path: PathBuf,
    _lock: DirectoryLock,
}

impl Maintenance {
    /// Takes hold of a data directory, which must have a database.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while a server runs.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let (lock, connection) = database::open_for_writing(directory, now)?;
        let path = database::file_in(directory);
        database::leave_no_traces(&connection, directory).map_err(|source| OpenError::Sqlite {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            connection,
            path,
            _lock: lock,
        })
    }

    /// Which keys the values need.
    pub fn key_usage(&self) -> Result<Vec<KeyUsage>, StoreError> {
        key_usage(&self.connection)
    }

    /// Whether `sealer` has the key without which no server starts.
    ///
    /// # Errors
    /// [`SealingError::UnknownKey`] if it has not.
    pub fn check_keys(&self, sealer: &Sealer) -> Result<(), StoreError> {
        let secrets = stale(
            &self.connection,
            &sealed_columns::SECRETS,
            &sealed_columns::SECRETS.start,
            sealer.primary(),
        )?;
        for secret in secrets {
            let place = sealed_columns::SECRETS.place(&secret.row);
            if let Err(SealingError::UnknownKey) = sealer.open(place, &secret.sealed) {
                return Err(SealingError::UnknownKey.into());
            }
        }
        Ok(())
    }

    /// Seals every value anew that is not sealed with the first key of `sealer`, then clears what
    /// was there before out of the file.
    ///
    /// Each step is durable before it is reported. It can be broken off at any instant, be it by
    /// SIGKILL, and done again: what is sealed with the first key is left as it is.
    ///
    /// # Errors
    /// Those of [`Self::check_keys`], before anything is changed. Another value that does not open
    /// is no error: it is reported, counted and left as it is.
    pub fn reseal(
        &mut self,
        sealer: &Sealer,
        randomness: &dyn Randomness,
        watch: &mut dyn FnMut(ResealStep) -> ControlFlow<()>,
    ) -> Result<Resealed, ResealError> {
        self.check_keys(sealer)?;
        let mut job = Reseal {
            connection: &mut self.connection,
            sealer,
            randomness,
            watch,
            total: 0,
            done: Resealed::default(),
        };
        job.total = job.count()?;
        if job.all_columns()?.is_break() || (job.watch)(ResealStep::Clearing).is_break() {
            job.done.stopped = true;
            return Ok(job.done);
        }
        let done = job.done;
        self.clear()?;
        Ok(done)
    }

    /// Writes the database anew without what was deleted or replaced in it, and empties its log.
    fn clear(&self) -> Result<(), ResealError> {
        let cleared = empty_log(&self.connection)
            .and_then(|()| self.connection.execute_batch("VACUUM"))
            .and_then(|()| empty_log(&self.connection));
        cleared.map_err(|source| ResealError::NotCleared {
            bytes: std::fs::metadata(&self.path).map_or(0, |file| file.len()),
            source,
        })
    }
}

/// What happened while sealing anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResealStep {
    /// So many values are sealed anew and durable.
    Resealed {
        /// So far.
        done: u64,
        /// How many there were to do.
        total: u64,
    },
    /// A value could not be opened. It is as it was.
    Unreadable {
        /// Its table.
        table: &'static str,
        /// Its row.
        row: String,
        /// The key that it names, if it names one.
        key: Option<SealingKeyId>,
        /// Why.
        error: SealingError,
    },
    /// All is sealed anew; what was there before is about to be cleared out.
    Clearing,
}

/// What came of sealing anew.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Resealed {
    /// Values that are now sealed with the first key, and were not before.
    pub values: u64,
    /// Values that could not be opened.
    pub unreadable: u64,
    /// It was broken off before its end.
    pub stopped: bool,
}

/// Why sealing anew failed. What was reported as done is done.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// All is sealed anew, but the file still holds what was there before.
    #[error(
        "all values are sealed with the new key, but what the old one sealed could not be cleared \
         out of the file ({source}): keep the old key secret, see to it that nothing else reads the \
         database and that the disk has room for two more copies of it ({bytes} bytes each), and \
         run this again"
    )]
    NotCleared {
        /// The size of the database.
        bytes: u64,
        /// Why.
        source: rusqlite::Error,
    },
}

struct Reseal<'a> {
    connection: &'a mut Connection,
    sealer: &'a Sealer,
    randomness: &'a dyn Randomness,
    watch: &'a mut dyn FnMut(ResealStep) -> ControlFlow<()>,
    total: u64,
    done: Resealed,
}

/// A value that is not sealed with the first key.
struct Stale {
    cursor: Value,
    row: Vec<u8>,
    sealed: Vec<u8>,
}

impl Reseal<'_> {
    /// How many values there are to do.
    fn count(&self) -> Result<u64, StoreError> {
        let usage = key_usage(self.connection)?;
        let stale = usage
            .iter()
            .filter(|usage| usage.key != Some(self.sealer.primary()));
        Ok(stale.map(|usage| usage.values).sum())
    }

    fn all_columns(&mut self) -> Result<ControlFlow<()>, StoreError> {
        for column in &sealed_columns::ALL {
            let mut cursor = column.start.clone();
            loop {
                let stale = stale(self.connection, column, &cursor, self.sealer.primary())?;
                let Some(last) = stale.last() else {
                    break;
                };
                cursor = last.cursor.clone();
                if self.step(column, &stale)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Seals these values anew in one transaction, then tells of it.
    fn step(
        &mut self,
        column: &SealedColumn,
        stale: &[Stale],
    ) -> Result<ControlFlow<()>, StoreError> {
        let sql = format!(
            "-- reseal
            UPDATE {}
            SET {} = ?2
            WHERE {} = ?1",
            column.table, column.column, column.cursor
        );
        let mut unreadable = Vec::new();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(refused)?;
        for value in stale {
            let place = column.place(&value.row);
            let plain = match self.sealer.open(place, &value.sealed) {
                Ok(plain) => plain,
                Err(error) => {
                    unreadable.push((value, error));
                    continue;
                }
            };
            let sealed = self.sealer.seal(place, &plain, self.randomness)?;
            transaction
                .prepare_cached(&sql)
                .and_then(|mut statement| statement.execute((&value.cursor, sealed)))
                .map_err(refused)?;
            self.done.values += 1;
        }
        transaction.commit().map_err(refused)?;
        self.done.unreadable += unreadable.len() as u64;
        for (value, error) in unreadable {
            let step = ResealStep::Unreadable {
                table: column.table,
                row: (column.name_of)(&value.row),
                key: SealingKeyId::of_sealed(&value.sealed),
                error,
            };
            if (self.watch)(step).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let (done, total) = (self.done.values, self.total);
        Ok((self.watch)(ResealStep::Resealed { done, total }))
    }
}

/// The next values after a row that another key than `primary` sealed.
fn stale(
    connection: &Connection,
    column: &SealedColumn,
    after: &Value,
    primary: SealingKeyId,
) -> Result<Vec<Stale>, StoreError> {
    let SealedColumn { table, row, .. } = column;
    let (cursor, sealed) = (column.cursor, column.column);
    // Index: the table itself, in its own order.
    let sql = format!(
        "-- reseal
            SELECT {cursor}, {row}, {sealed}
            FROM {table}
            WHERE {cursor} > ?1 AND substr({sealed}, 1, ?2) IS NOT ?3
            ORDER BY {cursor}
            LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
    let mark = primary.mark();
    let rows = statement
        .query_map((after, mark.len(), mark, RESEALED_AT_ONCE), |row| {
            Ok(Stale {
                cursor: row.get(0)?,
                row: row.get_ref(1)?.as_bytes()?.to_vec(),
                sealed: row.get(2)?,
            })
        })
        .map_err(refused)?;
    rows.collect::<Result<_, _>>().map_err(refused)
}

fn key_usage(connection: &Connection) -> Result<Vec<KeyUsage>, StoreError> {
    let mut usage = Vec::new();
    for SealedColumn { table, column, .. } in sealed_columns::ALL {
        // Counted here: SQLite would sort all rows first.
        let sql = format!(
            "-- key_usage
            SELECT substr({column}, 1, ?1)
            FROM {table}"
        );
        let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
        let mut rows = statement
            .query([SealingKeyId::MARK_BYTES])
            .map_err(refused)?;
        let mut counts: BTreeMap<Option<SealingKeyId>, u64> = BTreeMap::new();
        while let Some(row) = rows.next().map_err(refused)? {
            // Too short is no mark, and to SQLite the beginning of nothing is NULL.
            let mark: Option<[u8; SealingKeyId::MARK_BYTES]> = row.get(0).unwrap_or_default();
            let key = mark.and_then(|mark| SealingKeyId::of_sealed(&mark));
            *counts.entry(key).or_default() += 1;
        }
        usage.extend(
            counts
                .into_iter()
                .map(|(key, values)| KeyUsage { table, key, values }),
        );
    }
    Ok(usage)
}

/// Takes what is in the log over into the database, and empties the log.
fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    let is_busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if is_busy {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let reason = "another process is reading the database".to_owned();
        return Err(rusqlite::Error::SqliteFailure(busy, Some(reason)));
    }
    Ok(())
}
