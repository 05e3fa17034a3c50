//! The embedded store shows the behaviour that every store must show.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code: a case fails by panicking"
)]

use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use tidings_core::application::{ApplicationId, ApplicationName};
use tidings_core::sealing::{Sealer, SealingKey};
use tidings_core::store::Store;
use tidings_store_conformance::Harness;
use tidings_store_sqlite::{Options, SqliteStore};
use tidings_testkit::FixedClock;
use tidings_webpush::SystemRandomness;

tidings_store_conformance::conformance_suite!(SqliteHarness);

/// A store in a folder of its own.
struct SqliteHarness {
    // In this order: the store closes its files before their folder goes away.
    store: Option<Arc<dyn Store>>,
    options: Options,
    _directory: TempDir,
}

impl Harness for SqliteHarness {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = SealingKey::generate(&SystemRandomness);
        let options = Options {
            directory: directory.path().to_owned(),
            sealer: Arc::new(Sealer::new(&key, &[]).unwrap()),
            randomness: Arc::new(SystemRandomness),
            now: FixedClock::START,
        };
        let store = Some(open(&options));
        Self {
            store,
            options,
            _directory: directory,
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().expect("the store is open"))
    }

    async fn lose_leases(&mut self) {
        // Claims belong to the process, and each opening is a new one.
        self.reopen().await;
    }

    async fn reopen(&mut self) {
        // The folder is held exclusively until the store is closed.
        self.store = None;
        self.store = Some(open(&self.options));
    }

    async fn add_application(&mut self, name: &ApplicationName) -> ApplicationId {
        let file = Connection::open(self.options.directory.join("tidings.sqlite3")).unwrap();
        let sql = "-- add_application
            INSERT INTO applications (name, created_at)
            VALUES (?1, ?2)
            RETURNING id";
        let values = (name.as_str(), FixedClock::START.as_millis());
        let id = file.query_row(sql, values, |row| row.get(0)).unwrap();
        ApplicationId::from_i64(id)
    }
}

fn open(options: &Options) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(options.clone()).unwrap())
}
