//! Opening the file: the lock, the pragmas, the schema.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tidings_core::application::{ApplicationId, ApplicationName};
use tidings_core::clock::Timestamp;
use tidings_core::store::StoreError;

const DATABASE_FILE: &str = "tidings.sqlite3";
const LOCK_FILE: &str = "tidings.lock";

/// How long to wait for another process that has the database locked, a backup for example.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// In the order in which they are applied; their number is the schema's version.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_create_the_schema.sql"),
    include_str!("../migrations/0002_add_api_tokens.sql"),
    include_str!("../migrations/0003_count_subscriptions_by_user.sql"),
    include_str!("../migrations/0004_claim_by_application.sql"),
    include_str!("../migrations/0005_suspend_tombstones.sql"),
    include_str!("../migrations/0006_fold_done_messages.sql"),
    include_str!("../migrations/0007_keep_vapid_tokens.sql"),
    include_str!("../migrations/0008_leave_waves_out_of_history.sql"),
    include_str!("../migrations/0009_count_suspects_by_push_service.sql"),
    include_str!("../migrations/0010_know_who_accepted_before.sql"),
    include_str!("../migrations/0011_plan_by_application.sql"),
];

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the data directory.
    #[error(
        "another Tidings process is using {}: stop it, or choose another data directory",
        .0.display()
    )]
    InUse(PathBuf),
    /// A file could not be opened or made.
    #[error("cannot open {}: {source}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file was written by a newer version.
    #[error(
        "the database has schema version {found}, this Tidings knows {known}: use the version that \
         wrote it, or a newer one"
    )]
    Newer {
        /// The file's version.
        found: usize,
        /// The newest version known.
        known: usize,
    },
    /// SQLite refused.
    #[error("cannot use the database {}: {source}", .path.display())]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

pub(crate) fn file_in(directory: &Path) -> PathBuf {
    directory.join(DATABASE_FILE)
}

/// The exclusive hold on a data directory; ends when dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

pub(crate) fn open_for_writing(
    directory: &Path,
    now: Timestamp,
) -> Result<(DirectoryLock, Connection), OpenError> {
    let lock = lock(directory)?;
    let path = file_in(directory);
    let sqlite = |source| OpenError::Sqlite {
        path: path.clone(),
        source,
    };
    let mut connection = Connection::open(&path).map_err(sqlite)?;
    configure(&connection).map_err(sqlite)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(sqlite)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES))
        .and_then(|()| connection.pragma_update(None, "journal_size_limit", LOG_BYTES))
        .and_then(|()| cache(&connection, WRITER_CACHE_KIB))
        .map_err(sqlite)?;
    migrate(&mut connection, now).map_err(|error| match error {
        MigrateError::Newer { found } => OpenError::Newer {
            found,
            known: MIGRATIONS.len(),
        },
        MigrateError::Sqlite(source) => sqlite(source),
    })?;
    begin_epoch(&mut connection).map_err(sqlite)?;
    Ok((lock, connection))
}

pub(crate) fn open_for_reading(directory: &Path) -> Result<Connection, OpenError> {
    let path = file_in(directory);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
        configure(&connection)?;
        cache(&connection, READER_CACHE_KIB)?;
        Ok(connection)
    });
    opened.map_err(|source| OpenError::Sqlite { path, source })
}

/// Lets a connection leave nothing of what it deletes or replaces: not in the file, and not in a
/// folder for temporary files, where `VACUUM` would put a copy of all of it.
pub(crate) fn leave_no_traces(connection: &Connection, directory: &Path) -> rusqlite::Result<()> {
    connection.pragma_update(None, "secure_delete", true)?;
    // In a file, not in memory: the copy is as large as the database.
    connection.pragma_update(None, "temp_store", "FILE")?;
    connection.pragma_update(
        None,
        "temp_store_directory",
        directory.to_string_lossy().as_ref(),
    )
}

