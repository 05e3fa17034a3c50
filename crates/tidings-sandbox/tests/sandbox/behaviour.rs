use http::{Method, StatusCode};
use serde_json::{Value, json};
use tidings_webpush::{Subscription, VapidKey};
use tokio::task::JoinSet;

use crate::support::{Answer, NOTHING, Post, Setup, send, try_send};

#[tokio::test]
async fn withheld_answers_come_when_released() {
    for release in [(Method::PUT, r#"{"withhold":false}"#), (Method::DELETE, "")] {
        let setup = Setup::new().await;
        let subscription = setup.subscription("count=1").await;
        let key = VapidKey::generate().unwrap();
        setup.behave(r#"{"withhold":true}"#).await;
        let mut posts = JoinSet::new();
        for text in ["a", "b", "c"] {
            let request = Post::new(&subscription, &key, text).request();
            let origin = setup.origin().to_owned();
            posts.spawn(async move { send(&origin, request).await });
        }
        let stats = setup.stats_until(|stats| stats["withheld"] == 3).await;
        assert_eq!(
            (&stats["posts"], &stats["answered"]),
            (&json!(3), &json!(0))
        );
        let got = setup.messages(&subscription).await;
        assert_eq!(got["received"], 3);
        assert!(got["messages"][0]["answer"].is_null());

        setup.call(release.0, "/sandbox/behaviour", release.1).await;
        for answer in posts.join_all().await {
            assert_eq!(answer.status, StatusCode::CREATED);
        }
        let stats = setup.stats().await;
        assert_eq!(
            (&stats["withheld"], &stats["withheld_total"]),
            (&json!(0), &json!(3))
        );
        assert_eq!(stats["answers"], json!({"201": 3}));
        assert_eq!(
            setup.messages(&subscription).await["messages"][0]["answer"],
            201
        );
    }
}

#[tokio::test]
async fn a_sender_that_goes_away_while_it_waits_is_counted() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"withhold":true}"#).await;
    let mut posts = JoinSet::new();
    let request = Post::new(&subscription, &key, "a").request();
    let origin = setup.origin().to_owned();
    posts.spawn(async move { send(&origin, request).await });
    setup.stats_until(|stats| stats["withheld"] == 1).await;
    posts.shutdown().await;
    let stats = setup.stats_until(|stats| stats["withheld"] == 0).await;
    assert_eq!(
        (&stats["posts"], &stats["answered"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        (&stats["vanished"], &stats["in_flight"]),
        (&json!(1), &json!(0))
    );
    assert!(setup.messages(&subscription).await["messages"][0]["answer"].is_null());
}

#[tokio::test]
async fn a_shutdown_releases_what_is_withheld() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"withhold":true}"#).await;
    let mut posts = JoinSet::new();
    let request = Post::new(&subscription, &key, "a").request();
    let origin = setup.origin().to_owned();
    posts.spawn(async move { send(&origin, request).await });
    setup.stats_until(|stats| stats["withheld"] == 1).await;
    setup.sandbox.shutdown().await;
    assert_eq!(posts.join_all().await[0].status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_chosen_answer_is_given_so_often_and_takes_nothing_in() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup
        .behave(r#"{"status":429,"retry_after":"2","body":{"reason":"slow"},"times":2}"#)
        .await;
    let post = Post::new(&subscription, &key, "a");
    for _ in 0..2 {
        let answer = post.send().await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(answer.json(), json!({"reason": "slow"}));
    }
    assert_eq!(setup.messages(&subscription).await["received"], 0);
    post.accepted().await;
    assert_eq!(setup.stats().await["answers"], json!({"429": 2, "201": 1}));
    assert_eq!(
        setup.get("/sandbox/behaviour").await["rules"][0]["times"],
        0
    );
}

#[tokio::test]
async fn a_chosen_success_still_takes_the_message_in() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"status":202}"#).await;
    let answer = Post::new(&subscription, &key, "a").send().await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(
        setup.messages(&subscription).await["messages"][0]["answer"],
        202
    );
}

#[tokio::test]
async fn rules_are_for_the_subscriptions_that_they_name() {
    let setup = Setup::new().await;
    let subscriptions = setup.subscriptions("count=2").await;
    let key = VapidKey::generate().unwrap();
    let endpoint = subscriptions[0].push_resource.expose();
    setup
        .behave(&format!(
            r#"[{{"status":410,"subscriptions":["{endpoint}"]}}]"#
        ))
        .await;
    assert_eq!(
        Post::new(&subscriptions[0], &key, "a").send().await.status,
        StatusCode::GONE
    );
    Post::new(&subscriptions[1], &key, "a").accepted().await;
}

#[tokio::test]
async fn an_answer_can_be_late() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"delay_ms":150}"#).await;
    let begin = tokio::time::Instant::now();
    Post::new(&subscription, &key, "a").accepted().await;
    assert!(begin.elapsed() >= std::time::Duration::from_millis(150));
}

