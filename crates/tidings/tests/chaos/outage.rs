//! Push services that are out of order or refuse everything, and strangers among the subscribers:
//! nobody else notices.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::{
    got::{Got, reached, repeated},
    sizes::Sizes,
    stage::{Newcomers, Stage, until_counted, until_done},
    storm::number,
    tidings::Tidings,
};

/// Where nothing is wrong, by name and by host.
const GOOD: (&str, &[&str]) = (
    "apple,wns",
    &["web.push.apple.com", "db5p.notify.windows.com"],
);

/// Out of order.
const DOWN: (&str, &[&str]) = ("fcm", &["fcm.googleapis.com"]);

/// Answers 403 to everything.
const REFUSING: (&str, &[&str]) = ("mozilla", &["updates.push.services.mozilla.com"]);

/// They may take so many times as long as alone: beside them as many others are tried, and the machine
/// is no faster for it.
const SLOWER: u32 = 2;

/// Of those at the good push services, one in so many more is a stranger.
const ONE_STRANGER_IN: usize = 20;

/// Longer than any test waits: the outage ends when it is told to.
const OUTAGE_SECONDS: u64 = 3_000;

#[tokio::test]
async fn who_is_well_waits_for_nobody_who_is_not() -> Result<()> {
    let sizes = Sizes::from_environment()?;
    let good = sizes.subscribers / 2;
    let alone = alone(&sizes, good).await?;

    let stage = Stage::set_up(&sizes).await?;
    let tidings = Tidings::start(&stage.settings).await?;
    let strangers = good / ONE_STRANGER_IN;
    subscribe_all(&stage, &tidings, good, strangers).await?;
    let sandbox = &stage.sandbox;
    let refuse = json!({"services": [REFUSING.0], "status": 403});
    sandbox.behave(&refuse).await?;
    let outage = json!({"services": [DOWN.0], "seconds": OUTAGE_SECONDS, "how": "refuse"});
    let path = "/sandbox/outage";
    sandbox
        .control
        .call(Method::PUT, path, Some(&outage))
        .await?;

    let began = Instant::now();
    let broadcast = tidings.notify_all("For everybody").await?;
    until_counted(&tidings, &broadcast, "accepted", good).await?;
    let among_others = began.elapsed();
    eprintln!(
        "{good} at push services that are well: {alone:.1?} alone, {among_others:.1?} beside {} \
         at one that is down, as many at one that refuses, and {strangers} strangers",
        good / 2
    );
    assert!(
        !sizes.times_count() || among_others <= alone * SLOWER,
        "those at push services that are well waited for the others"
    );
    // All of the good ones have it while nothing of the rest is any better.
    let all = Got::by_all(sandbox).await?;
    let mine = all.get(..good).context("too few")?;
    assert!(mine.iter().all(|got| got.is_at(GOOD.1)));
    assert_eq!((reached(mine), repeated(mine)), (good, 0));
    assert_eq!(reached(&all), good, "somebody else got it as well");

    // The rest: what waited comes as soon as it can.
    tokio::time::sleep(sizes.outage.saturating_sub(began.elapsed())).await;
    sandbox.control.call(Method::DELETE, path, None).await?;
    sandbox.be_honest().await?;
    let counts = until_done(&tidings, &broadcast).await?;
    let all = Got::by_all(sandbox).await?;
    check_the_end(&counts, &all, &sandbox.stats().await?);
    tidings.stop().await?;
    stage.sandbox.end();
    Ok(())
}

/// Everybody who has a part in it: first the good ones.
async fn subscribe_all(
    stage: &Stage,
    tidings: &Tidings,
    good: usize,
    strangers: usize,
) -> Result<()> {
    let key = tidings.vapid_key().await?;
    let others_key = tidings.api().post("/v1/vapid-keys", &json!({})).await?;
    let others_key = others_key["public_key"].as_str().context("no key")?;
    ensure!(others_key != key, "the strangers' key is not another one");
    let newcomers = |count, services, key, prefix| Newcomers {
        count,
        services,
        key,
        prefix,
    };
    for newcomers in [
        newcomers(good, GOOD.0, &key, "good"),
        newcomers(strangers, GOOD.0, others_key, "stranger"),
        newcomers(good / 2, DOWN.0, &key, "down"),
        newcomers(good / 2, REFUSING.0, &key, "refusing"),
    ] {
        stage.subscribe(tidings, &newcomers).await?;
    }
    Ok(())
}

/// How long it takes when all is well.
async fn alone(sizes: &Sizes, good: usize) -> Result<Duration> {
    let stage = Stage::set_up(sizes).await?;
    let tidings = Tidings::start(&stage.settings).await?;
    let newcomers = Newcomers {
        count: good,
        services: GOOD.0,
        key: &tidings.vapid_key().await?,
        prefix: "good",
    };
    stage.subscribe(&tidings, &newcomers).await?;
    let began = Instant::now();
    let broadcast = tidings.notify_all("For everybody").await?;
    until_counted(&tidings, &broadcast, "accepted", good).await?;
    let took = began.elapsed();
    tidings.stop().await?;
    stage.sandbox.end();
    Ok(took)
}

/// Nothing is lost but what was refused, and nothing came twice.
fn check_the_end(counts: &Value, all: &[Got], stats: &Value) {
    let refused = number(counts, "refused");
    // Apple says 400 to a stranger, the others 403.
    let answers = ["400", "403"].map(|status| number(&stats["answers"], status));
    assert_eq!(refused, answers.iter().sum::<usize>(), "{counts}");
    assert_eq!(number(counts, "accepted"), reached(all), "{counts}");
    assert_eq!(repeated(all), 0);
    assert_eq!(number(counts, "accepted") + refused, all.len(), "{counts}");
    let down = all.iter().filter(|got| got.is_at(DOWN.1));
    assert_eq!(reached(down.clone()), down.count());
    let refusing: Vec<_> = all.iter().filter(|got| got.is_at(REFUSING.1)).collect();
    let got_it = reached(refusing.iter().copied());
    eprintln!(
        "of {} at the push service that refused, {got_it} have it: sending rested there",
        refusing.len()
    );
    assert!(got_it > 0, "everybody was refused, one after the other");
}
