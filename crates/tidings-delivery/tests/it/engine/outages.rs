//! A push service that cannot be reached, and one that hangs, hold up nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_core::alert::AlertKind;
use tidings_core::clock::Timestamp;
use tidings_core::subscription::PushServiceGroup;
use tidings_delivery::transport::TransportError;
use tidings_webpush::PushService;

use crate::rig::{Rig, answer};

#[tokio::test(start_paused = true)]
async fn an_outage_is_probed_and_ends_by_itself() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    let subscribed = rig.subscribe_many(200, PushService::Fcm).await;
    let resource = &subscribed[0].1;
    rig.push_service.take_down(resource);
    let message = rig.broadcast().await;
    rig.pass(Duration::from_mins(30)).await;
    let dialled = rig.push_service.dialled();
    let began = dialled[0];
    let later = |at: &&Timestamp| at.since(began) > Duration::ZERO;
    let probes: Vec<_> = dialled.iter().filter(later).copied().collect();
    let before = dialled.len() - probes.len();
    assert!(before <= 64, "what was under way: {before}");
    let gaps: Vec<_> = probes
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .collect();
    assert!(gaps[0] < Duration::from_secs(30), "{gaps:?}");
    let most = Duration::from_secs(75);
    assert!(gaps.iter().all(|gap| *gap <= most), "{gaps:?}");
    let late = &gaps[gaps.len() - 5..];
    let least = Duration::from_secs(28);
    assert!(late.iter().all(|gap| *gap >= least), "{gaps:?}");
    assert_eq!(rig.alerted(), [AlertKind::PushServiceUnreachable]);
    rig.push_service.bring_up(resource);
    let back = rig.clock_now();
    let counts = rig.wait_until_done(message).await.counts;
    assert_eq!(counts.accepted, 200, "nobody is lost");
    let first = rig.push_service.history()[0].at;
    assert!(first.since(back) <= most, "it came back by itself");
    assert_eq!(rig.push_service.all_posts(), 200);
    assert_eq!(rig.alerted(), []);
    rig.shutdown().await;
}

/// How many POSTs Mozilla gets in a third of a second, and whether somebody else is down meanwhile.
async fn posts_in_a_third_of_a_second(outage: bool) -> usize {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(100));
    let mozilla = rig.subscribe_many(1200, PushService::Mozilla).await;
    let fcm = rig.subscribe_many(100, PushService::Fcm).await;
    if outage {
        rig.push_service.take_down(&fcm[0].1);
    } else {
        for (id, _) in &fcm {
            rig.end(*id).await;
        }
    }
    rig.broadcast().await;
    rig.wait_until(|| rig.push_service.all_posts() > 0).await;
    rig.pass(Duration::from_millis(320)).await;
    let posts = rig.push_service.posts_at(&mozilla[0].1).len();
    assert!(posts < 1200, "still under way");
    rig.shutdown().await;
    posts
}

