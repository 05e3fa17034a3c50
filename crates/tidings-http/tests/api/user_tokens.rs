//! What a page proves with a token that the application's back end signed.

use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tidings_core::application::PageUsers;
use tidings_core::user_token::{UserTokenKey, UserTokenKeys};
use tidings_testkit::FixedClock;

use crate::harness::{APP, Answer, Call, Harness, Setup, Transcript, text};

const SECRET: &str = "a secret of at least thirty-two octets";

fn setup() -> Setup {
    let key = UserTokenKey::from_secret(SECRET).unwrap();
    Setup {
        user_token_keys: UserTokenKeys::new([key]).unwrap(),
        ..Setup::default()
    }
}

fn in_seconds(offset: i64) -> i64 {
    FixedClock::START.as_millis() / 1000 + offset
}

fn claims_of(user: &str) -> Value {
    json!({"sub": user, "aud": "tidings:default", "exp": in_seconds(300)})
}

fn signed(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn token_of(user: &str) -> String {
    signed(&claims_of(user), SECRET, Algorithm::HS256)
}

fn register() -> Call {
    Call::post(&format!("{APP}/subscriptions"))
}

/// Registers, and says whose it is then.
async fn user_after(harness: &Harness, body: &Value) -> Value {
    let answer = harness.send(register().json(body)).await;
    assert!(answer.status.is_success(), "{answer}");
    user_of(harness, &text(&answer.json()["id"])).await
}

async fn user_of(harness: &Harness, id: &str) -> Value {
    let path = format!("/v1/subscriptions/{id}");
    harness.send(Call::get(&path).admin()).await.json()["user"].clone()
}

#[tokio::test]
async fn a_registration_belongs_to_the_user_of_its_token() {
    let harness = Harness::with(setup()).await;
    let browser = harness.browser_subscription();
    let mut by_alice = browser.clone();
    by_alice["user_token"] = json!(token_of("alice"));
    assert_eq!(user_after(&harness, &by_alice).await, "alice");
    // Without a word about it, it stays hers.
    assert_eq!(user_after(&harness, &browser).await, "alice");
    // Another person logged in on that browser.
    let mut by_bob = browser.clone();
    by_bob["user"] = json!("bob");
    by_bob["user_token"] = json!(token_of("bob"));
    assert_eq!(user_after(&harness, &by_bob).await, "bob");
}

#[tokio::test]
async fn every_bad_token_is_told_what_to_mend() {
    let harness = Harness::with(setup()).await;
    let mut transcript = Transcript::new(&harness);
    let with = |name: &str, value: Value| {
        let mut claims = claims_of("alice");
        claims[name] = value;
        signed(&claims, SECRET, Algorithm::HS256)
    };
    let other_secret = "another secret of at least 32 octets";
    for (what, token) in [
        ("not a token", "alice".to_owned()),
        ("expired", with("exp", json!(in_seconds(-3600)))),
        ("good for a week", with("exp", json!(in_seconds(604_800)))),
        ("no expiry", with("exp", json!(null))),
        (
            "for another application",
            with("aud", json!("tidings:other")),
        ),
        ("not good yet", with("nbf", json!(in_seconds(3600)))),
        ("made tomorrow", with("iat", json!(in_seconds(86_400)))),
        ("a number as user", with("sub", json!(42))),
        (
            "another algorithm",
            signed(&claims_of("alice"), SECRET, Algorithm::HS512),
        ),
        (
            "another secret",
            signed(&claims_of("alice"), other_secret, Algorithm::HS256),
        ),
    ] {
        let mut body = harness.browser_subscription();
        body["user_token"] = json!(token);
        let answer = transcript.send(what, register().json(&body)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
    }
    let mut body = harness.browser_subscription();
    body["user"] = json!("mallory");
    body["user_token"] = json!(token_of("alice"));
    transcript
        .send("another's token", register().json(&body))
        .await;
    body["user_token"] = json!("a".repeat(4097));
    transcript.send("4097 octets", register().json(&body)).await;
    transcript.check("user_token_refused");
    let listed = harness.send(Call::get("/v1/subscriptions").admin()).await;
    assert_eq!(listed.json()["items"], json!([]));
}

#[tokio::test]
async fn a_token_is_checked_where_pages_are_believed_without() {
    let trusting = Harness::with(Setup {
        page_users: PageUsers::Trusted,
        ..setup()
    })
    .await;
    let mut body = trusting.browser_subscription();
    body["user"] = json!("alice");
    assert_eq!(user_after(&trusting, &body).await, "alice");
    body["user_token"] = json!(token_of("mallory"));
    let answer = trusting.send(register().json(&body)).await;
    assert_eq!(
        answer.json()["type"],
        "urn:tidings:problem:user-token-refused"
    );
    // And where there is no key to check it with, it is not passed over.
    let keyless = Harness::with(Setup {
        page_users: PageUsers::Trusted,
        ..Setup::default()
    })
    .await;
    let answer = keyless.send(register().json(&body)).await;
    assert_eq!(
        answer.json()["type"],
        "urn:tidings:problem:no-user-token-key"
    );
}

#[tokio::test]
async fn a_page_attaches_and_detaches_its_own_subscription() {
    let harness = Harness::with(setup()).await;
    let (id, token) = harness.register().await;
    let path = format!("{APP}/subscriptions/{id}");
    let change = |body: Value| harness.send(Call::patch(&path).bearer(&token).json(&body));

    let attached = change(json!({"user_token": token_of("alice")})).await;
    assert_eq!(attached.status, StatusCode::NO_CONTENT, "{attached}");
    assert_eq!(user_of(&harness, &id).await, "alice");
    assert_eq!(active_of(&harness, "alice").await, 1);

    let both = change(json!({"user": null, "user_token": token_of("bob")})).await;
    assert_eq!(both.status, StatusCode::UNPROCESSABLE_ENTITY, "{both}");
    assert_eq!(both.json()["errors"][0]["pointer"], "/user_token");
    let forged = change(json!({"user": "bob", "user_token": token_of("alice")})).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN, "{forged}");
    assert_eq!(user_of(&harness, &id).await, "alice");

    let detached = change(json!({"user": null})).await;
    assert_eq!(detached.status, StatusCode::NO_CONTENT, "{detached}");
    assert_eq!(user_of(&harness, &id).await, json!(null));
    assert_eq!(active_of(&harness, "alice").await, 0);
}

/// How many active subscriptions are this person's.
async fn active_of(harness: &Harness, user: &str) -> usize {
    let path = format!("/v1/subscriptions?state=active&user={user}");
    let listed = harness.send(Call::get(&path).admin()).await.json();
    listed["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn whose_subscription_it_is_comes_before_any_token() {
    let harness = Harness::with(setup()).await;
    let (id, _) = harness.register().await;
    let path = format!("{APP}/subscriptions/{id}");
    let body = json!({"user_token": "not a token"});
    let answer: Answer = harness
        .send(Call::patch(&path).bearer("AAAA").json(&body))
        .await;
    assert_eq!(
        answer.json()["type"],
        "urn:tidings:problem:not-your-subscription"
    );
}

#[tokio::test]
async fn a_back_end_needs_no_token() {
    let harness = Harness::with(setup()).await;
    let mut body = harness.browser_subscription();
    body["user"] = json!("alice");
    body["user_token"] = json!(token_of("bob"));
    let call = Call::post("/v1/subscriptions").admin().json(&body);
    let id = text(&harness.send(call).await.json()["id"]);
    assert_eq!(user_of(&harness, &id).await, "alice");
}
