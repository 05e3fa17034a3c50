//! A damaged row: what it must not take with it.

#![expect(clippy::unwrap_used, reason = "test code: a case fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tidings_core::application::ApplicationId;
use tidings_core::batch::{Lane, NewBatch, Position, Selection, Seq};
use tidings_core::delivery::{Outcome, OutcomeKind};
use tidings_core::message::{Audience, MessageState};
use tidings_core::sealing::{Sealer, SealingKey};
use tidings_core::store::{
    BatchStore as _, Claim, ImportStore as _, Imported, MessageStore as _, PageRequest, PassTimes,
    PlanRound, PlannedStep, SubscriptionFilter, SubscriptionStore as _, VapidKeyStore as _,
};
use tidings_core::subscription::PushServiceGroup;
use tidings_core::vapid_key::VapidKeyState;
use tidings_store_sqlite::{Options, SqliteStore};
use tidings_testkit::{Entities, FixedClock};
use tidings_webpush::{PushService, SystemRandomness};

fn open(directory: &Path) -> SqliteStore {
    let key = SealingKey::generate(&SystemRandomness);
    SqliteStore::open(Options {
        directory: directory.to_owned(),
        sealer: Arc::new(Sealer::new(&key, &[]).unwrap()),
        randomness: Arc::new(SystemRandomness),
        now: FixedClock::START,
    })
    .unwrap()
}

