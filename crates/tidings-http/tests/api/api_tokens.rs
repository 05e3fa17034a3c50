//! API tokens: making, showing, listing and revoking them, and what each may do.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tidings_core::api_token::Scope;
use tidings_core::clock::Clock as _;

use crate::harness::{
    Answer, Call, FOR_ANYBODY, Harness, OTHER_APPLICATION, Setup, Transcript, text,
};

/// The only endpoints for which the mere possession of a token is enough.
const FOR_ANY_SCOPE: &[(&str, &str)] = &[("get", "/v1/vapid-keys")];

#[tokio::test]
async fn a_token_is_made_used_listed_and_revoked() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let add = |body: &Value| Call::post("/v1/api-tokens").admin().json(body);
    let list = || Call::get("/v1/api-tokens").admin();
    let made = transcript
        .send(
            "a token for a back end",
            add(&json!({"name": "shop", "scopes": ["messages:send", "messages:read"]})),
        )
        .await
        .json();
    let token = text(&made["token"]);
    harness.clock.advance(Duration::from_secs(1));
    transcript
        .send(
            "a token that expires, for an operator",
            add(&json!({
                "name": "CI", "scopes": ["admin", "admin"],
                "application": "default", "expires_in": "90d",
            })),
        )
        .await;
    transcript.send("both, the newer one first", list()).await;
    transcript
        .send("it is good", Call::get("/v1/messages").bearer(&token))
        .await;
    transcript.send("when it was used", list()).await;
    let own = format!("/v1/api-tokens/{}", text(&made["id"]));
    transcript.send("revoked", Call::delete(&own).admin()).await;
    transcript
        .send(
            "not taken any more",
            Call::get("/v1/messages").bearer(&token),
        )
        .await;
    transcript
        .send("revoked again", Call::delete(&own).admin())
        .await;
    transcript
        .send(
            "a part of the list",
            Call::get("/v1/api-tokens?limit=1").admin(),
        )
        .await;
    transcript.check("api_tokens");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let add = |body: &Value| Call::post("/v1/api-tokens").admin().json(body);
    for (what, body) in [
        ("nothing", json!({})),
        ("no name", json!({"name": "", "scopes": ["admin"]})),
        (
            "a long name",
            json!({"name": "x".repeat(101), "scopes": ["admin"]}),
        ),
        ("no scope", json!({"name": "x", "scopes": []})),
        (
            "an unknown scope",
            json!({"name": "x", "scopes": ["admin", "messages:write"]}),
        ),
        ("one scope as text", json!({"name": "x", "scopes": "admin"})),
        (
            "an unknown application",
            json!({"name": "x", "scopes": ["admin"], "application": "shop"}),
        ),
        (
            "no application's name",
            json!({"name": "x", "scopes": ["admin"], "application": "My shop"}),
        ),
        (
            "no life at all",
            json!({"name": "x", "scopes": ["admin"], "expires_in": 0}),
        ),
        (
            "too long a life",
            json!({"name": "x", "scopes": ["admin"], "expires_in": "3651d"}),
        ),
        (
            "a secret of one's own",
            json!({"name": "x", "scopes": ["admin"], "token": "tdg_1"}),
        ),
    ] {
        transcript.send(what, add(&body)).await;
    }
    let nothing = format!("/v1/api-tokens/tok_{}", "0".repeat(32));
    transcript
        .send("revoking nothing", Call::delete(&nothing).admin())
        .await;
    transcript
        .send("not an id", Call::delete("/v1/api-tokens/shop").admin())
        .await;
    transcript
        .send(
            "a cursor of another list",
            Call::get("/v1/api-tokens?cursor=bQ").admin(),
        )
        .await;
    transcript.check("api_tokens_refused");
}

#[tokio::test]
async fn tokens_that_are_not_taken_say_why() {
    let harness = Harness::new().await;
    let made = make(&harness, &["messages:read"], json!({"expires_in": 60})).await;
    let token = text(&made["token"]);
    let call = || Call::get("/v1/messages").bearer(&token);
    harness.clock.advance(Duration::from_millis(59_999));
    assert_eq!(harness.send(call()).await.status, StatusCode::OK);
    harness.clock.advance(Duration::from_millis(1));
    let mut transcript = Transcript::new(&harness);
    let expired = transcript.send("expired", call()).await;
    let says_when = format!("expired at {}", text(&made["expires_at"]));
    assert!(text(&expired.json()["detail"]).contains(&says_when));
    let own = format!("/v1/api-tokens/{}", text(&made["id"]));
    transcript
        .send("revoked after it had expired", Call::delete(&own).admin())
        .await;
    transcript.send("revoked", call()).await;
    let mut other = token.clone();
    let last = other.pop().unwrap();
    other.push(if last == 'A' { 'B' } else { 'A' });
    transcript
        .send("nobody's", Call::get("/v1/messages").bearer(&other))
        .await;
    let reader = make(&harness, &["messages:read"], json!({})).await;
    let reader = text(&reader["token"]);
    transcript
        .send(
            "without the scope",
            Call::post("/v1/messages").bearer(&reader).json(&json!({})),
        )
        .await;
    transcript.check("api_tokens_not_taken");
}

