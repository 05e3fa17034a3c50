//! What each answer of a push service does to a delivery and to its subscription.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Api,
    sandbox::{Sandbox, Scheme},
    tidings::{Counts, Registered, Settings, Tidings, notification},
};

struct Case {
    name: &'static str,
    /// The rule for its subscription; without one the sandbox is honest.
    rule: Value,
    ttl: &'static str,
    outcome: &'static str,
    state: &'static str,
    /// POSTs that the rule applied to.
    posts: Posts,
    /// The outcome cannot be known before.
    not_before: Duration,
}

enum Posts {
    Exactly(u64),
    AtLeast(u64),
}

/// Where pages register.
const PAGE_PATH: &str = "/v1/apps/default/subscriptions";

/// Room for more POSTs than a rule will see.
const MANY: u64 = 1_000;

#[tokio::test]
async fn each_answer_has_its_outcome_and_only_404_and_410_end_a_subscription() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let tidings = Tidings::start(&Settings::below(folder.path()).trust(&sandbox)).await?;
    let cases = cases();
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox
        .subscriptions(cases.len(), Scheme::Https, &key)
        .await?;
    let registered = tidings.register_all(&subscriptions).await?;
    let rules = cases.iter().zip(&registered).map(|(case, registered)| {
        let mut rule = case.rule.clone();
        rule["subscriptions"] = json!([registered.subscription.endpoint()]);
        rule
    });
    sandbox.behave(&rules.collect()).await?;

    let tried = cases
        .iter()
        .zip(&registered)
        .map(|(case, registered)| try_case(&tidings, case, registered));
    try_join_all(tried).await?;
    let rules = sandbox.rules().await?;
    for (index, case) in cases.iter().enumerate() {
        check_posts(case, &rules[index])?;
    }
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

/// Whoever registers an endpoint chooses what the server asks, and must not get to read what it is
/// answered.
#[tokio::test]
async fn what_a_push_service_says_is_not_told_to_who_registered() -> Result<()> {
    const SAID: &str = "a secret of the network behind";
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let tidings = Tidings::start(&Settings::below(folder.path()).trust(&sandbox)).await?;
    let key = tidings.vapid_key().await?;
    for status in [400, 403, 410] {
        let subscriptions = sandbox.subscriptions(1, Scheme::Https, &key).await?;
        let page = subscriptions.first().context("no subscription")?;
        let answer = json!({
            "status": status, "headers": {"x-said": SAID}, "body": {"reason": SAID, "message": SAID},
        });
        sandbox.behave(&json!([answer])).await?;
        let registration = || tidings.api().ask(Method::POST, PAGE_PATH, Some(&page.json));
        let first = registration().await?;
        let own: Value = serde_json::from_slice(first.body())?;
        let id = own["id"].as_str().context("no id")?.to_owned();
        let audience = json!({"subscriptions": [id]});
        let message = tidings.send(&notification(&audience, "Hi")).await?;
        tidings.wait_until_done(&message).await?;
        let as_page = Api::with_token(
            tidings.api().origin().to_owned(),
            own["token"].as_str().context("no token")?.to_owned(),
        );
        let own_path = format!("{PAGE_PATH}/{id}");
        let told = [
            first,
            tidings
                .api()
                .ask(Method::GET, &format!("/v1/messages/{message}"), None)
                .await?,
            tidings
                .api()
                .ask(Method::GET, &format!("/v1/subscriptions/{id}"), None)
                .await?,
            as_page
                .ask(Method::POST, &format!("{own_path}/test"), None)
                .await?,
            as_page
                .ask(Method::PATCH, &own_path, Some(&json!({})))
                .await?,
            registration().await?,
        ];
        for answer in told {
            let text = format!("{answer:?}");
            assert!(!text.contains(SAID), "after {status}: {text}");
        }
    }
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

async fn try_case(tidings: &Tidings, case: &Case, registered: &Registered) -> Result<()> {
    let mut message = notification(&json!({"subscriptions": [registered.id]}), case.name);
    message["ttl"] = case.ttl.into();
    let begun = Instant::now();
    let message = tidings.send(&message).await?;
    let done = tidings.wait_until_done(&message).await;
    let counts = done.context(case.name)?;
    assert!(
        begun.elapsed() >= case.not_before,
        "{}: too early",
        case.name
    );
    assert_eq!(counts, Counts::new(&[(case.outcome, 1)]), "{}", case.name);
    let state = tidings.subscription_state(registered).await?;
    assert_eq!(state, case.state, "{}", case.name);
    Ok(())
}

fn check_posts(case: &Case, rule: &Value) -> Result<()> {
    let before = case.rule["times"]
        .as_u64()
        .context("a rule without times")?;
    let left = rule["times"].as_u64().context("a rule without times")?;
    let posts = before - left;
    let as_expected = match case.posts {
        Posts::Exactly(expected) => posts == expected,
        Posts::AtLeast(least) => posts >= least,
    };
    assert!(as_expected, "{}: posted {posts} times", case.name);
    Ok(())
}

/// A case in which the push service says `status` for ever, and its last word is the first.
fn final_answer(name: &'static str, status: u16, outcome: &'static str) -> Case {
    let state = if outcome == "gone" { "gone" } else { "active" };
    Case {
        name,
        rule: json!({"status": status, "times": MANY}),
        ttl: "1h",
        outcome,
        state,
        posts: Posts::Exactly(1),
        not_before: Duration::ZERO,
    }
}

/// A case in which the push service does so once, and takes the message when it comes again.
fn passing_trouble(name: &'static str, mut rule: Value) -> Case {
    rule["times"] = 1.into();
    Case {
        name,
        rule,
        ttl: "1h",
        outcome: "accepted",
        state: "active",
        posts: Posts::Exactly(1),
        not_before: Duration::ZERO,
    }
}

fn cases() -> Vec<Case> {
    vec![
        final_answer("201", 201, "accepted"),
        final_answer("202, as Apple once said", 202, "accepted"),
        final_answer("404", 404, "gone"),
        final_answer("410", 410, "gone"),
        final_answer("400", 400, "refused"),
        final_answer("401", 401, "refused"),
        final_answer("403", 403, "refused"),
        final_answer("413", 413, "refused"),
        passing_trouble("408", json!({"status": 408})),
        passing_trouble("500", json!({"status": 500})),
        passing_trouble("503", json!({"status": 503})),
        passing_trouble("a redirect to nowhere", json!({"status": 307})),
        passing_trouble("no answer", json!({"reset": true})),
        passing_trouble("429 without a word about when", json!({"status": 429})),
        Case {
            not_before: Duration::from_secs(1),
            ..passing_trouble(
                "429 for a second",
                json!({"status": 429, "retry_after": "1"}),
            )
        },
        Case {
            not_before: Duration::from_secs(2),
            ..passing_trouble(
                "503 for two seconds",
                json!({"status": 503, "retry_after": "2"}),
            )
        },
        Case {
            name: "429 for longer than the message lives",
            rule: json!({"status": 429, "retry_after": "3600", "times": MANY}),
            ttl: "20m",
            outcome: "expired",
            state: "active",
            posts: Posts::Exactly(1),
            not_before: Duration::ZERO,
        },
        Case {
            name: "503 until the message's time is over",
            rule: json!({"status": 503, "times": MANY}),
            // Enough for the first POST of a busy machine.
            ttl: "5s",
            outcome: "expired",
            state: "active",
            posts: Posts::AtLeast(1),
            not_before: Duration::ZERO,
        },
    ]
}
