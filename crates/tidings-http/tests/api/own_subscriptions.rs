//! What a page does with its own subscription.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tidings_core::application::PageUsers;

use crate::harness::{APP, Call, Harness, Setup, Transcript, text};

fn register() -> Call {
    Call::post(&format!("{APP}/subscriptions"))
}

fn own(id: &str) -> String {
    format!("{APP}/subscriptions/{id}")
}

#[tokio::test]
async fn registering_again_gives_the_same_id_and_token() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let mut body = harness.browser_subscription();
    let first = transcript.send("new", register().json(&body)).await.json();

    body["attributes"] = json!({"plan": "pro", "age": 3, "beta": true, "tags": ["a", "b"]});
    body["locale"] = json!("de-at");
    body["timezone"] = json!("europe/vienna");
    body["encodings"] = json!(["aes128gcm", "aesgcm"]);
    body["a member of a future browser"] = json!({"x": [1]});
    let again = transcript
        .send("again, with more about it", register().json(&body))
        .await
        .json();
    assert_eq!(first, again);

    let path = format!("/v1/subscriptions/{}", text(&first["id"]));
    transcript
        .send("as its back end sees it", Call::get(&path).admin())
        .await;

    body["keys"] = harness.browser_subscription()["keys"].clone();
    transcript
        .send("with other keys", register().json(&body))
        .await;
    transcript.check("register");
}

#[tokio::test]
async fn what_is_wrong_with_a_subscription_is_told_with_its_place() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let good = harness.browser_subscription();
    let off_the_curve = format!("B{}", "A".repeat(86));
    for (what, pointer, value) in [
        ("no keys", "/keys", json!(null)),
        ("no endpoint", "/endpoint", json!(null)),
        ("a number as endpoint", "/endpoint", json!(7)),
        (
            "this machine as endpoint",
            "/endpoint",
            json!("http://127.0.0.1"),
        ),
        (
            "this machine by https",
            "/endpoint",
            json!("https://127.0.0.1/x"),
        ),
        (
            "a host that nobody knows",
            "/endpoint",
            json!("https://push.example.net/x"),
        ),
        ("not a URL", "/endpoint", json!("wpush/v2/x")),
        ("a key off the curve", "/keys/p256dh", json!(off_the_curve)),
        (
            "a compressed key",
            "/keys/p256dh",
            json!(format!("A{}", "A".repeat(43))),
        ),
        ("a short secret", "/keys/auth", json!("AAAA")),
        ("a nested attribute", "/attributes", json!({"a": {"b": 1}})),
        ("a bad name", "/attributes", json!({"a/b": 1})),
        ("attributes as text", "/attributes", json!("plan=pro")),
        (
            "another kind of id",
            "/vapid_key",
            json!("sub_00000000000000000000000000000000"),
        ),
        (
            "a key of nobody",
            "/vapid_key",
            json!("key_00000000000000000000000000000000"),
        ),
        (
            "only an encoding that is gone",
            "/encodings",
            json!(["aesgcm128"]),
        ),
        ("an empty user", "/user", json!("")),
    ] {
        let mut body = good.clone();
        match body.pointer_mut(pointer) {
            Some(place) if value.is_null() => *place = json!(null),
            Some(place) => *place = value,
            None => body[pointer.trim_start_matches('/')] = value,
        }
        let answer = transcript.send(what, register().json(&body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{what}");
    }
    transcript
        .send("nothing", register().json(&json!({})))
        .await;
    transcript.check("register_refused");
}

#[tokio::test]
async fn a_page_names_a_person_only_where_it_is_believed() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let mut body = harness.browser_subscription();
    body["user"] = json!("mallory");
    transcript
        .send("without proof", register().json(&body))
        .await;
    body["user_token"] = json!("eyJhbGciOiJIUzI1NiJ9.e30.x");
    transcript
        .send("with a token that nobody can check", register().json(&body))
        .await;
    let (id, token) = harness.register().await;
    let change = || Call::patch(&own(&id)).bearer(&token);
    transcript
        .send("later", change().json(&json!({"user": "mallory"})))
        .await;
    transcript
        .send("nobody", change().json(&json!({"user": null})))
        .await;
    transcript.check("page_users_proved");

    let trusting = Harness::with(Setup {
        page_users: PageUsers::Trusted,
        ..Setup::default()
    })
    .await;
    let mut body = trusting.browser_subscription();
    body["user"] = json!("alice");
    let registered = trusting.send(register().json(&body)).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{registered}");
    let path = format!("/v1/subscriptions/{}", text(&registered.json()["id"]));
    assert_eq!(
        trusting.send(Call::get(&path).admin()).await.json()["user"],
        "alice"
    );
}

