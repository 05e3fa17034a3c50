//! That each push service is played as senders know it.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tidings_sandbox::Personality;
use tidings_webpush::{Answer as Meaning, Subscription};

use crate::support::{Answer, Setup, seal, send};
use crate::vapid::{Signer, in_hours};

const VECTORS: &str =
    include_str!("../../../tidings-webpush/tests/vectors/push-service-responses.json");

/// A sandbox, and a subscription whose messages are signed as they should be.
struct Played {
    personality: Personality,
    setup: Setup,
    subscription: Subscription,
    authorization: String,
}

impl Played {
    async fn new(personality: Personality) -> Self {
        let setup = Setup::with(|options| options.personality = personality).await;
        let signer = Signer::new();
        let parameters = format!("applicationServerKey={}", signer.public_key());
        let authorization = signer.authorization(&json!({
            "aud": setup.origin(),
            "exp": in_hours(12),
            "sub": "mailto:push@example.com",
        }));
        Self {
            personality,
            subscription: setup.subscription(&parameters).await,
            setup,
            authorization,
        }
    }

    async fn post(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::post(self.subscription.push_resource.path_and_query())
            .header("Authorization", &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.into())).unwrap();
        send(self.setup.origin(), request).await
    }

    async fn post_good(&self) -> Answer {
        let headers = [("TTL", "60"), ("Content-Encoding", "aes128gcm")];
        self.post(&headers, seal(&self.subscription, b"hello"))
            .await
    }
}

/// Whether a sender that understands this does what the vectors ask.
fn is_action(meaning: &Meaning, action: &str) -> bool {
    match action {
        "accepted" => matches!(meaning, Meaning::Accepted { .. }),
        "drop" => *meaning == Meaning::Gone,
        "retry" => matches!(meaning, Meaning::SlowDown { .. } | Meaning::Unwell { .. }),
        "retry-as-told" => matches!(meaning, Meaning::Unwell { .. }),
        "fix-message" => matches!(meaning, Meaning::MessageRefused | Meaning::TooLarge),
        "fix-config" => *meaning == Meaning::KeyRefused,
        "keep-and-report" => *meaning == Meaning::MessageRefused,
        "not-delivered" | "throttled" => matches!(meaning, Meaning::Dropped { .. }),
        unknown => panic!("the action {unknown} is new"),
    }
}

fn of_vector(case: &Value) -> Personality {
    match case["push_service"].as_str().unwrap() {
        "generic" | "other" => Personality::Plain,
        name => name.parse().unwrap(),
    }
}

#[tokio::test]
async fn every_recorded_answer_can_be_played_and_is_understood() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["responses"].as_array().unwrap();
    let mut checked = 0;
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        for case in cases.iter().filter(|case| of_vector(case) == personality) {
            let mut rule = json!({"status": case["status"]});
            for (member, recorded) in [("headers", "headers"), ("body", "body_utf8")] {
                if let Some(value) = case.get(recorded) {
                    rule[member] = value.clone();
                }
            }
            played.setup.behave(&rule.to_string()).await;
            let meaning = played.post_good().await.meaning(personality);
            let action = case["action"].as_str().unwrap();
            assert!(is_action(&meaning, action), "{case}: {meaning:?}");
            checked += 1;
        }
    }
    assert_eq!(checked, cases.len());
    assert!(checked > 60, "the vectors have {checked} cases");
}

#[tokio::test]
async fn a_commanded_status_is_worded_as_the_push_service_would() {
    const CASES: [(u16, &str); 6] = [
        (404, "drop"),
        (410, "drop"),
        (413, "fix-message"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ];
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        for (status, action) in CASES {
            let rule = json!({"status": status, "retry_after": "7"}).to_string();
            played.setup.behave(&rule).await;
            let answer = played.post_good().await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("retry-after"), "7");
            let meaning = answer.meaning(personality);
            assert!(is_action(&meaning, action), "{personality} {status}");
            let text = answer.text();
            match personality {
                Personality::Fcm => assert!(text.ends_with('\n'), "{text}"),
                Personality::Mozilla => assert_eq!(answer.refusal().0, status),
                Personality::Apple => assert!(answer.json()["reason"].is_string(), "{text}"),
                _ => assert!(text.is_empty(), "{text}"),
            }
        }
    }
}