#[tokio::test]
async fn a_reset_gives_no_answer() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"reset":true,"times":1}"#).await;
    let post = Post::new(&subscription, &key, "a");
    let answer: hyper::Result<Answer> = try_send(setup.origin(), post.request()).await;
    assert!(answer.is_err(), "{answer:?}");
    post.accepted().await;
    let stats = setup.stats().await;
    assert_eq!((&stats["resets"], &stats["posts"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&stats["accepted"], &stats["vanished"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_post_that_breaks_off_uses_up_no_rule_and_is_no_post_of_its_subscription() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup.behave(r#"{"status":503,"times":1}"#).await;
    let tcp = setup.half_a_post(&subscription).await;
    setup.stats_until(|stats| stats["in_flight"] == 1).await;
    drop(tcp);
    let stats = setup.stats_until(|stats| stats["in_flight"] == 0).await;
    let counts = ["posts", "answered", "vanished", "resets"].map(|name| &stats[name]);
    assert_eq!(counts, [0, 0, 0, 0]);
    assert_eq!(stats["answers"], json!({}));
    assert_eq!(setup.get("/sandbox/subscriptions").await["posts"], 0);
    // Whom the fault was meant for meets it.
    let answer = Post::new(&subscription, &key, "a").send().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// A rule for one subscription.
fn only(subscription: &Subscription, mut rule: Value) -> String {
    rule["subscriptions"] = json!([subscription.push_resource.expose()]);
    rule.to_string()
}

#[tokio::test]
async fn named_rules_leave_those_of_others_alone() {
    let setup = Setup::new().await;
    let key = VapidKey::generate().unwrap();
    let [ada, bob, eve] = &setup.subscriptions("count=3").await[..] else {
        panic!("not three")
    };
    let statuses = async || {
        let mut statuses = Vec::new();
        for subscription in [ada, bob, eve] {
            let answer = Post::new(subscription, &key, "a").send().await;
            statuses.push(answer.status.as_u16());
        }
        statuses
    };
    setup
        .behave_as("ada", &only(ada, json!({"status": 503})))
        .await;
    setup
        .behave_as("bob", &only(bob, json!({"status": 429})))
        .await;
    assert_eq!(statuses().await, [503, 429, 201]);
    setup.behave(r#"{"status":500}"#).await;
    assert_eq!(statuses().await, [503, 429, 500]);
    setup
        .behave_as("ada", &only(ada, json!({"status": 502})))
        .await;
    assert_eq!(statuses().await, [502, 429, 500]);
    setup.call(Method::DELETE, "/sandbox/behaviour", "").await;
    assert_eq!(statuses().await, [502, 429, 201]);
    let shown = setup.get("/sandbox/behaviour").await;
    assert_eq!(shown["rules"], json!([]));
    let sets = [&shown["named"][0], &shown["named"][1]];
    assert_eq!(sets.map(|set| &set["name"]), ["ada", "bob"]);
    assert_eq!(sets.map(|set| &set["rules"][0]["status"]), [502, 429]);
    let answer = setup
        .call(Method::DELETE, "/sandbox/behaviour/ada", "")
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(statuses().await, [201, 429, 201]);
    assert_eq!(
        setup.get("/sandbox/behaviour/bob").await["rules"][0]["status"],
        429
    );
}

#[tokio::test]
async fn of_several_named_rules_those_decide_whose_name_is_the_oldest() {
    let setup = Setup::new().await;
    let subscription = setup.subscription("count=1").await;
    let key = VapidKey::generate().unwrap();
    setup.behave_as("b", r#"{"status":503}"#).await;
    setup.behave_as("a", r#"{"status":429}"#).await;
    setup.behave_as("b", r#"{"status":500}"#).await;
    let answer = Post::new(&subscription, &key, "a").send().await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn what_one_name_withholds_no_other_releases() {
    for last in [(Method::PUT, "[]"), (Method::DELETE, "")] {
        let setup = Setup::new().await;
        let subscription = setup.subscription("count=1").await;
        let key = VapidKey::generate().unwrap();
        setup.behave_as("ada", r#"{"withhold":true}"#).await;
        let mut posts = JoinSet::new();
        let request = Post::new(&subscription, &key, "a").request();
        let origin = setup.origin().to_owned();
        posts.spawn(async move { send(&origin, request).await });
        setup.stats_until(|stats| stats["withheld"] == 1).await;
        setup.behave_as("bob", "[]").await;
        setup
            .call(Method::DELETE, "/sandbox/behaviour/bob", "")
            .await;
        setup.call(Method::DELETE, "/sandbox/behaviour", "").await;
        tokio::time::sleep(NOTHING).await;
        assert_eq!(setup.stats().await["withheld"], 1);
        setup.call(last.0, "/sandbox/behaviour/ada", last.1).await;
        assert_eq!(posts.join_all().await[0].status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn so_many_names_are_taken_and_no_more() {
    let setup = Setup::new().await;
    for number in 0..256 {
        setup.behave_as(&number.to_string(), "[]").await;
    }
    let path = "/sandbox/behaviour/one-more";
    let answer = setup.call(Method::PUT, path, "[]").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    for hint in ["256", "DELETE"] {
        assert!(answer.text().contains(hint), "{}", answer.text());
    }
    setup.behave_as("7", r#"{"status":503}"#).await;
    setup.call(Method::DELETE, "/sandbox/behaviour/7", "").await;
    setup.behave_as("one-more", "[]").await;
}
