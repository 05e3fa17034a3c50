//! What each answer of a push service does to a delivery and to its subscription.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::{
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
            ttl: "1s",
            outcome: "expired",
            state: "active",
            posts: Posts::AtLeast(1),
            not_before: Duration::ZERO,
        },
    ]
}