#[tokio::test]
async fn a_message_is_accepted_in_the_manner_of_each() {
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        let answer = played.post_good().await;
        assert_eq!(answer.status, 201, "{personality}");
        assert!(answer.body.is_empty());
        let has = |name: &str| answer.headers.contains_key(name);
        match personality {
            Personality::Apple => assert!(has("apns-id") && !has("location")),
            Personality::Wns => {
                assert_eq!(answer.header("x-wns-status"), "received");
                assert!(has("x-wns-msg-id") && has("ms-cv") && !has("location"));
            }
            _ => assert!(has("location")),
        }
        let meaning = answer.meaning(personality);
        assert!(matches!(meaning, Meaning::Accepted { .. }));
        let got = played.setup.messages(&played.subscription).await;
        assert_eq!(got["messages"][0]["payload"], json!({"text": "hello"}));
    }
}

#[tokio::test]
async fn ttl_urgency_and_topic_are_judged_by_the_rules_of_each() {
    type Headers = &'static [(&'static str, &'static str)];
    use Personality::{Apple, Fcm, Mozilla, Plain, Wns};
    const CASES: &[(Personality, Headers, u16, &str)] = &[
        (Fcm, &[], 400, "InvalidTtl"),
        (Mozilla, &[], 400, "\"errno\":111"),
        (Mozilla, &[("TTL", "-1")], 400, "\"errno\":114"),
        (Mozilla, &[("TTL", "soon")], 400, "\"errno\":111"),
        (Apple, &[], 400, r#"{"reason":"BadTtl"}"#),
        (Wns, &[], 400, "TTL"),
        (Plain, &[], 400, "TTL"),
        (Fcm, &[("TTL", "0")], 201, ""),
        (Mozilla, &[("TTL", "0")], 201, ""),
        (Apple, &[("TTL", "0")], 400, r#"{"reason":"BadTtl"}"#),
        (
            Wns,
            &[("TTL", "0")],
            400,
            "Ttl value conflicts with X-WNS-Cache-Policy.",
        ),
        (Plain, &[("TTL", "0")], 201, ""),
        (
            Wns,
            &[("TTL", "0"), ("X-WNS-Cache-Policy", "no-cache")],
            201,
            "",
        ),
        (
            Wns,
            &[("TTL", "1"), ("X-WNS-Cache-Policy", "no-cache")],
            400,
            "Ttl value conflicts with X-WNS-Cache-Policy.",
        ),
        (
            Wns,
            &[("TTL", "1"), ("X-WNS-Cache-Policy", "cache")],
            201,
            "",
        ),
        (Fcm, &[("TTL", "1"), ("Topic", "12345")], 201, ""),
        (Mozilla, &[("TTL", "1"), ("Topic", "12345")], 201, ""),
        (
            Apple,
            &[("TTL", "1"), ("Topic", "12345")],
            400,
            r#"{"reason":"BadWebPushTopic"}"#,
        ),
        (Apple, &[("TTL", "1"), ("Topic", "123456789012")], 201, ""),
        (Wns, &[("TTL", "1"), ("Topic", "12345")], 201, ""),
        (
            Mozilla,
            &[("TTL", "1"), ("Topic", "a b")],
            400,
            "\"errno\":113",
        ),
        (Plain, &[("TTL", "1"), ("Topic", "a b")], 400, "Topic"),
        (
            Apple,
            &[("TTL", "1"), ("Urgency", "soon")],
            400,
            r#"{"reason":"BadUrgency"}"#,
        ),
        (Fcm, &[("TTL", "1"), ("Urgency", "soon")], 400, "Urgency"),
        (Wns, &[("TTL", "1"), ("Urgency", "soon")], 400, "Urgency"),
    ];
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        let own = CASES.iter().filter(|(of, ..)| *of == personality);
        for (_, headers, status, words) in own {
            let answer = played.post(headers, "").await;
            let name = format!("{personality} {headers:?}: {answer:?}");
            assert_eq!(answer.status, *status, "{name}");
            let wns_words = answer.headers.get("x-wns-error-description");
            let said = match wns_words {
                Some(words) => words.to_str().unwrap().to_owned(),
                None => answer.text(),
            };
            assert!(said.contains(words), "{name}");
            if *status != 201 {
                assert_eq!(answer.meaning(personality), Meaning::MessageRefused);
                assert_eq!(answer.body.is_empty(), personality == Wns, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_are_taken_up_to_the_limit_of_each() {
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        let limit = if personality == Personality::Wns {
            5_000
        } else {
            4_096
        };
        let headers = [("TTL", "60"), ("Content-Encoding", "aes128gcm")];
        let largest = played.post(&headers, vec![0; limit]).await;
        assert_eq!(largest.status, 201, "{personality}");
        let answer = played.post(&headers, vec![0; limit + 1]).await;
        assert_eq!(answer.status, 413, "{personality}");
        assert_eq!(answer.meaning(personality), Meaning::TooLarge);
    }
}

#[tokio::test]
async fn an_ended_subscription_is_gone_in_the_manner_of_each() {
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        let endpoint = played.subscription.push_resource.expose();
        let path = format!("/sandbox/subscriptions?subscription={endpoint}");
        played.setup.call(Method::DELETE, &path, "").await;
        let answer = played.post_good().await;
        let (status, words) = match personality {
            Personality::Fcm => (410, "push subscription has unsubscribed or expired."),
            Personality::Mozilla => (410, "\"errno\":106"),
            Personality::Plain => (404, "the subscription has ended"),
            _ => (410, ""),
        };
        assert_eq!(answer.status, status, "{personality}");
        assert!(answer.text().contains(words), "{}", answer.text());
        assert_eq!(answer.meaning(played.personality), Meaning::Gone);
    }
}

#[tokio::test]
async fn an_endpoint_that_nobody_has_is_answered_in_the_manner_of_each() {
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        let request = Request::post("/wpush/v2/nobody-has-this")
            .header("TTL", "60")
            .header("Authorization", &played.authorization)
            .body(Full::default());
        let answer = send(played.setup.origin(), request.unwrap()).await;
        let words = match personality {
            Personality::Fcm => {
                "A valid push subscription endpoint should be specified in the URL as such: \
                 https://fcm.googleapis.com/wp/"
            }
            Personality::Mozilla => "\"errno\":102",
            Personality::Apple => "\"reason\":",
            Personality::Plain => "no subscription has this endpoint",
            _ => "",
        };
        assert_eq!(answer.status, 404, "{personality}");
        assert!(answer.text().contains(words), "{}", answer.text());
        assert_eq!(answer.body.is_empty(), personality == Personality::Wns);
        assert_eq!(answer.meaning(personality), Meaning::Gone);
    }
}

#[tokio::test]
async fn a_long_ttl_is_cut_and_mozilla_says_so() {
    const DAY_S: u32 = 24 * 60 * 60;
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        let answer = played.post(&[("TTL", "99999999")], "").await;
        assert_eq!(answer.status, 201, "{personality}");
        // RFC 8030 §5.2: the TTL of the answer is the one that was granted.
        if matches!(personality, Personality::Mozilla | Personality::Plain) {
            assert_eq!(answer.header("ttl"), (30 * DAY_S).to_string());
        } else {
            assert!(!answer.headers.contains_key("ttl"), "{personality}");
        }
    }
}

#[tokio::test]
async fn wns_takes_no_chunked_body() {
    for personality in Personality::ALL {
        let played = Played::new(personality).await;
        let headers = [
            ("TTL", "60"),
            ("Content-Encoding", "aes128gcm"),
            ("Transfer-Encoding", "chunked"),
        ];
        let answer = played
            .post(&headers, seal(&played.subscription, b"hello"))
            .await;
        let is_taken = personality != Personality::Wns;
        assert_eq!(answer.status == 201, is_taken, "{personality}: {answer:?}");
        if !is_taken {
            assert_eq!(answer.status, 400);
            assert_eq!(answer.meaning(personality), Meaning::MessageRefused);
        }
    }
}

#[tokio::test]
async fn without_identification_only_open_services_take_a_message() {
    for personality in Personality::ALL {
        let setup = Setup::with(|options| options.personality = personality).await;
        let subscription = setup.subscription("count=1").await;
        let request = Request::post(subscription.push_resource.path_and_query())
            .header("TTL", "60")
            .body(Full::default());
        let answer = send(setup.origin(), request.unwrap()).await;
        let is_open = matches!(personality, Personality::Mozilla | Personality::Plain);
        assert_eq!(answer.status == 201, is_open, "{personality}");
        if !is_open {
            assert_eq!(answer.meaning(personality), Meaning::KeyRefused);
        }
    }
}

#[test]
fn a_name_is_read_back() {
    for personality in Personality::ALL {
        assert_eq!(personality.as_str().parse(), Ok(personality));
    }
    assert!("FCM".parse::<Personality>().is_err());
}