/// Every endpoint for back ends names one scope in the API's description. It is refused to every
/// token that has only other scopes, before anything else is looked at, and not refused to one that
/// has this one.
#[tokio::test]
async fn every_back_end_endpoint_wants_the_scope_it_names() {
    let harness = Harness::new().await;
    let mut tokens = Vec::new();
    for scope in Scope::ALL {
        let made = make(&harness, &[scope.as_str()], json!({})).await;
        tokens.push((scope, text(&made["token"])));
    }
    let document: Value = serde_json::from_str(&tidings_http::openapi_json()).unwrap();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let for_anybody = path.starts_with("/v1/apps/") || FOR_ANYBODY.contains(&&**path);
        for (method, operation) in item.as_object().unwrap().iter().filter(|_| !for_anybody) {
            let needed = needed_scope(method, path, operation);
            for (scope, token) in &tokens {
                let answer = ask(&harness, method, path, token).await;
                let may = needed.is_none_or(|it| it == *scope || *scope == Scope::Admin);
                let refusal = needed.filter(|_| !may);
                check_refusal(&answer, refusal, &format!("{method} {path} with {scope:?}"));
            }
            asked += 1;
        }
    }
    assert!(asked >= 15, "only {asked} endpoints found");
}

/// The one scope that the description names; `None` where it says that any will do.
fn needed_scope(method: &str, path: &str, operation: &Value) -> Option<Scope> {
    let ways = operation["security"].as_array();
    let [way] = ways.map_or(&[][..], Vec::as_slice) else {
        panic!("{method} {path} does not say who may call it")
    };
    let scopes = way["api_token"].as_array().unwrap();
    if FOR_ANY_SCOPE.contains(&(method, path)) {
        assert!(scopes.is_empty(), "{method} {path} is for any scope");
        return None;
    }
    let [scope] = scopes.as_slice() else {
        panic!("{method} {path} does not name one scope")
    };
    Some(Scope::parse(scope.as_str().unwrap()).expect("a scope"))
}

async fn ask(harness: &Harness, method: &str, path: &str, token: &str) -> Answer {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let call = Call::new(method, &path.replace("{id}", "x")).bearer(token);
    harness.send(call.json(&json!({}))).await
}

fn check_refusal(answer: &Answer, refusal: Option<Scope>, what: &str) {
    let challenge = answer.header("www-authenticate");
    let Some(needed) = refusal else {
        assert_eq!(challenge, None, "{what}: {answer}");
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{what}: {answer}");
        return;
    };
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}: {answer}");
    assert_eq!(
        answer.json()["type"],
        "urn:tidings:problem:insufficient-scope",
        "{what}"
    );
    let expected = format!(
        "Bearer realm=\"tidings\", error=\"insufficient_scope\", scope=\"{}\"",
        needed.as_str()
    );
    assert_eq!(challenge, Some(&*expected), "{what}");
    let detail = text(&answer.json()["detail"]);
    assert!(detail.contains(needed.as_str()), "{what}: {detail}");
}