#[tokio::test]
async fn without_an_active_key_nothing_is_registered() {
    let harness = Harness::with(Setup {
        with_vapid_key: false,
        ..Setup::default()
    })
    .await;
    let mut transcript = Transcript::new(&harness);
    transcript
        .send("the key", Call::get(&format!("{APP}/vapid-public-key")))
        .await;
    transcript
        .send(
            "a subscription",
            register().json(&harness.browser_subscription()),
        )
        .await;
    transcript.check("no_active_key");
}

#[tokio::test]
async fn a_page_changes_and_ends_its_own_subscription_only() {
    let harness = Harness::new().await;
    let (id, token) = harness.register().await;
    let (other, _) = harness.register().await;
    let mut transcript = Transcript::new(&harness);
    let change = json!({"attributes": {"plan": "free"}, "locale": "fr", "timezone": null});
    transcript
        .send("no token", Call::patch(&own(&id)).json(&change))
        .await;
    transcript
        .send(
            "a wrong token",
            Call::patch(&own(&id)).bearer("AAAA").json(&change),
        )
        .await;
    transcript
        .send(
            "another's",
            Call::patch(&own(&other)).bearer(&token).json(&change),
        )
        .await;
    transcript
        .send(
            "of nobody",
            Call::patch(&own(&format!("sub_{}", "0".repeat(32))))
                .bearer(&token)
                .json(&change),
        )
        .await;
    transcript
        .send(
            "not an id",
            Call::patch(&own("1")).bearer(&token).json(&change),
        )
        .await;
    transcript
        .send(
            "its own",
            Call::patch(&own(&id)).bearer(&token).json(&change),
        )
        .await;
    transcript
        .send(
            "an unknown member",
            Call::patch(&own(&id))
                .bearer(&token)
                .json(&json!({"plan": 1})),
        )
        .await;
    transcript
        .send(
            "what became of it",
            Call::get(&format!("/v1/subscriptions/{id}")).admin(),
        )
        .await;
    transcript
        .send(
            "ending another's",
            Call::delete(&own(&other)).bearer(&token),
        )
        .await;
    transcript
        .send("ending without token", Call::delete(&own(&id)))
        .await;
    transcript
        .send("ending its own", Call::delete(&own(&id)).bearer(&token))
        .await;
    transcript
        .send("ending it again", Call::delete(&own(&id)).bearer(&token))
        .await;
    transcript
        .send(
            "testing what ended",
            Call::post(&format!("{}/test", own(&id))).bearer(&token),
        )
        .await;
    transcript.check("own_subscription");
}

#[tokio::test]
async fn a_test_is_sent_once_in_ten_seconds() {
    let harness = Harness::new().await;
    let (id, token) = harness.register().await;
    let mut transcript = Transcript::new(&harness);
    let test = || Call::post(&format!("{}/test", own(&id)));
    transcript.send("no token", test()).await;
    transcript
        .send("a wrong token", test().bearer("AAAA"))
        .await;
    transcript.send("the first", test().bearer(&token)).await;
    assert_eq!(harness.messages_accepted(), 1);
    harness.clock.advance(Duration::from_millis(3_500));
    transcript.send("too soon", test().bearer(&token)).await;
    harness.clock.advance(Duration::from_millis(6_500));
    transcript
        .send("ten seconds later", test().bearer(&token))
        .await;
    assert_eq!(harness.messages_accepted(), 2);
    transcript.check("test");
}
