//! VAPID tokens over restarts: push services want to see few of them.

use std::time::Duration;

use tidings_webpush::{PushResource, PushService};

use crate::rig::{Fault, Rig, answer};

/// Sends to everybody once more; what the POST to this push resource was authorized with.
async fn sent_with(rig: &Rig, resource: &PushResource) -> String {
    let before = rig.push_service.posts(resource).len();
    let message = rig.broadcast().await;
    rig.wait_until_done(message).await;
    let mut posts = rig.push_service.posts_to(resource);
    assert_eq!(posts.len(), before + 1, "one POST");
    posts.remove(before).authorization
}

async fn start_anew(rig: &mut Rig) {
    rig.crash().await;
    rig.restart();
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_tokens_are_used_to_their_end() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_secs(5));
    let (_, at_apple) = rig.subscribe(PushService::Apple).await;
    let (_, at_mozilla) = rig.subscribe(PushService::Mozilla).await;
    let first = sent_with(&rig, &at_apple).await;
    start_anew(&mut rig).await;
    rig.pass(Duration::from_mins(350)).await;
    assert_eq!(sent_with(&rig, &at_apple).await, first);
    let for_mozilla = rig.push_service.posts_to(&at_mozilla);
    assert_eq!(for_mozilla[0].authorization, for_mozilla[1].authorization);
    assert_ne!(for_mozilla[0].authorization, first, "each has its own");
    // Signed in the middle of a run, and kept like the first.
    rig.pass(Duration::from_mins(20)).await;
    let second = sent_with(&rig, &at_apple).await;
    assert_ne!(second, first);
    start_anew(&mut rig).await;
    assert_eq!(sent_with(&rig, &at_apple).await, second);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_hourly_at_most_over_restarts_too() {
    let rig = Rig::start(|_, _| answer(403), None).await;
    let mut rig = rig.in_steps_of(Duration::from_secs(1));
    let (_, resource) = rig.subscribe(PushService::Apple).await;
    let first = sent_with(&rig, &resource).await;
    assert_eq!(sent_with(&rig, &resource).await, first, "just signed");
    start_anew(&mut rig).await;
    rig.pass(Duration::from_mins(50)).await;
    for _ in 0..2 {
        assert_eq!(sent_with(&rig, &resource).await, first, "of this hour");
    }
    rig.pass(Duration::from_mins(10)).await;
    let second = sent_with(&rig, &resource).await;
    assert_ne!(second, first, "an hour is over");
    start_anew(&mut rig).await;
    for _ in 0..2 {
        assert_eq!(sent_with(&rig, &resource).await, second, "signed lately");
    }
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn tokens_that_cannot_be_kept_or_read_delay_no_message() {
    for (method, fault) in [
        ("keep_vapid_tokens", Fault::Hangs),
        ("keep_vapid_tokens", Fault::Unavailable),
        ("vapid_tokens", Fault::Unavailable),
    ] {
        let mut rig = Rig::start(|_, _| answer(201), None).await;
        rig.subscribe_many(3, PushService::Fcm).await;
        rig.commanded.fail(method, fault);
        let message = rig.broadcast().await;
        let counts = rig.wait_until_done(message).await.counts;
        assert_eq!(counts.accepted, 3, "{method} {fault:?}");
        assert_eq!(rig.commanded.calls(method), 1, "{method} {fault:?}");
        rig.commanded.mend(method);
        rig.shutdown().await;
    }
}
