//! What was answered is there after the store was closed and opened again.

use std::time::Duration;

use tidings_core::application::ApplicationId;
use tidings_core::delivery::OutcomeKind;
use tidings_core::mac::MacSecrets;
use tidings_core::message::Audience;
use tidings_core::receipt::ReceiptEvent;
use tidings_core::store::{Accepted, ApiTokenUse, PassEnd, PassTimes};
use tidings_core::subscription::SubscriptionState;
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::SystemRandomness;

use crate::harness::Harness;
use crate::views;
use crate::world::{World, list_of, seqs};

const APP: ApplicationId = ApplicationId::DEFAULT;

pub(crate) async fn subscriptions_survive<H: Harness>(mut world: World<H>) {
    let subscribers = world.subscribe_many(3).await;
    world.end(&subscribers[1]).await;
    world.harness.reopen().await;
    for (n, before) in subscribers.iter().enumerate() {
        let state = [SubscriptionState::Active, SubscriptionState::Ended][n % 2];
        let after = views::subscription(&world.subscription(before.id).await);
        assert_eq!(
            after,
            views::SubscriptionView {
                state,
                ..views::subscription(before)
            }
        );
    }
    let next = world.subscribe().await.seq;
    assert!(next > subscribers[2].seq, "seqs go on where they were");
}