async fn subscribe_three(store: &SqliteStore, entities: &Entities) {
    let vapid_key = store
        .add_vapid_key(entities.new_vapid_key(VapidKeyState::Active))
        .await
        .unwrap();
    for _ in 0..3 {
        let new = entities.new_subscription(vapid_key.id);
        store.register(new).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_audience_keeps_no_other_message_from_its_turn() {
    let to_few = Audience::Listed {
        subscriptions: vec![],
        users: vec![],
    };
    for (audience, text) in [
        (Audience::All, "'{}'"),
        (to_few.clone(), "'{}'"),
        (Audience::All, "CAST(x'ff' AS TEXT)"),
        (to_few, "CAST(x'ff' AS TEXT)"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let entities = Entities::new(1);
        for _ in 0..2 {
            let message = entities.new_message(audience.clone());
            store.accept(message, None).await.unwrap();
        }
        let now = entities.now();
        let round = PlanRound {
            now,
            after: ApplicationId::DEFAULT,
            direct: 8,
            bulk: 8,
        };
        let damaged = store.next_plans(round).await.unwrap()[0].message;
        let file = Connection::open(directory.path().join("tidings.sqlite3")).unwrap();
        file.pragma_update(None, "ignore_check_constraints", true)
            .unwrap();
        let sql = format!("UPDATE messages SET audience = {text} WHERE id = ?1");
        assert_eq!(file.execute(&sql, [damaged.as_bytes()]).unwrap(), 1);

        let plans = store.next_plans(round).await.unwrap();

        assert_eq!(plans.len(), 1);
        assert_ne!(plans[0].message, damaged);
        let message = store.message(ApplicationId::DEFAULT, damaged).await;
        let message = message.unwrap().unwrap();
        assert_eq!(message.state, MessageState::Failed);
        assert_eq!(message.done_at, Some(now));
    }
}

#[tokio::test]
async fn a_subscription_at_no_known_push_service_is_planned_like_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let entities = Entities::new(1);
    subscribe_three(&store, &entities).await;
    let message = entities.new_message(Audience::All);
    store.accept(message, None).await.unwrap();
    let round = PlanRound {
        now: entities.now(),
        after: ApplicationId::DEFAULT,
        direct: 8,
        bulk: 8,
    };
    let plan = store.next_plans(round).await.unwrap().remove(0);
    let file = Connection::open(directory.path().join("tidings.sqlite3")).unwrap();
    let sql = "UPDATE subscriptions SET push_service = CAST(x'ff' AS TEXT) WHERE seq = 2";
    assert_eq!(file.execute(sql, ()).unwrap(), 1);

    let members = store.audience(&plan, plan.cutoff, 10).await.unwrap();

    let groups: Vec<_> = members.iter().map(|member| member.group.as_str()).collect();
    assert_eq!(groups, ["mozilla", "other", "mozilla"]);
}

#[tokio::test]
async fn a_damaged_subscription_keeps_nobody_else_from_getting_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let entities = Entities::new(1);
    subscribe_three(&store, &entities).await;
    let message = entities.new_message(Audience::All);
    let (id, now) = (message.id, entities.now());
    store.accept(message, None).await.unwrap();
    let group = PushServiceGroup::of_service(PushService::Mozilla);
    let batch = NewBatch {
        group: group.clone(),
        due_at: now,
        selection: Selection::Members((1..=3).map(Seq::from_i64).collect()),
    };
    let step = PlannedStep {
        message: id,
        from: Seq::ZERO,
        to: Seq::from_i64(3),
        batches: vec![batch],
        complete: true,
        now,
    };
    store.add_planned(step).await.unwrap().unwrap();
    let claim = Claim {
        application: ApplicationId::DEFAULT,
        group,
        lane: Lane::Bulk,
        limit: 1,
        token: [1; 16],
        now,
    };
    let leased = store.claim_due(claim).await.unwrap().remove(0);

    let file = Connection::open(directory.path().join("tidings.sqlite3")).unwrap();
    file.pragma_update(None, "ignore_check_constraints", true)
        .unwrap();
    for sql in [
        "UPDATE subscriptions SET encoding = 'ces128gcm' WHERE seq = 2",
        "UPDATE subscriptions SET encoding = CAST(x'ff' AS TEXT) WHERE seq = 2",
        "UPDATE subscriptions SET encoding = 'aes128gcm', capability = substr(capability, 1, 40)
         WHERE seq = 2",
    ] {
        assert_eq!(file.execute(sql, ()).unwrap(), 1);
        let positions = (0..3).map(Position).collect();
        let loaded = store.load_members(&leased.batch, positions, now).await;
        let loaded = loaded.unwrap();
        let can_be_sent_to: Vec<bool> = loaded.turn.iter().map(|m| m.target.is_some()).collect();
        assert_eq!(can_be_sent_to, [true, false, true], "{sql}");
    }
}

#[tokio::test]
async fn a_damaged_batch_is_closed_and_keeps_no_other_from_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let entities = Entities::new(1);
    let message = entities.new_message(Audience::All);
    let (id, now) = (message.id, entities.now());
    store.accept(message, None).await.unwrap();
    let group = PushServiceGroup::of_service(PushService::Mozilla);
    let batch = |seqs: std::ops::RangeInclusive<i64>| NewBatch {
        group: group.clone(),
        due_at: now,
        selection: Selection::Members(seqs.map(Seq::from_i64).collect()),
    };
    let step = PlannedStep {
        message: id,
        from: Seq::ZERO,
        to: Seq::ZERO,
        batches: vec![batch(1..=3), batch(4..=5)],
        complete: true,
        now,
    };
    let added = store.add_planned(step).await.unwrap().unwrap();
    let file = Connection::open(directory.path().join("tidings.sqlite3")).unwrap();
    // A bit behind the last.
    let sql = "UPDATE batches SET settled = x'08', accepted = 1, retrying = 1 WHERE id = ?1";
    assert_eq!(file.execute(sql, [added[0].as_i64()]).unwrap(), 1);
    let sql =
        "INSERT INTO deliveries (batch_id, position, state, attempts, next_attempt_at, updated_at)
               VALUES (?1, 1, 'retrying', 1, 0, 0)";
    file.execute(sql, [added[0].as_i64()]).unwrap();
    let claim = Claim {
        application: ApplicationId::DEFAULT,
        group,
        lane: Lane::Bulk,
        limit: 2,
        token: [1; 16],
        now,
    };

    let claimed = store.claim_due(claim).await.unwrap();

    let batches: Vec<_> = claimed.iter().map(|leased| leased.batch.id).collect();
    assert_eq!(batches, added[1..]);
    let look = || async {
        let found = store.message(ApplicationId::DEFAULT, id).await;
        found.unwrap().unwrap()
    };
    let counts = look().await.counts;
    assert_eq!((counts.accepted, counts.refused), (1, 2));
    assert_eq!((counts.retrying, counts.pending()), (0, 2));
    let sql = "SELECT count(*) FROM deliveries WHERE state = 'retrying'";
    let retrying: i64 = file.query_row(sql, (), |row| row.get(0)).unwrap();
    assert_eq!(retrying, 0);
    let outcomes = (0..2).map(|position| Outcome {
        position: Position(position),
        subscription: None,
        kind: OutcomeKind::Ended,
        attempt: 0,
        last_answer: None,
    });
    let lease = &claimed[0].lease;
    store.record(lease, outcomes.collect(), now).await.unwrap();
    store.finish_pass(lease, PassTimes::at(now)).await.unwrap();
    assert_eq!(look().await.state, MessageState::Done);
}

