//! What cannot be read any more ends with a reason, rather than being tried for ever.

use std::time::Duration;

use tidings_core::message::MessageState;
use tidings_webpush::{PushResource, PushService};

use crate::rig::{Log, Rig, answer, answer_later};

/// Two of three wait for another attempt when this befalls the message; then minutes pass.
async fn after(damage: &str) -> Rig {
    let script = |resource: &PushResource, _| {
        if resource.expose().contains("/unwell") {
            answer_later(503, "60")
        } else {
            answer(201)
        }
    };
    let rig = Rig::start(script, None).await;
    rig.subscribe(PushService::Mozilla).await;
    for number in 0..2 {
        let endpoint = format!("https://updates.push.services.mozilla.com/wpush/v2/unwell{number}");
        rig.subscribe_at(&endpoint).await;
    }
    let message = rig.broadcast().await;
    rig.wait_for(message, |message| message.counts.retrying == 2)
        .await;
    let database = rig.database();
    database.pragma_update(None, "foreign_keys", "off").unwrap();
    database
        .pragma_update(None, "ignore_check_constraints", "on")
        .unwrap();
    assert_eq!(database.execute(damage, ()).unwrap(), 1, "{damage}");
    let before = rig.commanded.calls("message_to_send");
    rig.pass(Duration::from_mins(5)).await;
    let looked = rig.commanded.calls("message_to_send") - before;
    assert_eq!(looked, 1, "{damage}: it is not tried for ever");
    assert_eq!(rig.push_service.all_posts(), 3, "{damage}");
    assert!(rig.store.due_groups().await.unwrap().is_empty(), "{damage}");
    rig
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_message_that_cannot_be_had_ends_with_a_reason() {
    for damage in [
        "DELETE FROM messages",
        "UPDATE messages SET content = x'00', state = 'cancelled', done_at = 0",
    ] {
        let mut rig = after(damage).await;
        let database = rig.database();
        let sql = "SELECT accepted, refused, retrying, open FROM batches";
        let counts: [u32; 4] = database
            .query_row(sql, (), |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })
            .unwrap();
        assert_eq!(counts, [1, 2, 0, 0], "{damage}");
        let sql = "SELECT count(*) FROM deliveries
            WHERE state = 'refused' AND last_reason = 'the message cannot be read any more'";
        let refused: u32 = database.query_row(sql, (), |row| row.get(0)).unwrap();
        assert_eq!(refused, 2, "{damage}");
        rig.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_damaged_while_it_is_sent_has_failed() {
    let (log, _guard) = Log::of_this_thread();
    for (number, damage) in [
        "UPDATE messages SET content = x'00'",
        "UPDATE messages SET audience = '{}'",
        "UPDATE messages SET audience = CAST(x'ff' AS TEXT)",
    ]
    .into_iter()
    .enumerate()
    {
        let mut rig = after(damage).await;
        assert_eq!(log.lines("ERROR"), number + 1, "{damage}");
        assert_eq!(log.lines("the message has failed"), number + 1, "{damage}");
        let database = rig.database();
        let sql = "SELECT state FROM messages";
        let state: String = database.query_row(sql, (), |row| row.get(0)).unwrap();
        assert_eq!(state, MessageState::Failed.as_str(), "{damage}");
        let sql = "SELECT accepted, retrying, refused FROM batches";
        let counts: [u32; 3] = database
            .query_row(sql, (), |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
            .unwrap();
        assert_eq!(counts, [1, 0, 2], "{damage}: nobody waits for a retry");
        let sql = "SELECT count(*) FROM deliveries WHERE state = 'retrying'";
        let retrying: u32 = database.query_row(sql, (), |row| row.get(0)).unwrap();
        assert_eq!(retrying, 0, "{damage}");
        rig.shutdown().await;
    }
}