pub(crate) async fn keys_and_secrets_survive<H: Harness>(mut world: World<H>) {
    let new = world.entities.new_vapid_key(VapidKeyState::Active);
    world.store().add_vapid_key(new.clone()).await.unwrap();
    let secrets = MacSecrets::generate(&SystemRandomness);
    world.store().mac_secrets(secrets.clone()).await.unwrap();
    let before = world.store().vapid_keys(APP).await.unwrap();

    world.harness.reopen().await;

    let after = world.store().vapid_keys(APP).await.unwrap();
    let view = |keys: &[_]| keys.iter().map(views::vapid_key).collect::<Vec<_>>();
    assert_eq!(view(&after), view(&before));
    let pair = world
        .store()
        .vapid_key_pair(APP, new.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(*pair.to_raw_base64url(), *new.key.to_raw_base64url());
    let others = MacSecrets::generate(&SystemRandomness);
    let kept = world.store().mac_secrets(others).await.unwrap();
    assert_eq!(kept.receipt_proof, secrets.receipt_proof);
}

pub(crate) async fn api_tokens_survive<H: Harness>(mut world: World<H>) {
    let new = world.entities.new_api_token();
    let (id, now) = (new.id, world.now());
    world.store().add_api_token(new.clone()).await.unwrap();
    let uses = vec![ApiTokenUse { id, at: now }];
    world.store().record_api_token_uses(uses).await.unwrap();
    let revoked = world.store().revoke_api_token(APP, id, now).await.unwrap();

    world.harness.reopen().await;

    let found = world.store().api_token_by_hash(&new.hash).await.unwrap();
    let found = found.unwrap();
    assert_eq!(Some(&found), revoked.as_ref());
    assert_eq!(
        (found.last_used_at, found.revoked_at),
        (Some(now), Some(now))
    );
}

pub(crate) async fn an_accepted_message_survives<H: Harness>(mut world: World<H>) {
    let subscribers = world.subscribe_many(2).await;
    let key = world.entities.idempotency_key();
    let new = world.entities.new_message(Audience::All);
    let (id, content) = (new.id, new.content.clone());
    world.store().accept(new, Some(key.clone())).await.unwrap();
    let before = world.message(id).await;

    world.harness.reopen().await;

    assert_eq!(
        views::message(&world.message(id).await),
        views::message(&before)
    );
    let to_send = world.store().message_to_send(id).await.unwrap().unwrap();
    assert_eq!(to_send.content, content);
    let plan = world.next_plan().await.expect("it waits for its plan");
    assert_eq!((plan.message, plan.cutoff), (id, subscribers[1].seq));
    let again = world.entities.new_message(Audience::All);
    let again = world.store().accept(again, Some(key)).await.unwrap();
    assert!(matches!(again, Accepted::Before(record) if record.id == id));
}

pub(crate) async fn a_half_walked_plan_goes_on<H: Harness>(mut world: World<H>) {
    let members = seqs(&world.subscribe_many(4).await);
    let id = world.accept(Audience::All).await.id;
    let mut step = world.whole_plan(id, vec![world.batch(list_of(&members[..2]))]);
    step.to = members[1];
    step.complete = false;
    let batches = world.store().add_planned(step).await.unwrap().unwrap();

    world.harness.reopen().await;

    let plan = world.next_plan().await.unwrap();
    assert_eq!((plan.message, plan.cursor), (id, members[1]));
    assert_eq!(world.counts(id).await.targeted, 2);
    let claimed = world.claim(10).await;
    assert_eq!(
        claimed
            .iter()
            .map(|leased| leased.batch.id)
            .collect::<Vec<_>>(),
        batches
    );
}

pub(crate) async fn recorded_outcomes_survive<H: Harness>(mut world: World<H>) {
    let mut sending = world.sending(4).await;
    let next_attempt_at = world.now().plus(Duration::from_hours(1));
    let mut retry = sending.outcome(2, OutcomeKind::Retrying { next_attempt_at });
    retry.attempt = 2;
    let outcomes = vec![
        sending.outcome(0, OutcomeKind::Accepted),
        sending.outcome(1, OutcomeKind::Gone),
        retry,
    ];
    world.record(&sending, outcomes).await;
    let before = world.counts(sending.message).await;

    world.harness.reopen().await;
    world.harness.lose_leases().await;

    assert_eq!(world.counts(sending.message).await, before);
    assert_eq!(
        world.state_of(&sending.subscribers[1]).await,
        SubscriptionState::Gone
    );
    world.claim_again(&mut sending).await;
    let turn: Vec<_> = world
        .load(&sending.batch)
        .await
        .iter()
        .map(|m| m.position.0)
        .collect();
    assert_eq!(turn, [3], "only what was in flight is sent again");
    world.entities.clock.set(next_attempt_at);
    let attempts: Vec<_> = world
        .load(&sending.batch)
        .await
        .iter()
        .map(|m| m.attempts)
        .collect();
    assert_eq!(attempts, [2, 0]);
}

pub(crate) async fn finished_passes_survive<H: Harness>(mut world: World<H>) {
    let done = world.sending(1).await;
    world.record(&done, done.all(OutcomeKind::Accepted)).await;
    world
        .store()
        .finish_pass(&done.lease, PassTimes::at(world.now()))
        .await
        .unwrap();
    let waiting = world.sending(1).await;
    let next_attempt_at = world.now().plus(Duration::from_hours(1));
    world
        .record(
            &waiting,
            waiting.all(OutcomeKind::Retrying { next_attempt_at }),
        )
        .await;
    let end = world
        .store()
        .finish_pass(&waiting.lease, PassTimes::at(world.now()))
        .await
        .unwrap();
    assert_eq!(
        end,
        PassEnd::Again {
            not_before: next_attempt_at
        }
    );
    let before = world.message(done.message).await;

    world.harness.reopen().await;

    assert_eq!(
        views::message(&world.message(done.message).await),
        views::message(&before)
    );
    assert!(world.claim(10).await.is_empty());
    world.entities.clock.set(next_attempt_at);
    let claimed = world.claim(10).await;
    assert_eq!(
        claimed.iter().map(|l| l.batch.id).collect::<Vec<_>>(),
        [waiting.batch.id]
    );
}

pub(crate) async fn receipts_and_test_turns_survive<H: Harness>(mut world: World<H>) {
    let subscriber = world.subscribe().await.id;
    let message = world.accept(Audience::All).await.id;
    let shown = world
        .entities
        .receipt(message, subscriber, ReceiptEvent::Shown);
    world
        .store()
        .add_receipts(APP, vec![shown.clone()], world.now())
        .await
        .unwrap();
    let pause = Duration::from_secs(10);
    let turn = world
        .store()
        .take_test_turn(APP, subscriber, world.now(), pause)
        .await
        .unwrap();
    assert_eq!(turn, None);

    world.harness.reopen().await;

    assert_eq!(world.message(message).await.receipts.shown, 1);
    let again = world
        .store()
        .add_receipts(APP, vec![shown], world.now())
        .await
        .unwrap();
    assert_eq!(again, 0);
    let turn = world
        .store()
        .take_test_turn(APP, subscriber, world.now(), pause)
        .await
        .unwrap();
    assert_eq!(turn, Some(pause));
}

pub(crate) async fn a_sweep_survives<H: Harness>(mut world: World<H>) {
    let subscriber = world.subscribe().await;
    world.end(&subscriber).await;
    let later = world.wait(Duration::from_hours(1));
    world
        .store()
        .sweep(world.tombstones_before(later))
        .await
        .unwrap();
    world.harness.reopen().await;
    assert!(
        world
            .store()
            .subscription(APP, subscriber.id)
            .await
            .unwrap()
            .is_none()
    );
}
