//! Tidings with a stock Firefox, from the click on a button to the receipt of a notification.
//!
//! Nothing here leaves the machine: Firefox's push service is the sandbox. The site is on another
//! origin than Tidings, as most will be, so the SDK, the worker's import, subscriptions and receipts
//! all cross origins.

#![expect(
    clippy::print_stderr,
    reason = "so a test speaks to the one who reads of its failure"
)]

use anyhow::Result;
use serde_json::{Value, json};

use crate::stage::Stage;

#[path = "../support/bidi.rs"]
mod bidi;
#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/other_senders.rs"]
mod other_senders;
mod peers;
#[path = "../support/process.rs"]
mod process;
mod sender;
mod servers;
mod site;
mod stage;
#[path = "../support/wait.rs"]
mod wait;

#[tokio::test]
async fn a_message_is_shown_and_counted_and_a_click_opens_its_page_and_is_counted() -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/with-sdk").await?;
    let subscription = stage.tidings.only_subscription().await?;
    let loaf = stage.site.url("/loaves/rye");

    let message = stage
        .tidings
        .notify_all(json!({
            "title": "The rye is ready",
            "body": "Zwölf Brote, 30 % off — 🍞",
            "navigate": loaf,
            "data": {"loaf": {"name": "rye", "left": 12}},
            "requireInteraction": true,
        }))
        .await?;
    let shown = page.wait_for_notification("The rye is ready").await?;
    assert_eq!(shown.body, "Zwölf Brote, 30 % off — 🍞");
    assert_eq!(shown.data["loaf"], json!({"name": "rye", "left": 12}));
    assert_eq!(shown.data["tidings"]["message"], message.as_str());
    assert_eq!(shown.data["tidings"]["subscription"], subscription.as_str());
    let before = [
        ("targeted", 1),
        ("accepted", 1),
        ("shown", 1),
        ("clicked", 0),
    ];
    stage.tidings.wait_for_counts(&message, before).await?;

    stage.firefox.click_notification("The rye is ready").await?;
    let opened = stage.firefox.wait_for_tab(&loaf).await?;
    assert_eq!(opened.evaluate("() => document.title").await?, "A loaf");
    let after = [
        ("targeted", 1),
        ("accepted", 1),
        ("shown", 1),
        ("clicked", 1),
        ("dismissed", 0),
    ];
    stage.tidings.wait_for_counts(&message, after).await?;
    stage.take_down().await
}

#[tokio::test]
async fn a_notification_that_is_closed_counts_as_dismissed() -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/with-sdk").await?;
    let message = stage.tidings.notify_all(bread("Rye")).await?;
    page.wait_for_notification("Rye").await?;
    stage.firefox.dismiss_notification("Rye").await?;
    let counts = [("shown", 1), ("clicked", 0), ("dismissed", 1)];
    stage.tidings.wait_for_counts(&message, counts).await?;
    stage.take_down().await
}

#[tokio::test]
async fn a_message_posted_again_while_it_is_on_the_screen_is_there_once_and_counted_once()
-> Result<()> {
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

    let payload = stage.last_payload().await?;
    sender.send(&payload).await?;
    // The worker takes one push after the other: when this one is counted, the last was dealt with.
    let next = stage.tidings.notify_all(bread("Wheat")).await?;
    stage.tidings.wait_for_counts(&next, [("shown", 1)]).await?;

    let pushes = stage.firefox.decrypted_pushes().await?;
    assert_eq!(pushes.iter().filter(|push| **push == payload).count(), 2);
    page.wait_for_screen_with(&["Rye", "Wheat"]).await?;
    let counts = [
        ("accepted", 1),
        ("shown", 1),
        ("clicked", 0),
        ("dismissed", 0),
    ];
    stage.tidings.wait_for_counts(&message, counts).await?;
    stage.take_down().await
}

#[tokio::test]
async fn a_message_posted_again_after_its_click_does_not_come_back() -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let page = stage.subscribe("/with-sdk").await?;
    let sender = stage.sender(&page).await?;
    let message = stage.tidings.notify_all(bread("Rye")).await?;
    page.wait_for_notification("Rye").await?;
    stage.firefox.click_notification("Rye").await?;
    stage
        .tidings
        .wait_for_counts(&message, [("shown", 1), ("clicked", 1)])
        .await?;

    let payload = stage.last_payload().await?;
    sender.send(&payload).await?;
    let next = stage.tidings.notify_all(bread("Wheat")).await?;
    stage.tidings.wait_for_counts(&next, [("shown", 1)]).await?;

    let pushes = stage.firefox.decrypted_pushes().await?;
    assert_eq!(pushes.iter().filter(|push| **push == payload).count(), 2);
    page.wait_for_screen_with(&["Wheat"]).await?;
    let counts = [
        ("accepted", 1),
        ("shown", 1),
        ("clicked", 1),
        ("dismissed", 0),
    ];
    stage.tidings.wait_for_counts(&message, counts).await?;
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
    let subscription = stage.tidings.only_subscription().await?;
    assert_eq!(page.evaluate(UNSUBSCRIBE).await?, true);
    assert_eq!(
        stage.tidings.subscription_state(&subscription).await?,
        "active"
    );

    let message = stage.tidings.notify_all(bread("Rye")).await?;
    let counts = [("targeted", 1), ("gone", 1), ("accepted", 0)];
    stage.tidings.wait_for_counts(&message, counts).await?;
    assert_eq!(
        stage.tidings.subscription_state(&subscription).await?,
        "gone"
    );
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
        .wait_for_counts(&message, [("accepted", 1), ("shown", 0)])
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
    let payload = |title| json!({"notification": bread(title)}).to_string();

    sender
        .send_with_a_flipped_bit(&payload("A flipped bit"))
        .await?;
    stage.sandbox.wait_for_acks(101, 1).await?;
    sender
        .send_with_another_auth(&payload("Another auth"))
        .await?;
    stage.sandbox.wait_for_acks(101, 2).await?;

    // What differs from this one in nothing but the fault arrives; so the fault kept those out.
    sender.send(&payload("In order")).await?;
    page.wait_for_notification("In order").await?;
    stage.sandbox.wait_for_acks(100, 1).await?;
    assert_eq!(
        stage.firefox.decrypted_pushes().await?,
        [payload("In order")]
    );
    page.wait_for_screen_with(&["In order"]).await?;
    stage.take_down().await
}

/// A notification that is told from others by its title, and stays until somebody sees to it: others
/// are closed by Firefox after 20 s, so that one which should not be there would go unnoticed.
fn bread(title: &str) -> Value {
    json!({"title": title, "body": "Come while it is warm.", "requireInteraction": true})
}
