//! Sealing anew: nothing is lost, nothing of the old key's remains, whenever it is broken off.

#![expect(
    clippy::unwrap_used,
    reason = "test code: what cannot be made here is a mistake in the test"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tidings_core::application::ApplicationId;
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::mac::MacSecrets;
use tidings_core::message::Audience;
use tidings_core::sealing::{Sealer, SealingError, SealingKey, SealingKeyId};
use tidings_core::store::{
    KeptToken, MessageStore as _, SetupStore as _, SubscriptionStore as _, VapidKeyStore as _,
};
use tidings_core::subscription::SubscriptionState;
use tidings_core::vapid_key::VapidKeyState;
use tidings_store_sqlite::{
    KeyUsage, Maintenance, OpenError, Options, ResealStep, Resealed, SqliteStore, read_key_usage,
    read_vapid_keys,
};
use tidings_testkit::{Entities, FixedClock};
use tidings_webpush::{SystemRandomness, VapidKey};

/// More than two steps, and not a whole number of them.
const SUBSCRIPTIONS: usize = 600;
const MESSAGES: usize = 300;

/// Sealed values of [`World`]: two VAPID keys, a token and three secrets besides.
const VALUES: u64 = (SUBSCRIPTIONS + MESSAGES + 2 + 1 + 3) as u64;

/// A closed database in which something of everything is sealed with `old`.
struct World {
    directory: TempDir,
    old: SealingKey,
    new: SealingKey,
    vapid_key: VapidKeyId,
    subscriptions: Vec<SubscriptionId>,
    messages: Vec<MessageId>,
    /// What readers got with the old key.
    content: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let old = SealingKey::generate(&SystemRandomness);
        let store = open(directory.path(), &[&old]);
        store
            .mac_secrets(MacSecrets::generate(&SystemRandomness))
            .await
            .unwrap();
        let entities = Entities::new(1);
        store
            .add_vapid_key(entities.new_vapid_key(VapidKeyState::Live))
            .await
            .unwrap();
        let active = entities.new_vapid_key(VapidKeyState::Active);
        let vapid_key = store.add_vapid_key(active.clone()).await.unwrap();
        let token = a_token(&active.key, vapid_key.id);
        store.keep_vapid_tokens(vec![token]).await.unwrap();
        let mut subscriptions = Vec::new();
        for _ in 0..SUBSCRIPTIONS {
            let new = entities.new_subscription(vapid_key.id);
            subscriptions.push(new.id);
            store.register(new).await.unwrap();
        }
        let mut messages = Vec::new();
        for _ in 0..MESSAGES {
            let new = entities.new_message(Audience::All);
            messages.push(new.id);
            store.accept(new, None).await.unwrap();
        }
        drop(store);
        let mut world = Self {
            directory,
            new: SealingKey::generate(&SystemRandomness),
            old,
            vapid_key: vapid_key.id,
            subscriptions,
            messages,
            content: Vec::new(),
        };
        world.content = world.read(world.path(), &world.old).await;
        world
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn both(&self) -> Sealer {
        Sealer::new(&self.new, std::slice::from_ref(&self.old)).unwrap()
    }

    /// Everything that was sealed, read with this key alone.
    async fn read(&self, directory: &Path, key: &SealingKey) -> Vec<String> {
        let store = open(directory, &[key]);
        let app = ApplicationId::DEFAULT;
        let mut content = Vec::new();
        for id in &self.subscriptions {
            let found = store.subscription(app, *id).await.unwrap().unwrap();
            let subscription = found.subscription;
            content.push(format!(
                "{} {:?} {:?}",
                subscription.push_resource.expose(),
                subscription.auth.expose(),
                subscription.p256dh.as_bytes(),
            ));
        }
        for id in &self.messages {
            let message = store.message_to_send(*id).await.unwrap().unwrap();
            content.push(format!("{:?}", message.content.to_stored()));
        }
        let sealer = Sealer::new(key, &[]).unwrap();
        for (_, key) in read_vapid_keys(directory, &sealer, app).unwrap() {
            content.push(key.to_raw_base64url().to_string());
        }
        let tokens = store.vapid_tokens(app, self.vapid_key, FixedClock::START);
        let tokens = tokens.await.unwrap();
        assert_eq!(tokens.len(), 1);
        content.push(tokens[0].token.expose().to_owned());
        let made = MacSecrets::generate(&SystemRandomness);
        let secrets = store.mac_secrets(made).await.unwrap();
        content.push(format!(
            "{:?} {:?} {:?}",
            secrets.endpoint, secrets.subscription_token, secrets.receipt_proof
        ));
        content
    }
}

fn a_token(key: &VapidKey, id: VapidKeyId) -> KeptToken {
    let origin = "https://push.example.net".to_owned();
    let expires_at = FixedClock::START.plus(Duration::from_hours(12));
    KeptToken {
        application: ApplicationId::DEFAULT,
        key: id,
        token: key
            .sign(&origin, None, expires_at.to_system_time())
            .unwrap(),
        origin,
        signed_at: FixedClock::START,
    }
}

