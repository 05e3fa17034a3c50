//! What is left of a store that was closed.

use std::sync::Arc;

use tidings_core::sealing::{Sealer, SealingKey};
use tidings_core::store::VapidKeyStore as _;
use tidings_core::vapid_key::VapidKeyState;
use tidings_store_sqlite::{Options, SqliteStore};
use tidings_testkit::{Entities, FixedClock};
use tidings_webpush::SystemRandomness;

#[tokio::test]
async fn a_closed_store_is_one_database_file() {
    let directory = tempfile::tempdir().unwrap();
    let key = SealingKey::generate(&SystemRandomness);
    let store = SqliteStore::open(Options {
        directory: directory.path().to_owned(),
        sealer: Arc::new(Sealer::new(&key, &[]).unwrap()),
        randomness: Arc::new(SystemRandomness),
        now: FixedClock::START,
    })
    .unwrap();
    let new = Entities::new(1).new_vapid_key(VapidKeyState::Active);
    store.add_vapid_key(new).await.unwrap();
    let log = directory.path().join("tidings.sqlite3-wal");
    assert!(log.metadata().unwrap().len() > 0);
    drop(store);
    assert!(!log.exists(), "the write-ahead log is not folded in");
}
