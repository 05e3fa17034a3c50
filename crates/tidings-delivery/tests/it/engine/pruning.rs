//! A wave of "gone" buries nobody, and stops nothing.

use std::time::Duration;

use tidings_core::subscription::SubscriptionState;
use tidings_webpush::{PushResource, PushService};

use crate::rig::{Rig, answer};

#[tokio::test(start_paused = true)]
async fn a_wave_makes_suspects_and_sending_goes_on() {
    let gone = |resource: &PushResource| resource.expose().contains("/gone");
    let script = move |resource: &_, _| answer(if gone(resource) { 410 } else { 201 });
    let mut rig = Rig::start(script, None).await;
    rig.push_service.answer_after(Duration::from_millis(50));
    let mut said_to_be_gone = Vec::new();
    for number in 0..80 {
        rig.subscribe(PushService::Mozilla).await;
        let endpoint = format!("https://updates.push.services.mozilla.com/wpush/v2/gone{number}");
        said_to_be_gone.push(rig.subscribe_at(&endpoint).await.0);
    }
    let counts = {
        let message = rig.broadcast().await;
        rig.wait_until_done(message).await.counts
    };
    assert_eq!((counts.accepted, counts.gone), (80, 80), "it went on");
    for id in said_to_be_gone {
        assert_eq!(rig.state_of(id).await, SubscriptionState::Suspect);
    }
    let message = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(message).await.counts.targeted, 80);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_few_that_are_gone_are_buried() {
    let gone = |resource: &PushResource| resource.expose().contains("/gone");
    let script = move |resource: &_, _| answer(if gone(resource) { 404 } else { 201 });
    let mut rig = Rig::start(script, None).await;
    rig.subscribe_many(40, PushService::Mozilla).await;
    let endpoint = "https://updates.push.services.mozilla.com/wpush/v2/gone";
    let (id, _) = rig.subscribe_at(endpoint).await;
    let message = rig.broadcast().await;
    let counts = rig.wait_until_done(message).await.counts;
    assert_eq!((counts.accepted, counts.gone), (40, 1));
    assert_eq!(rig.state_of(id).await, SubscriptionState::Gone);
    rig.shutdown().await;
}