fn open(directory: &Path, keys: &[&SealingKey]) -> SqliteStore {
    let others: Vec<_> = keys[1..].iter().map(|key| (*key).clone()).collect();
    SqliteStore::open(Options {
        directory: directory.to_owned(),
        sealer: Arc::new(Sealer::new(keys[0], &others).unwrap()),
        randomness: Arc::new(SystemRandomness),
        now: FixedClock::START,
    })
    .unwrap()
}

fn reseal(
    directory: &Path,
    sealer: &Sealer,
    mut watch: impl FnMut(ResealStep) -> ControlFlow<()>,
) -> Resealed {
    Maintenance::open(directory, FixedClock::START)
        .unwrap()
        .reseal(sealer, &SystemRandomness, &mut watch)
        .unwrap()
}

fn go_on(_: ResealStep) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// How many values need each key, in all tables together.
fn needed(usage: &[KeyUsage], key: Option<SealingKeyId>) -> u64 {
    let of_key = usage.iter().filter(|usage| usage.key == key);
    of_key.map(|usage| usage.values).sum()
}

fn database(directory: &Path) -> Connection {
    Connection::open(directory.join("tidings.sqlite3")).unwrap()
}

/// Whether these octets are in any file of the folder.
fn is_in_a_file(directory: &Path, needle: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let content = fs::read(entry.unwrap().path()).unwrap();
        content.windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn afterwards_the_new_key_opens_everything_and_nothing_of_the_old_ones_is_left() {
    let world = World::new().await;
    let old = world.old.id();
    // Something in pages that are free, as the sweep leaves it.
    let file = database(world.path());
    let deleted: Vec<u8> = file
        .query_row(
            "DELETE FROM messages WHERE id = ?1 RETURNING content",
            [world.messages[0].as_bytes()],
            |row| row.get(0),
        )
        .unwrap();
    drop(file);
    assert!(
        is_in_a_file(world.path(), &deleted[21..]),
        "nothing to clear"
    );
    assert!(is_in_a_file(world.path(), &old.mark()));

    let done = reseal(world.path(), &world.both(), go_on);
    let expected = Resealed {
        values: VALUES - 1,
        unreadable: 0,
        stopped: false,
    };
    assert_eq!(done, expected);
    assert!(!is_in_a_file(world.path(), &deleted[21..]));
    // Every sealed value begins with the mark of its key, whichever column it is in.
    assert!(!is_in_a_file(world.path(), &old.mark()));
    assert!(is_in_a_file(world.path(), &world.new.id().mark()));

    let mut world = world;
    world.messages.remove(0);
    world.content.remove(SUBSCRIPTIONS);
    assert_eq!(world.read(world.path(), &world.new).await, world.content);
}

#[tokio::test]
async fn killed_after_any_step_it_is_finished_by_the_next_run() {
    let world = World::new().await;
    let killed = tempfile::tempdir().unwrap();
    let mut kills = Vec::new();
    reseal(world.path(), &world.both(), |step| {
        // What a SIGKILL would leave behind now: the files as they are.
        let left = killed.path().join(kills.len().to_string());
        fs::create_dir(&left).unwrap();
        for entry in fs::read_dir(world.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), left.join(entry.file_name())).unwrap();
        }
        kills.push((left, step));
        ControlFlow::Continue(())
    });
    assert!(kills.len() >= 7, "too few steps: {}", kills.len());
    for (left, step) in kills {
        let before = read_key_usage(&left).unwrap();
        let still = needed(&before, Some(world.old.id()));
        let expected = match step {
            ResealStep::Resealed { done, total } => total - done,
            _ => 0,
        };
        assert_eq!(still, expected, "{step:?} was not durable");
        let rest = reseal(&left, &world.both(), go_on);
        assert_eq!(rest.values, still, "after {step:?}");
        assert!(!is_in_a_file(&left, &world.old.id().mark()), "{step:?}");
        let content = world.read(&left, &world.new).await;
        assert_eq!(content, world.content, "{step:?}");
    }
}

