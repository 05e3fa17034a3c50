//! Tidings with a stock Firefox, from the click on a button to the receipt of a notification.
//!
//! Nothing here leaves the machine: Firefox's push service is the sandbox. The site is on another
//! origin than Tidings, as most will be, so the SDK, the worker's import, subscriptions and receipts
//! all cross origins.

#![expect(
    clippy::print_stderr,
    reason = "so a test speaks to the one who reads of its failure"
)]

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{stage::Stage, wait::until};

mod bidi;
mod browser;
mod http;
mod process;
mod sender;
mod servers;
mod site;
mod stage;
mod wait;

/// A notification of the site, to be told apart from others by its title.
fn bread(title: &str) -> serde_json::Value {
    json!({"title": title, "body": "Come while it is warm."})
}

#[tokio::test]
async fn a_message_is_shown_and_its_click_opens_what_it_names_and_both_are_counted() -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/with-sdk").await?;
    let subscription = stage.tidings.subscription().await?;
    assert_eq!(subscription["state"], "active");

    let loaf = stage.site.url("/loaves/rye");
    let message = stage
        .tidings
        .notify_all(json!({
            "title": "The rye is ready",
            "body": "Zwölf Brote, 30 % off — 🍞",
            "navigate": loaf,
            "data": {"loaf": {"name": "rye", "left": 12}},
        }))
        .await?;
    let shown = page.wait_for_notification("The rye is ready").await?;
    assert_eq!(shown.body, "Zwölf Brote, 30 % off — 🍞");
    assert_eq!(shown.data["loaf"], json!({"name": "rye", "left": 12}));
    assert_eq!(shown.data["tidings"]["message"], message.as_str());
    assert_eq!(shown.data["tidings"]["subscription"], subscription["id"]);
    stage
        .tidings
        .wait_for_counts(&message, [("accepted", 1), ("shown", 1), ("clicked", 0)])
        .await?;

    stage.firefox.click_notification("The rye is ready").await?;
    let opened = stage.firefox.wait_for_tab(&loaf).await?;
    let title = opened.evaluate("() => document.title").await?;
    assert_eq!(title, "A loaf");
    stage
        .tidings
        .wait_for_counts(&message, [("targeted", 1), ("shown", 1), ("clicked", 1)])
        .await?;
    stage.take_down().await
}

#[tokio::test]
async fn a_message_that_is_posted_twice_is_visible_once_and_counted_once() -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/with-sdk").await?;
    let sender = stage.sender(&page).await?;
    let message = stage.tidings.notify_all(bread("Rye")).await?;
    page.wait_for_notification("Rye").await?;
    stage
        .tidings
        .wait_for_counts(&message, [("shown", 1)])
        .await?;

    // While it is on the screen: what follows arrives after it, and shows that it has had its turn.
    let payload = stage.last_payload().await?;
    sender.send(&payload).await?;
    let after_shown = stage.tidings.notify_all(bread("Wheat")).await?;
    page.wait_for_notification("Wheat").await?;
    stage
        .tidings
        .wait_for_counts(&after_shown, [("shown", 1)])
        .await?;
    page.wait_for_notification("Rye").await?;

    // When the person has seen to it and it is gone from the screen.
    stage.firefox.click_notification("Rye").await?;
    stage
        .tidings
        .wait_for_counts(&message, [("clicked", 1)])
        .await?;
    sender.send(&payload).await?;
    let after_clicked = stage.tidings.notify_all(bread("Spelt")).await?;
    page.wait_for_notification("Spelt").await?;
    stage
        .tidings
        .wait_for_counts(&after_clicked, [("shown", 1)])
        .await?;
    until(
        "the repeated message to be off the screen",
        async || page.notifications().await,
        |shown| shown.iter().all(|notification| notification.title != "Rye"),
    )
    .await?;

    let repeats = stage.firefox.decrypted_pushes().await?;
    assert_eq!(repeats.iter().filter(|push| **push == payload).count(), 3);
    stage
        .tidings
        .wait_for_counts(&message, [("accepted", 1), ("shown", 1), ("clicked", 1)])
        .await?;
    stage.take_down().await
}

#[tokio::test]
async fn a_subscription_ended_behind_the_servers_back_is_gone_at_the_next_send() -> Result<()> {
    const UNSUBSCRIBE: &str = "async () => {
        const { pushManager } = await navigator.serviceWorker.ready;
        const subscription = await pushManager.getSubscription();
        return subscription.unsubscribe();
    }";
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/with-sdk").await?;
    assert_eq!(page.evaluate(UNSUBSCRIBE).await?, true);
    assert_eq!(stage.tidings.subscription().await?["state"], "active");

    let message = stage.tidings.notify_all(bread("Rye")).await?;
    stage
        .tidings
        .wait_for_counts(&message, [("gone", 1), ("accepted", 0)])
        .await?;
    assert_eq!(stage.tidings.subscription().await?["state"], "gone");
    stage.take_down().await
}

#[tokio::test]
async fn a_page_without_the_sdk_subscribes_and_its_own_worker_shows_the_message() -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/plain").await?;
    let message = stage.tidings.notify_all(bread("Rye")).await?;
    let shown = page.wait_for_notification("Rye").await?;
    assert_eq!(shown.body, "Come while it is warm.");
    assert_eq!(shown.data["tidings"]["message"], message.as_str());
    stage
        .tidings
        .wait_for_counts(&message, [("accepted", 1)])
        .await?;
    stage.take_down().await
}

#[tokio::test]
async fn a_push_that_does_not_decrypt_reaches_no_worker() -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/plain").await?;
    let sender = stage.sender(&page).await?;
    let payload = |title: &str| json!({"notification": bread(title)}).to_string();

    sender
        .send_with_a_flipped_bit(&payload("A flipped bit"))
        .await?;
    stage.sandbox.wait_for_acks(101, 1).await?;
    sender
        .send_with_another_auth(&payload("Another auth"))
        .await?;
    stage.sandbox.wait_for_acks(101, 2).await?;

    // The same way in order arrives: so nothing else than the faults kept the others out.
    sender.send(&payload("In order")).await?;
    page.wait_for_notification("In order").await?;
    stage.sandbox.wait_for_acks(100, 1).await?;
    assert_eq!(
        stage.firefox.decrypted_pushes().await?,
        [payload("In order")]
    );
    let shown = page.notifications().await?;
    ensure!(
        shown.len() == 1,
        "more is on the screen than was sent in order: {shown:?}"
    );
    stage.take_down().await
}