fn lock(directory: &Path) -> Result<DirectoryLock, OpenError> {
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(|source| OpenError::File {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path, source }),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Memory of the writer for pages, in KiB. New subscriptions touch the whole index of endpoints, so a
/// smaller one would read and write most of it for every few of them.
const WRITER_CACHE_KIB: i64 = 32 * 1024;

/// Memory of each reader: they walk tables in order, which needs little.
const READER_CACHE_KIB: i64 = 4 * 1024;

/// Pages of the log at which it is taken over into the database: 16 MiB. In larger portions a page
/// that is changed often is written less often; in larger ones still the writer would stand for long.
const CHECKPOINT_PAGES: i64 = 4096;

/// What a log that a long read kept growing is cut to afterwards.
const LOG_BYTES: i64 = 64 * 1024 * 1024;

fn cache(connection: &Connection, kib: i64) -> rusqlite::Result<()> {
    // A negative number is one of KiB.
    connection.pragma_update(None, "cache_size", -kib)
}

enum MigrateError {
    Newer { found: usize },
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for MigrateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), MigrateError> {
    let found: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = MIGRATIONS
        .get(found..)
        .ok_or(MigrateError::Newer { found })?;
    for (migration, version) in missing.iter().zip(found + 1..) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        if version == 1 {
            create_defaults(&transaction, now)?;
        }
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

fn create_defaults(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute("INSERT INTO epochs (id, epoch) VALUES (1, 0)", ())?;
    connection.execute(
        "INSERT INTO applications (id, name, created_at) VALUES (?1, ?2, ?3)",
        (
            ApplicationId::DEFAULT.as_i64(),
            ApplicationName::DEFAULT,
            now.as_millis(),
        ),
    )?;
    Ok(())
}

/// This process is a new epoch: whatever an earlier one had claimed can be claimed again.
fn begin_epoch(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute("UPDATE epochs SET epoch = epoch + 1 WHERE id = 1", ())?;
    // Index: batches_claimed.
    transaction.execute(
        "UPDATE batches
         SET lease_token = NULL, lease_epoch = NULL
         WHERE lease_token IS NOT NULL",
        (),
    )?;
    transaction.commit()
}

/// What a driver's error means to the rest of Tidings.
pub(crate) fn refused(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    // Nothing but damage puts into a strict table what is no such value: an octet that is not UTF-8.
    if matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    ) {
        return StoreError::Unreadable("a column");
    }
    let unavailable = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
        )
    );
    if unavailable {
        StoreError::Unavailable(Box::new(error))
    } else {
        StoreError::Refused(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

    #[test]
    fn one_process_holds_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = open_for_writing(directory.path(), NOW).unwrap();
        let second = open_for_writing(directory.path(), NOW);
        assert!(matches!(second, Err(OpenError::InUse(_))));
        drop(first);
        assert!(open_for_writing(directory.path(), NOW).is_ok());
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (_, connection) = open_for_writing(directory.path(), NOW).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let again = open_for_writing(directory.path(), NOW);
        assert!(matches!(
            again,
            Err(OpenError::Newer { found: 99, known }) if known == MIGRATIONS.len()
        ));
    }

    #[test]
    fn a_database_of_the_first_schema_is_brought_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        let old = Connection::open(file_in(directory.path())).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        create_defaults(&old, NOW).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        let (_lock, connection) = open_for_writing(directory.path(), NOW).unwrap();
        let schema = |connection: &Connection| -> Vec<String> {
            let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map((), |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let fresh = tempfile::tempdir().unwrap();
        let (_fresh_lock, fresh) = open_for_writing(fresh.path(), NOW).unwrap();
        assert_eq!(schema(&connection), schema(&fresh));
        let applications: i64 = connection
            .query_row("SELECT count(*) FROM applications", (), |row| row.get(0))
            .unwrap();
        assert_eq!(applications, 1, "the defaults are created once");
    }

    #[test]
    fn commits_are_durable_and_concurrent_with_reads() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) = open_for_writing(directory.path(), NOW).unwrap();
        let pragma = |name: &str| -> String {
            connection
                .pragma_query_value(None, name, |row| {
                    row.get::<_, rusqlite::types::Value>(0)
                        .map(|value| format!("{value:?}"))
                })
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma("synchronous"), "Integer(2)");
        assert_eq!(pragma("foreign_keys"), "Integer(1)");
    }
}
