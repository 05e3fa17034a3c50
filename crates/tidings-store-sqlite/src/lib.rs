//! The embedded store: one SQLite file, one writer, many readers, one process.
//!
//! What SQL Tidings has for SQLite is in this crate. Reads run on a few read-only connections;
//! all writes go through one thread that groups them into transactions (`writer.rs`). A write is
//! answered after its transaction is durable (`synchronous=FULL`).

mod accepted_before;
mod api_tokens;
mod batches;
mod clock_jump;
mod damage;
mod damaged_batches;
mod database;
mod folding;
mod housekeeping;
mod loading;
mod maintenance;
mod messages;
mod next_plans;
mod outcomes;
mod plans;
mod pruning;
mod readers;
mod receipts;
mod sealed_columns;
mod setup;
mod subscriptions;
mod vapid_keys;
mod vapid_tokens;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidings_core::application::ApplicationId;
use tidings_core::clock::Timestamp;
use tidings_core::sealing::Sealer;
use tidings_core::store::StoreError;
use tidings_core::vapid_key::VapidKeyRecord;
use tidings_webpush::{Randomness, VapidKey};

use crate::damage::Told;
pub use crate::database::OpenError;
pub use crate::maintenance::{
    KeyUsage, Maintenance, ReadError, ResealError, ResealStep, Resealed, read_key_usage,
};
use crate::readers::Readers;
use crate::writer::{Queue, Writer};

/// What a store needs to open its file.
#[derive(Clone)]
pub struct Options {
    /// The folder of the database and its lock. It must exist.
    pub directory: PathBuf,
    /// Seals secrets at rest.
    pub sealer: Arc<Sealer>,
    /// Makes nonces.
    pub randomness: Arc<dyn Randomness>,
    /// The present, for what is made when the file is.
    pub now: Timestamp,
}

/// Tidings' store in one SQLite file.
pub struct SqliteStore {
    // Before the writer, so that the writer's connection is the last to be closed: that one folds
    // the write-ahead log into the database file, which a read-only one cannot.
    readers: Readers,
    writer: Writer,
    seals: Seals,
}

/// What is needed to seal and open secrets in rows.
#[derive(Clone)]
pub(crate) struct Seals {
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) randomness: Arc<dyn Randomness>,
    /// Of what could not be opened.
    pub(crate) told: Arc<Told>,
}

impl SqliteStore {
    /// Opens the database, or makes it. One process can hold it at a time; claims on batches that
    /// an earlier process left behind are void.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (lock, write_connection) = database::open_for_writing(&options.directory, options.now)?;
        let readers = Readers::open(&options.directory)?;
        let writer = Writer::start(write_connection, lock)?;
        let seals = Seals {
            sealer: options.sealer,
            randomness: options.randomness,
            told: Arc::default(),
        };
        Ok(Self {
            readers,
            writer,
            seals,
        })
    }

    async fn write<T, F>(&self, queue: Queue, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection, &Seals) -> Result<T, StoreError> + Send + 'static,
    {
        let seals = self.seals.clone();
        self.writer
            .run(queue, move |connection| work(connection, &seals))
            .await
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection, &Seals) -> Result<T, StoreError> + Send + 'static,
    {
        let seals = self.seals.clone();
        self.readers
            .run(move |connection| work(connection, &seals))
            .await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore")
    }
}

/// Whether a folder holds a database of Tidings.
pub fn exists(directory: &Path) -> bool {
    database::file_in(directory).is_file()
}

/// Reads the VAPID keys of an application without holding the directory: a server may be running.
pub fn read_vapid_keys(
    directory: &Path,
    sealer: &Sealer,
    application: ApplicationId,
) -> Result<Vec<(VapidKeyRecord, VapidKey)>, ReadError> {
    let connection = database::open_for_reading(directory)?;
    Ok(vapid_keys::read_pairs(&connection, sealer, application)?)
}
