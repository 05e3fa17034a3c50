//! How many active subscriptions a person may have.

use std::num::NonZeroU32;

use http::StatusCode;
use serde_json::json;
use tidings_core::application::PageUsers;

use crate::harness::{APP, Call, Harness, Setup, Transcript, text};

#[tokio::test]
async fn nobody_adds_more_than_the_cap_to_a_user() {
    let harness = Harness::with(Setup {
        page_users: PageUsers::Trusted,
        max_subscriptions_per_user: NonZeroU32::MIN,
        ..Setup::default()
    })
    .await;
    let mut transcript = Transcript::new(&harness);
    let mut first = harness.browser_subscription();
    first["user"] = json!("alice");
    let by_page = || Call::post(&format!("{APP}/subscriptions"));
    let by_back_end = || Call::post("/v1/subscriptions").admin();
    transcript.send("her first", by_page().json(&first)).await;

    let mut second = harness.browser_subscription();
    second["user"] = json!("alice");
    transcript.send("a page", by_page().json(&second)).await;
    let refused = harness.send(by_back_end().json(&second)).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused}");

    let (id, token) = harness.register().await;
    let hers = json!({"user": "alice"});
    for change in [
        Call::patch(&format!("{APP}/subscriptions/{id}")).bearer(&token),
        Call::patch(&format!("/v1/subscriptions/{id}")).admin(),
    ] {
        let refused = harness.send(change.json(&hers)).await;
        let kind = text(&refused.json()["type"]);
        assert_eq!(kind, "urn:tidings:problem:too-many-subscriptions");
    }
    transcript
        .send("her first again", by_back_end().json(&first))
        .await;
    transcript.check("user_cap");
}
