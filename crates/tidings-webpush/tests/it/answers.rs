use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tidings_webpush::{Answer, PushService, interpret, reason};

use crate::vectors::{cases, load, number, text};

/// 2026-10-21 07:00 GMT: before the dates in the vectors.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_792_566_000, 0)
}

struct Response {
    service: PushService,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Response {
    fn new(service: PushService, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Self {
            service,
            status,
            headers: map,
            body: body.into(),
        }
    }

    fn of_case(case: &Value) -> Self {
        let service = text(case, "push_service");
        let service = PushService::ALL
            .into_iter()
            .find(|candidate| candidate.as_str() == service)
            .unwrap_or_else(|| {
                assert_eq!(service, "generic");
                PushService::Other
            });
        let headers: Vec<_> = case["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let status = u16::try_from(number(case, "status")).unwrap();
        Self::new(
            service,
            status,
            &headers,
            case["body_utf8"].as_str().unwrap_or_default(),
        )
    }

    fn answer(&self) -> Answer {
        interpret(self.service, self.status, &self.headers, &self.body, now())
    }

    fn reason(&self) -> String {
        reason(self.service, self.status, &self.headers, &self.body)
    }
}

/// The vectors' actions, said in answers:
///
/// - `drop` is `Gone`;
/// - `fix-message` is `TooLarge` for 413, else `MessageRefused`;
/// - `fix-config` is `KeyRefused`;
/// - `keep-and-report` is `MessageRefused`: this delivery fails, subscription and key live;
/// - `not-delivered` and `throttled` are `Dropped`;
/// - `retry` is `SlowDown` for 429 (and WNS's 406), else `Unwell`;
/// - `retry-as-told` is `Unwell`: redirects are not followed.
fn is_meant(action: &str, service: PushService, status: u16, answer: &Answer) -> bool {
    match action {
        "accepted" => matches!(answer, Answer::Accepted { .. }),
        "drop" => *answer == Answer::Gone,
        "fix-message" if status == 413 => *answer == Answer::TooLarge,
        "fix-message" | "keep-and-report" => *answer == Answer::MessageRefused,
        "fix-config" => *answer == Answer::KeyRefused,
        "not-delivered" | "throttled" => matches!(answer, Answer::Dropped { .. }),
        "retry" if status == 429 || (service == PushService::Wns && status == 406) => {
            matches!(answer, Answer::SlowDown { .. })
        }
        "retry" | "retry-as-told" => matches!(answer, Answer::Unwell { .. }),
        other => panic!("no mapping for {other}"),
    }
}

#[test]
fn responses_of_push_services_mean_what_they_call_for() {
    let vectors = load("push-service-responses.json");
    for case in cases(&vectors, "responses") {
        let response = Response::of_case(case);
        let answer = response.answer();
        let status = response.status.as_u16();
        let is_meant = is_meant(text(case, "action"), response.service, status, &answer);
        assert!(is_meant, "{answer:?} for {case}");
    }
}

#[test]
fn every_wait_in_the_vectors_is_passed_on() {
    let vectors = load("push-service-responses.json");
    let mut found = Vec::new();
    for case in cases(&vectors, "responses") {
        let headers = case["headers"].to_string().to_ascii_lowercase();
        let asked = headers.contains("retry-after") || headers.contains("continue-after");
        let wait = match Response::of_case(case).answer() {
            Answer::SlowDown { retry_after }
            | Answer::Unwell { retry_after }
            | Answer::Dropped { retry_after } => retry_after,
            _ => None,
        };
        assert_eq!(wait.is_some(), asked, "{case}");
        found.extend(wait.map(|wait| wait.as_secs()));
    }
    assert_eq!(found, [120, 1680, 60, 30, 120, 60]);
}

#[test]
fn the_place_of_an_accepted_message_is_passed_on() {
    let response = |status, headers: &[(&str, &str)]| {
        Response::new(PushService::Mozilla, status, headers, "").answer()
    };
    let url = "https://updates.push.services.mozilla.com/m/x";
    assert_eq!(
        response(201, &[("location", url)]),
        Answer::Accepted {
            message_resource: Some(url.into())
        }
    );
    for status in [200, 201, 202, 204] {
        assert_eq!(
            response(status, &[]),
            Answer::Accepted {
                message_resource: None
            },
            "{status}"
        );
    }
}

#[test]
fn only_404_and_410_end_a_subscription() {
    for service in PushService::ALL {
        for status in 100..=999 {
            let is_gone =
                Response::new(service, status, &[], "Unregistered").answer() == Answer::Gone;
            assert_eq!(is_gone, matches!(status, 404 | 410), "{service} {status}");
        }
    }
}

#[test]
fn answers_of_one_service_are_not_read_into_another() {
    let dropped: &[_] = &[("x-wns-status", "dropped"), ("x-wns-continue-after", "9")];
    let refused = r#"{"reason": "VapidPkHashMismatch"}"#;
    let keep = "invalid push subscription endpoint\n";
    let slow = |seconds: Option<u64>| Answer::SlowDown {
        retry_after: seconds.map(Duration::from_secs),
    };
    let cases = [
        (
            PushService::Other,
            201,
            dropped,
            "",
            Answer::Accepted {
                message_resource: None,
            },
        ),
        (PushService::Other, 429, dropped, "", slow(None)),
        (PushService::Wns, 429, dropped, "", slow(Some(9))),
        (PushService::Wns, 406, dropped, "", slow(Some(9))),
        (PushService::Other, 406, &[], "", Answer::MessageRefused),
        (
            PushService::Other,
            400,
            &[],
            refused,
            Answer::MessageRefused,
        ),
        (PushService::Apple, 400, &[], refused, Answer::KeyRefused),
        (PushService::Other, 403, &[], keep, Answer::KeyRefused),
        (PushService::Fcm, 403, &[], keep, Answer::MessageRefused),
        (PushService::Fcm, 401, &[], keep, Answer::KeyRefused),
    ];
    for (service, status, headers, body, expected) in cases {
        let answer = Response::new(service, status, headers, body).answer();
        assert_eq!(answer, expected, "{service} {status} {body}");
    }
}

#[test]
fn unknown_statuses_are_temporary() {
    for status in [
        100, 199, 300, 304, 307, 308, 402, 407, 408, 409, 421, 425, 451, 499, 501, 599, 600, 999,
    ] {
        let answer = Response::new(PushService::Other, status, &[], "").answer();
        assert_eq!(answer, Answer::Unwell { retry_after: None }, "{status}");
    }
    for status in [400, 405, 406, 411, 414, 415, 417, 422, 431] {
        let answer = Response::new(PushService::Other, status, &[], "").answer();
        assert_eq!(answer, Answer::MessageRefused, "{status}");
    }
}

#[test]
fn reasons_are_the_service_s_own_words() {
    let cases = [
        (
            Response::new(
                PushService::Mozilla,
                401,
                &[],
                r#"{"code":401,"errno":109,"error":"Unauthorized","message":"VAPID public key mismatch"}"#,
            ),
            "errno 109: VAPID public key mismatch",
        ),
        (
            Response::new(
                PushService::Mozilla,
                500,
                &[],
                r#"{"errno":null,"error":"Oh"}"#,
            ),
            "Oh",
        ),
        (
            Response::new(PushService::Apple, 403, &[], r#"{"reason": "BadJwtToken"}"#),
            "BadJwtToken",
        ),
        (
            Response::new(
                PushService::Wns,
                400,
                &[
                    ("X-WNS-Status", "dropped"),
                    ("X-WNS-Error-Description", "Ttl value conflicts."),
                ],
                "",
            ),
            "Ttl value conflicts.",
        ),
        (
            Response::new(PushService::Wns, 201, &[("X-WNS-Status", "dropped")], ""),
            "dropped",
        ),
        (
            Response::new(
                PushService::Fcm,
                403,
                &[],
                "\n invalid JWT provided\nmore\n",
            ),
            "invalid JWT provided",
        ),
        (
            Response::new(
                PushService::Fcm,
                400,
                &[],
                "<HTML>\n<HEAD>\n<TITLE>UnauthorizedRegistration</TITLE>\n</HEAD>\n</HTML>",
            ),
            "UnauthorizedRegistration",
        ),
        (
            Response::new(PushService::Other, 502, &[], ""),
            "Bad Gateway",
        ),
        (Response::new(PushService::Other, 599, &[], " \n"), "599"),
        (
            Response::new(PushService::Other, 400, &[], r#"{"a":1}"#),
            r#"{"a":1}"#,
        ),
    ];
    for (response, expected) in cases {
        assert_eq!(response.reason(), expected);
    }
}

#[test]
fn reasons_keep_push_resources_secret() {
    let vectors = load("push-service-responses.json");
    let mut cut = 0;
    for case in cases(&vectors, "responses") {
        let reason = Response::of_case(case).reason();
        assert!(!reason.contains("dHIorV1cP90"), "{reason}");
        cut += u32::from(reason.ends_with("https://fcm.googleapis.com"));
    }
    assert_eq!(cut, 1);
    for body in [
        "see (https://a.example/secret)",
        "https://a.example?secret",
        "x=http://a#secret,y",
    ] {
        let reason = Response::new(PushService::Other, 400, &[], body).reason();
        assert!(!reason.contains("secret"), "{reason}");
    }
}

#[test]
fn reasons_are_one_short_line() {
    let body = format!("a\u{1b}[31m\u{202e}b\tc {}", "\u{fc}".repeat(300));
    let reason = Response::new(PushService::Other, 400, &[], &body).reason();
    assert!(reason.starts_with("a[31mb c \u{fc}"), "{reason}");
    assert_eq!(reason.chars().count(), 200);
}
