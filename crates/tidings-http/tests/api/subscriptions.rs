//! Subscriptions, as back ends see them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Call, Harness, Transcript, text};

#[tokio::test]
async fn a_back_end_is_believed_about_its_people() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let mut body = harness.browser_subscription();
    body["user"] = json!("alice");
    body["user_token"] = json!("whatever the page had");
    body["attributes"] = json!({"plan": "pro"});
    let register = || Call::post("/v1/subscriptions").admin();
    let registered = transcript.send("new", register().json(&body)).await.json();
    transcript.send("again", register().json(&body)).await;
    let path = format!("/v1/subscriptions/{}", text(&registered["id"]));
    transcript.send("shown", Call::get(&path).admin()).await;
    let change = json!({"user": null, "attributes": null, "locale": "en", "timezone": "UTC"});
    transcript
        .send("changed", Call::patch(&path).admin().json(&change))
        .await;
    transcript
        .send(
            "changed in nothing",
            Call::patch(&path).admin().json(&json!({})),
        )
        .await;
    transcript.send("ended", Call::delete(&path).admin()).await;
    transcript
        .send("a tombstone", Call::get(&path).admin())
        .await;
    transcript.check("back_end_subscription");
}

#[tokio::test]
async fn keys_and_endpoints_are_never_shown() {
    let harness = Harness::new().await;
    let body = harness.browser_subscription();
    let registered = harness
        .send(Call::post("/v1/subscriptions").admin().json(&body))
        .await;
    let path = format!("/v1/subscriptions/{}", text(&registered.json()["id"]));
    let secrets = [
        &body["endpoint"],
        &body["keys"]["p256dh"],
        &body["keys"]["auth"],
    ]
    .map(text);
    for call in [
        Call::get(&path).admin(),
        Call::get("/v1/subscriptions").admin(),
    ] {
        let answer = harness.send(call).await.to_string();
        assert!(answer.contains("\"push_service\": \"mozilla\""), "{answer}");
        assert!(
            secrets.iter().all(|secret| !answer.contains(secret)),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let harness = Harness::new().await;
    let (id, _) = harness.register().await;
    let mut transcript = Transcript::new(&harness);
    let path = format!("/v1/subscriptions/{id}");
    let nothing = format!("/v1/subscriptions/sub_{}", "0".repeat(32));
    let register = |body: &Value| Call::post("/v1/subscriptions").admin().json(body);
    transcript
        .send("no endpoint", register(&json!({"keys": {}})))
        .await;
    let mut taken = harness.browser_subscription();
    let registered = harness.send(register(&taken)).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{registered}");
    taken["keys"] = harness.browser_subscription()["keys"].clone();
    transcript
        .send("registered with other keys", register(&taken))
        .await;
    for (what, change) in [
        ("an unknown member", json!({"state": "active"})),
        ("a user that is too long", json!({"user": "u".repeat(129)})),
        (
            "51 attributes",
            json!({"attributes": (0..51).map(|i| (format!("a{i}"), json!(1))).collect::<serde_json::Map<_, _>>()}),
        ),
        ("a number as locale", json!({"locale": 1})),
    ] {
        transcript
            .send(what, Call::patch(&path).admin().json(&change))
            .await;
    }
    transcript
        .send("showing what is not there", Call::get(&nothing).admin())
        .await;
    transcript
        .send(
            "changing what is not there",
            Call::patch(&nothing).admin().json(&json!({})),
        )
        .await;
    transcript
        .send("ending what is not there", Call::delete(&nothing).admin())
        .await;
    transcript
        .send("not an id", Call::get("/v1/subscriptions/x").admin())
        .await;
    transcript.check("back_end_subscription_refused");
}

#[tokio::test]
async fn subscriptions_are_listed_by_state_and_user() {
    let harness = Harness::new().await;
    let mut ids = Vec::new();
    for user in ["alice", "bob", "alice"] {
        let mut body = harness.browser_subscription();
        body["user"] = json!(user);
        let call = Call::post("/v1/subscriptions").admin().json(&body);
        ids.push(text(&harness.send(call).await.json()["id"]));
    }
    let ended = Call::delete(&format!("/v1/subscriptions/{}", ids[2])).admin();
    assert_eq!(harness.send(ended).await.status, StatusCode::NO_CONTENT);
    for (query, expected) in [
        ("", vec![&ids[2], &ids[1], &ids[0]]),
        ("?user=alice", vec![&ids[2], &ids[0]]),
        ("?state=active", vec![&ids[1], &ids[0]]),
        ("?state=ended&user=alice", vec![&ids[2]]),
        ("?user=carol", vec![]),
    ] {
        let list = harness
            .send(Call::get(&format!("/v1/subscriptions{query}")).admin())
            .await
            .json();
        let listed: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| text(&it["id"]))
            .collect();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(list["next"], Value::Null, "{query}");
    }
    let first = harness
        .send(Call::get("/v1/subscriptions?limit=2").admin())
        .await
        .json();
    let rest = format!("/v1/subscriptions?cursor={}", text(&first["next"]));
    let rest = harness.send(Call::get(&rest).admin()).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["items"][0]["id"], ids[0]);

    let mut transcript = Transcript::new(&harness);
    transcript
        .send("the first", Call::get("/v1/subscriptions?limit=1").admin())
        .await;
    for query in ["state=new", "user=", "filter=x", "limit=1000"] {
        transcript
            .send(
                query,
                Call::get(&format!("/v1/subscriptions?{query}")).admin(),
            )
            .await;
    }
    transcript.check("subscriptions_listed");
}

#[tokio::test]
async fn a_query_has_so_many_parameters() {
    let harness = Harness::new().await;
    let query = |count: usize| {
        let parameters: Vec<_> = (0..count).map(|n| format!("p{n}=1")).collect();
        Call::get(&format!("/v1/subscriptions?{}", parameters.join("&"))).admin()
    };
    let told = async |count| {
        let answer = harness.send(query(count)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        text(&answer.json()["errors"][0]["detail"]).clone()
    };
    assert!(!told(16).await.contains("one too many"));
    assert!(told(17).await.contains("at most 16"));
}