#[tokio::test(start_paused = true)]
async fn an_outage_slows_nobody_else() {
    let alone = posts_in_a_third_of_a_second(false).await;
    let beside = posts_in_a_third_of_a_second(true).await;
    assert!(alone > 300, "{alone}");
    assert!(beside * 10 >= alone * 9, "{beside} of {alone}");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_origin_does_not_hold_up_others_in_its_batch() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    rig.push_service.answer_after(Duration::from_millis(50));
    let (_, hanging) = rig.subscribe_at("https://hangs.example/0").await;
    for number in 1..300 {
        let endpoint = format!("https://hangs.example/{number}");
        rig.subscribe_at(&endpoint).await;
    }
    rig.subscribe_many(60, PushService::Other).await;
    rig.push_service.hang(&hanging);
    let message = rig.broadcast().await;
    rig.wait_for(message, |message| message.counts.accepted == 60)
        .await;
    let posts = rig.push_service.history();
    let took = posts[posts.len() - 1].at.since(posts[0].at);
    assert!(took < Duration::from_secs(10), "{took:?}");
    let hang = rig.push_service.posts_at(&hanging).len();
    assert!(hang <= 16, "no more than one origin may have: {hang}");
    rig.push_service.unhang(&hanging);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 360);
    assert_eq!(rig.push_service.all_posts(), 360, "each once");
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_service_that_answers_nobody_is_probed_and_each_probe_counts() {
    let is_back = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_back);
    let script = move |_: &_, _| {
        if answers.load(Ordering::SeqCst) {
            answer(201)
        } else {
            Err(TransportError::TimedOut("waiting for the answer"))
        }
    };
    let rig = Rig::start(script, None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    rig.subscribe_many(30, PushService::Fcm).await;
    // As long as the transport waits for an answer.
    rig.push_service.answer_after(Duration::from_secs(30));
    let message = rig.broadcast().await;
    rig.pass(Duration::from_mins(20)).await;
    let posts: Vec<_> = rig.push_service.history().iter().map(|it| it.at).collect();
    let gaps: Vec<_> = posts
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .collect();
    let late = &gaps[gaps.len() - 5..];
    let least = Duration::from_secs(50);
    assert!(late.iter().all(|gap| *gap >= least), "{gaps:?}");
    is_back.store(true, Ordering::SeqCst);
    rig.push_service.answer_after(Duration::ZERO);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 30);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn batches_that_cannot_be_claimed_hold_up_no_other_push_service() {
    let mut rig = Rig::start(|_, _| answer(201), None).await;
    // The dispatcher goes through push services by name, and this is the first.
    rig.subscribe_many(10, PushService::Fcm).await;
    rig.subscribe_many(10, PushService::Mozilla).await;
    let fcm = PushServiceGroup::of_service(PushService::Fcm);
    rig.commanded.refuse_claims(Some(fcm));
    let message = rig.broadcast().await;
    rig.wait_for(message, |message| message.counts.accepted == 10)
        .await;
    rig.commanded.refuse_claims(None);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 20);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn batches_that_cannot_be_claimed_delay_no_other_push_service() {
    let script = |_: &_, number| answer(if number == 1 { 503 } else { 201 });
    let mut rig = Rig::start(script, None).await;
    rig.subscribe(PushService::Fcm).await;
    let fcm = PushServiceGroup::of_service(PushService::Fcm);
    rig.commanded.refuse_claims(Some(fcm));
    let mozilla = rig.subscribe_many(30, PushService::Mozilla).await;
    let message = rig.broadcast().await;
    rig.wait_for(message, |message| message.counts.accepted == 30)
        .await;
    let mut retried: Vec<_> = mozilla
        .iter()
        .map(|(_, resource)| rig.push_service.posts(resource)[1])
        .collect();
    retried.sort_unstable();
    retried.dedup();
    // Each when its turn comes, within two seconds, rather than when somebody looks once a second.
    assert!(retried.len() > 10, "{retried:?}");
    rig.commanded.refuse_claims(None);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 31);
    rig.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_opened_ahead_to_who_is_well_and_known() {
    let rig = Rig::start(|_, _| answer(201), None).await;
    let mut rig = rig.in_steps_of(Duration::from_millis(500));
    let known = rig.subscribe_many(30, PushService::Fcm).await;
    let (_, fcm) = &known[0];
    rig.subscribe_many(30, PushService::Other).await;
    let message = rig.broadcast().await;
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 60);
    let expecting = rig.push_service.expecting();
    assert_eq!(expecting, [fcm.origin()], "none to a stranger");
    rig.push_service.take_down(fcm);
    let message = rig.broadcast().await;
    rig.pass(Duration::from_secs(10)).await;
    let (dialled, expecting) = (rig.push_service.dialled(), rig.push_service.expecting());
    rig.pass(Duration::from_mins(10)).await;
    assert!(rig.push_service.dialled().len() > dialled.len() + 5);
    assert_eq!(rig.push_service.expecting(), expecting, "none for a probe");
    rig.push_service.bring_up(fcm);
    assert_eq!(rig.wait_until_done(message).await.counts.accepted, 60);
    rig.shutdown().await;
}