/// A page is one entry here, so that damage stands at the end of one as well.
#[tokio::test]
async fn a_damaged_subscription_keeps_no_other_from_being_listed() {
    const DAMAGE: &[&str] = &[
        "capability = substr(capability, 1, 40)",
        "capability = x''",
        "attributes = '[1]'",
    ];
    for damage in DAMAGE {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let entities = Entities::new(1);
        let key = store.add_vapid_key(entities.new_vapid_key(VapidKeyState::Active));
        let key = key.await.unwrap().id;
        let new: Vec<_> = (0..5).map(|_| entities.new_subscription(key)).collect();
        let ids: Vec<_> = new.iter().rev().map(|new| new.id).collect();
        store.import(new.clone()).await.unwrap();
        let file = Connection::open(directory.path().join("tidings.sqlite3")).unwrap();
        let sql = format!("UPDATE subscriptions SET {damage} WHERE seq IN (2, 5)");
        assert_eq!(file.execute(&sql, ()).unwrap(), 2);
        for limit in [1, 2, 5] {
            let mut listed = Vec::new();
            let mut damaged = Vec::new();
            let mut after = None;
            loop {
                let page = PageRequest { after, limit };
                let filter = SubscriptionFilter::default();
                let page = store.subscriptions(ApplicationId::DEFAULT, filter, page);
                let page = page.await.unwrap();
                listed.extend(page.items.iter().map(|record| record.id));
                damaged.extend(page.damaged);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(
                listed,
                [ids[1], ids[2], ids[4]],
                "{damage}, {limit} at once"
            );
            assert_eq!(damaged, [ids[0], ids[3]], "{damage}, {limit} at once");
        }
    }
}

#[tokio::test]
async fn a_damaged_subscription_keeps_no_other_from_being_imported() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let entities = Entities::new(1);
    let key = store.add_vapid_key(entities.new_vapid_key(VapidKeyState::Active));
    let key = key.await.unwrap().id;
    let mut lines: Vec<_> = (0..3).map(|_| entities.new_subscription(key)).collect();
    let damaged = lines[1].id;
    store.import(lines.clone()).await.unwrap();
    let file = Connection::open(directory.path().join("tidings.sqlite3")).unwrap();
    let sql = "UPDATE subscriptions SET capability = substr(capability, 1, 40) WHERE seq = 2";
    assert_eq!(file.execute(sql, ()).unwrap(), 1);

    lines.push(entities.new_subscription(key));
    assert_eq!(
        store.import(lines).await.unwrap(),
        [
            Imported::Updated,
            Imported::Damaged(damaged),
            Imported::Updated,
            Imported::Created,
        ]
    );
}