#[tokio::test]
async fn a_token_knows_its_own_application_only() {
    let harness = Harness::with(Setup {
        two_applications: true,
        ..Setup::default()
    })
    .await;
    let (subscription, _) = harness.register().await;
    let path = format!("/v1/subscriptions/{subscription}");
    let theirs = json!({"application": OTHER_APPLICATION});
    let theirs = make(&harness, &["subscriptions:read"], theirs).await;
    assert_eq!(theirs["application"], OTHER_APPLICATION);
    let (theirs_id, theirs) = (text(&theirs["id"]), text(&theirs["token"]));
    let for_app = |token: &str, app: Option<&str>| {
        let call = Call::get(&path).bearer(token);
        match app {
            Some(app) => call.header("tidings-application", app),
            None => call,
        }
    };
    let nowhere = harness.send(for_app(&theirs, Some("nowhere"))).await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    let other = harness.send(for_app(&theirs, Some("default"))).await;
    let told = |answer: &Answer| {
        let json = answer.json();
        (json["type"].clone(), json["detail"].clone())
    };
    assert_eq!(told(&other), told(&nowhere), "nothing is told of others");
    for own in [None, Some(OTHER_APPLICATION)] {
        let answer = harness.send(for_app(&theirs, own)).await;
        assert_eq!(
            answer.json()["type"],
            "urn:tidings:problem:subscription-not-found",
            "{answer}"
        );
    }

    let admin = make(
        &harness,
        &["admin"],
        json!({"application": OTHER_APPLICATION}),
    )
    .await;
    let admin = text(&admin["token"]);
    let answer = harness.send(for_app(&admin, Some("default"))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    let answer = harness.send(for_app(&admin, None)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "its own is the other");
    // One application's list and its revocations do not reach the other's tokens.
    let revoke = Call::delete(&format!("/v1/api-tokens/{theirs_id}")).admin();
    assert_eq!(harness.send(revoke).await.status, StatusCode::NOT_FOUND);
    let list = harness.send(Call::get("/v1/api-tokens").admin()).await;
    assert_eq!(list.json()["items"], json!([]));
    let still = harness.send(for_app(&theirs, None)).await;
    assert_eq!(
        still.json()["type"],
        "urn:tidings:problem:subscription-not-found"
    );
}

#[tokio::test]
async fn the_last_use_is_shown_at_once_and_written_later() {
    let harness = Harness::new().await;
    let made = make(&harness, &["messages:read"], json!({})).await;
    let shown = async || {
        let list = harness.send(Call::get("/v1/api-tokens").admin()).await;
        list.json()["items"][0]["last_used_at"].clone()
    };
    let written = || -> Option<i64> {
        let sql = "SELECT last_used_at FROM api_tokens";
        let database = harness.database();
        database.query_row(sql, (), |row| row.get(0)).unwrap()
    };
    assert_eq!(shown().await, Value::Null);
    harness.clock.advance(Duration::from_secs(5));
    let now = harness.clock.now();
    let use_it = async |path: &str| {
        let call = Call::get(path).bearer(made["token"].as_str().unwrap());
        harness.send(call).await.status
    };
    assert_eq!(use_it("/v1/messages").await, StatusCode::OK);
    assert_eq!(shown().await, json!(now.to_string()));
    assert_eq!(written(), None, "no request writes");

    harness.server.record_api_token_uses().await.unwrap();
    assert_eq!(written(), Some(now.as_millis()));
    assert_eq!(shown().await, json!(now.to_string()));
}

#[tokio::test]
async fn uses_that_could_not_be_written_are_not_lost() {
    let harness = Harness::new().await;
    let made = make(&harness, &["messages:read"], json!({})).await;
    let call = Call::get("/v1/messages").bearer(made["token"].as_str().unwrap());
    harness.send(call).await;
    let rename = |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        harness.database().execute_batch(&sql).unwrap();
    };
    rename("api_tokens", "elsewhere");
    harness.server.record_api_token_uses().await.unwrap_err();
    rename("elsewhere", "api_tokens");
    harness.server.record_api_token_uses().await.unwrap();
    let sql = "SELECT last_used_at FROM api_tokens";
    let written: Option<i64> = harness
        .database()
        .query_row(sql, (), |row| row.get(0))
        .unwrap();
    assert_eq!(written, Some(harness.clock.now().as_millis()));
}

#[tokio::test]
async fn a_token_that_ended_stays_in_the_list_for_30_days() {
    let harness = Harness::new().await;
    let made = make(&harness, &["messages:read"], json!({"expires_in": "1h"})).await;
    let kind = async || {
        let call = Call::get("/v1/messages").bearer(made["token"].as_str().unwrap());
        text(&harness.send(call).await.json()["type"])
    };
    harness.clock.advance(Duration::from_hours(1 + 30 * 24));
    assert_eq!(harness.server.forget_api_tokens().await.unwrap(), 0);
    assert_eq!(kind().await, "urn:tidings:problem:token-expired");
    harness.clock.advance(Duration::from_millis(1));
    assert_eq!(harness.server.forget_api_tokens().await.unwrap(), 1);
    assert_eq!(kind().await, "urn:tidings:problem:unauthorized");
    let list = harness.send(Call::get("/v1/api-tokens").admin()).await;
    assert_eq!(list.json()["items"], json!([]));
}

#[tokio::test]
async fn the_text_of_a_token_is_not_kept() {
    let harness = Harness::new().await;
    let made = make(&harness, &["admin"], json!({})).await;
    let token = text(&made["token"]);
    let database = harness.database();
    let kept: Vec<u8> = database
        .query_row("SELECT hash FROM api_tokens", (), |row| row.get(0))
        .unwrap();
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    assert_eq!(kept, sum.as_ref());
}

/// A token named `x` with these scopes, and what `more` says.
async fn make(harness: &Harness, scopes: &[&str], more: Value) -> Value {
    let mut body = json!({"name": "x", "scopes": scopes});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let call = Call::post("/v1/api-tokens").admin().json(&body);
    let answer = harness.send(call).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
    answer.json()
}