#[tokio::test]
async fn a_damaged_value_is_named_and_keeps_no_other_from_being_sealed_anew() {
    let world = World::new().await;
    let file = database(world.path());
    let (subscription, message) = (world.subscriptions[300], world.messages[7]);
    for (sql, id) in [
        (
            "UPDATE subscriptions SET capability = substr(capability, 1, 40) WHERE id = ?1",
            subscription.as_bytes(),
        ),
        (
            "UPDATE messages SET content = x'' WHERE id = ?1",
            message.as_bytes(),
        ),
    ] {
        assert_eq!(file.execute(sql, [id]).unwrap(), 1);
    }
    drop(file);
    let mut reported = Vec::new();
    let done = reseal(world.path(), &world.both(), |step| {
        if let ResealStep::Unreadable {
            table,
            row,
            key,
            error,
        } = step
        {
            assert_eq!(error, SealingError::Damaged(table));
            reported.push((table, row, key));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(
        reported,
        [
            ("messages", message.to_string(), None),
            (
                "subscriptions",
                subscription.to_string(),
                Some(world.old.id())
            ),
        ]
    );
    assert_eq!((done.values, done.unreadable), (VALUES - 2, 2));
    let usage = read_key_usage(world.path()).unwrap();
    assert_eq!(needed(&usage, Some(world.old.id())), 1);
    assert_eq!(needed(&usage, Some(world.new.id())), VALUES - 2);
    assert_eq!(needed(&usage, None), 1);
}

#[tokio::test]
async fn done_again_it_changes_nothing() {
    let world = World::new().await;
    let values = || -> Vec<Vec<u8>> {
        let file = database(world.path());
        let sql = "SELECT capability FROM subscriptions ORDER BY id";
        let mut statement = file.prepare(sql).unwrap();
        let rows = statement.query_map((), |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    reseal(world.path(), &world.both(), go_on);
    let first = values();
    assert_eq!(
        reseal(world.path(), &world.both(), go_on),
        Resealed::default()
    );
    assert_eq!(values(), first);
}

#[tokio::test]
async fn broken_off_it_says_so_and_both_keys_are_needed() {
    let world = World::new().await;
    let done = reseal(world.path(), &world.both(), |step| match step {
        ResealStep::Resealed { done, .. } if done > 300 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(done.stopped && done.values < VALUES, "{done:?}");
    let usage = read_key_usage(world.path()).unwrap();
    assert_eq!(needed(&usage, Some(world.new.id())), done.values);
    assert_eq!(needed(&usage, Some(world.old.id())), VALUES - done.values);
    // A server with both keys works on meanwhile, and seals with the new one.
    let store = open(world.path(), &[&world.new, &world.old]);
    let id = world.subscriptions[SUBSCRIPTIONS - 1];
    let app = ApplicationId::DEFAULT;
    let found = store.subscription(app, id).await.unwrap().unwrap();
    assert_eq!(found.state, SubscriptionState::Active);
    drop(store);
    // One with the new key only has no secrets to begin with.
    let store = open(world.path(), &[&world.new]);
    let made = MacSecrets::generate(&SystemRandomness);
    let error = store.mac_secrets(made).await.unwrap_err();
    assert!(error.to_string().contains("another sealing key"), "{error}");
}

#[tokio::test]
async fn without_the_old_key_nothing_is_changed() {
    let world = World::new().await;
    let only_new = Sealer::new(&world.new, &[]).unwrap();
    let mut held = Maintenance::open(world.path(), FixedClock::START).unwrap();
    let error = held
        .reseal(&only_new, &SystemRandomness, &mut |step| {
            panic!("it went on: {step:?}")
        })
        .unwrap_err();
    assert!(error.to_string().contains("another sealing key"), "{error}");
    drop(held);
    assert_eq!(world.read(world.path(), &world.old).await, world.content);
}

#[tokio::test]
async fn a_value_of_a_key_that_nobody_has_is_named_with_its_key() {
    let world = World::new().await;
    let lost = SealingKey::generate(&SystemRandomness);
    let row = world.messages[3];
    let changed = database(world.path())
        .execute(
            "UPDATE messages SET content = CAST(?2 || substr(content, 6) AS BLOB) WHERE id = ?1",
            (row.as_bytes(), lost.id().mark()),
        )
        .unwrap();
    assert_eq!(changed, 1);
    let mut reported = Vec::new();
    let done = reseal(world.path(), &world.both(), |step| {
        if let ResealStep::Unreadable { .. } = step {
            reported.push(step);
        }
        ControlFlow::Continue(())
    });
    let expected = ResealStep::Unreadable {
        table: "messages",
        row: row.to_string(),
        key: Some(lost.id()),
        error: SealingError::UnknownKey,
    };
    assert_eq!(reported, [expected]);
    assert_eq!((done.values, done.unreadable), (VALUES - 1, 1));
}

#[tokio::test]
async fn a_server_keeps_others_from_sealing_anew_and_lets_them_count() {
    let world = World::new().await;
    let store = open(world.path(), &[&world.old]);
    let refused = Maintenance::open(world.path(), FixedClock::START).unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    let usage = read_key_usage(world.path()).unwrap();
    assert_eq!(needed(&usage, Some(world.old.id())), VALUES);
    drop(store);
    let held = Maintenance::open(world.path(), FixedClock::START).unwrap();
    assert_eq!(held.key_usage().unwrap(), usage);
    assert!(read_key_usage(world.path()).is_ok());
}

#[tokio::test]
async fn while_something_reads_the_old_values_it_does_not_say_that_they_are_gone() {
    let world = World::new().await;
    let reader = database(world.path());
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM messages")
        .unwrap();
    let mut held = Maintenance::open(world.path(), FixedClock::START).unwrap();
    let error = held
        .reseal(&world.both(), &SystemRandomness, &mut go_on)
        .unwrap_err();
    assert!(error.to_string().contains("keep the old key"), "{error}");
    drop(reader);
    held.reseal(&world.both(), &SystemRandomness, &mut go_on)
        .unwrap();
    drop(held);
    assert!(!is_in_a_file(world.path(), &world.old.id().mark()));
}
