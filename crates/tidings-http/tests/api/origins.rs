//! The Origin rule and CORS.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{APP, Call, Harness, SITE, Transcript};

/// What a call with an origin is answered with.
struct Case {
    name: &'static str,
    origin: Option<&'static str>,
    status: StatusCode,
    allows: Option<&'static str>,
}

const OWN: &str = "https://push.example.org";

const CASES: &[Case] = &[
    Case {
        name: "no origin",
        origin: None,
        status: StatusCode::OK,
        allows: None,
    },
    Case {
        name: "listed",
        origin: Some(SITE),
        status: StatusCode::OK,
        allows: Some(SITE),
    },
    Case {
        name: "own",
        origin: Some(OWN),
        status: StatusCode::OK,
        allows: Some(OWN),
    },
    Case {
        name: "another",
        origin: Some("https://evil.example"),
        status: StatusCode::FORBIDDEN,
        allows: None,
    },
    Case {
        name: "listed, by another scheme",
        origin: Some("http://site.example"),
        status: StatusCode::FORBIDDEN,
        allows: None,
    },
    Case {
        name: "listed, on another port",
        origin: Some("https://site.example:8443"),
        status: StatusCode::FORBIDDEN,
        allows: None,
    },
    Case {
        name: "beginning like a listed one",
        origin: Some("https://site.example.evil.example"),
        status: StatusCode::FORBIDDEN,
        allows: None,
    },
    Case {
        name: "opaque",
        origin: Some("null"),
        status: StatusCode::FORBIDDEN,
        allows: None,
    },
    Case {
        name: "empty",
        origin: Some(""),
        status: StatusCode::FORBIDDEN,
        allows: None,
    },
];

#[tokio::test]
async fn an_origin_must_be_the_servers_own_or_on_the_list() {
    let harness = Harness::new().await;
    for Case {
        name,
        origin,
        status,
        allows,
    } in CASES
    {
        let with_origin = |call: Call| match origin {
            Some(origin) => call.header("origin", origin),
            None => call,
        };
        for method in [Method::GET, Method::POST] {
            let call = Call::new(method.clone(), &format!("{APP}/vapid-public-key"));
            let answer = harness.send(with_origin(call)).await;
            assert_eq!(answer.status, *status, "{name}, {method}");
            assert_eq!(
                answer.header("access-control-allow-origin"),
                *allows,
                "{name}, {method}"
            );
            let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
            assert!(
                vary.iter().any(|it| *it == "Origin"),
                "{name}, {method}: {vary:?}"
            );
        }

        let preflight = Call::new(Method::OPTIONS, &format!("{APP}/subscriptions/x"))
            .header("access-control-request-method", "PATCH")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            );
        let answer = harness.send(with_origin(preflight)).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            *allows,
            "{name}, preflight"
        );
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods.is_some(), allows.is_some(), "{name}, preflight");

        // The request of a refused page has no effect.
        let register = Call::post(&format!("{APP}/subscriptions"));
        let answer = harness
            .send(with_origin(register).json(&harness.browser_subscription()))
            .await;
        assert_eq!(
            answer.status.is_success(),
            status.is_success(),
            "{name}, register"
        );
        let listed = harness
            .send(Call::get("/v1/subscriptions").admin())
            .await
            .json();
        let count = listed["items"].as_array().unwrap().len();
        let before = CASES.iter().take_while(|it| it.name != *name);
        let allowed = before.filter(|it| it.status.is_success()).count();
        assert_eq!(
            count,
            allowed + usize::from(status.is_success()),
            "{name}, register"
        );
    }
}

#[tokio::test]
async fn cors_headers_are_on_whatever_a_page_is_answered() {
    let harness = Harness::new().await;
    let mut transcript = Transcript::new(&harness);
    let subscriptions = format!("{APP}/subscriptions");
    let preflight = |path: &str, method: &str| {
        Call::new(Method::OPTIONS, path)
            .header("origin", SITE)
            .header("access-control-request-method", method)
    };
    transcript
        .send("preflight", preflight(&subscriptions, "POST"))
        .await;
    transcript
        .send(
            "a problem",
            Call::post(&subscriptions)
                .header("origin", SITE)
                .json(&json!({})),
        )
        .await;
    transcript
        .send(
            "a wrong method",
            Call::get(&subscriptions).header("origin", SITE),
        )
        .await;
    transcript
        .send(
            "OPTIONS that is no preflight",
            Call::new(Method::OPTIONS, &subscriptions),
        )
        .await;
    transcript
        .send(
            "a refused preflight",
            Call::new(Method::OPTIONS, &subscriptions)
                .header("origin", "https://evil.example")
                .header("access-control-request-method", "POST"),
        )
        .await;
    transcript
        .send("back ends have no CORS", preflight("/v1/messages", "POST"))
        .await;
    transcript
        .send(
            "nor do their answers",
            Call::get("/v1/messages").admin().header("origin", SITE),
        )
        .await;
    transcript.check("cors");
}
