use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::delay::Delay;
use super::set::{Deed, Rule};
use super::{Break, FixedAnswer, FixedBody};
use crate::manner;

/// The most rules that are given at once.
const MAX_RULES: usize = 256;

/// Headers that say where an answer ends or what becomes of its connection. Another value than the
/// server's own breaks the connection, or HTTP/2 does not send it.
const FRAMING: [HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::UPGRADE,
];

const NOTHING_AFTER: &str =
    "after says when the reset comes: it belongs to reset or disconnect, leave it out here";

/// A rule as it is written in `PUT /sandbox/behaviour`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it is what people write; inside it becomes an enum"
)]
pub(crate) struct RuleDocument {
    pub(crate) withhold: bool,
    status: Option<u16>,
    retry_after: Option<String>,
    headers: BTreeMap<String, String>,
    /// Text is sent as it is, anything else as JSON.
    body: Option<Value>,
    pub(super) delay_ms: Delay,
    reset: bool,
    refuse_stream: bool,
    disconnect: bool,
    /// Whether the message is taken in before its stream or connection is reset.
    after: bool,
    goaway: Option<GoAway>,
    stall: bool,
    wrong_key: bool,
    /// How likely it is that it applies; without it, it always does.
    pub(super) probability: Option<f64>,
    /// Which part of all subscriptions it applies to.
    share: Option<f64>,
    /// Each so manieth POST of a connection only.
    pub(super) every: Option<u64>,
    /// Personalities or hosts of the services that it applies to; all without it.
    pub(super) services: Option<Vec<String>>,
    /// Whether later rules are asked as well; it only adds its delay then.
    #[serde(rename = "continue")]
    pub(super) and_next: bool,
    /// How many POSTs it applies to; all without it.
    pub(crate) times: Option<u64>,
    /// Endpoints, or the tokens at their end; all without it.
    subscriptions: Option<Vec<String>>,
}

/// How a connection says goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoAway {
    /// The present POST is answered, as are all others under way.
    Graceful,
    /// None of them is.
    Abrupt,
}

impl RuleDocument {
    /// Personalities, hosts or `all`; none if it applies to all services anyway.
    pub(crate) fn services(&self) -> &[String] {
        self.services.as_deref().unwrap_or_default()
    }

    pub(super) fn winds_down(&self) -> bool {
        self.goaway == Some(GoAway::Graceful)
    }

    /// Whether it says how an answer looks.
    fn has_words(&self) -> bool {
        self.retry_after.is_some() || self.body.is_some() || !self.headers.is_empty()
    }

    /// Whether it depends on the order in which POSTs come whom it applies to. No two runs share
    /// that, so it has no part in the draw of the others.
    pub(super) fn draws_alone(&self) -> bool {
        self.times.is_some() || self.every.is_some()
    }
}

/// Makes rules of what was read; each `share` begins where the one before ends.
pub(super) fn rules(documents: Vec<RuleDocument>) -> Result<Vec<Rule>, String> {
    let got = documents.len();
    if got > MAX_RULES {
        return Err(format!(
            "{got} rules are too many: at most {MAX_RULES} are taken"
        ));
    }
    let (mut shared, mut likely) = (0.0, 0.0);
    let mut rules = Vec::with_capacity(got);
    for document in documents {
        let is_for_some = document.share.is_some()
            || document.subscriptions.is_some()
            || document.services.is_some()
            || document.draws_alone();
        if !document.and_next && !is_for_some {
            likely += document.probability.unwrap_or_default();
        }
        let mut rule = Rule::try_from(document)?;
        if let Some(share) = rule.document.share {
            rule.share = Some(shared..shared + share);
            shared += share;
        }
        rules.push(rule);
    }
    for (name, sum) in [("share", shared), ("probability", likely)] {
        if sum > 1.0 + f64::EPSILON {
            return Err(format!(
                "the rules' {name} sum up to {sum}: they exclude each other, so at most to 1"
            ));
        }
    }
    Ok(rules)
}

/// Reads one rule or a list of them.
pub(crate) fn parse(json: &[u8]) -> Result<Vec<RuleDocument>, String> {
    let is_list = json.iter().find(|octet| !octet.is_ascii_whitespace()) == Some(&b'[');
    let reader = &mut serde_json::Deserializer::from_slice(json);
    let rules = if is_list {
        serde_path_to_error::deserialize(reader)
    } else {
        serde_path_to_error::deserialize(reader).map(|rule| vec![rule])
    };
    rules.map_err(|error| {
        format!(
            "{error}. Send one rule, such as {{\"status\":429,\"retry_after\":\"2\",\"times\":3}}, \
             or a list of rules of which the first that applies decides"
        )
    })
}

/// The token of a subscription that was given as endpoint or as the token itself.
pub(crate) fn token_of(subscription: &str) -> &str {
    subscription.rsplit('/').next().unwrap_or(subscription)
}

impl TryFrom<RuleDocument> for Rule {
    type Error = String;

    fn try_from(document: RuleDocument) -> Result<Self, String> {
        document.delay_ms.check()?;
        for (name, part) in [
            ("probability", document.probability),
            ("share", document.share),
        ] {
            if part.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
                return Err(format!("{name} must be from 0 to 1"));
            }
        }
        if document.every == Some(0) {
            return Err("every must be 1 or more".to_owned());
        }
        Ok(Self {
            deed: deed(&document)?,
            share: None,
            tokens: document.subscriptions.as_ref().map(|subscriptions| {
                subscriptions
                    .iter()
                    .map(|text| token_of(text).to_owned())
                    .collect::<HashSet<_>>()
            }),
            remaining: document.times.map(Into::into),
            document,
        })
    }
}

fn deed(document: &RuleDocument) -> Result<Deed, String> {
    let goodbye = document.goaway == Some(GoAway::Abrupt);
    let others = [
        (document.reset, Deed::Break(Break::Reset)),
        (document.refuse_stream, Deed::Break(Break::Refuse)),
        (document.disconnect, Deed::Break(Break::Disconnect)),
        (goodbye, Deed::Break(Break::GoAway)),
        (document.stall, Deed::Stall),
        (document.wrong_key, Deed::WrongKey),
    ];
    let mut chosen = others.into_iter().filter(|(is_chosen, _)| *is_chosen);
    let first = chosen.next().map(|(_, deed)| deed);
    // Another key's message is answered, so that its connection can end in peace.
    let is_answered = matches!(first, None | Some(Deed::WrongKey));
    let is_clear = chosen.next().is_none()
        && (first.is_none() || document.status.is_none())
        && (is_answered || !document.winds_down());
    if !is_clear {
        return Err(
            "status, reset, refuse_stream, disconnect, goaway, stall and wrong_key exclude each \
             other: leave one out, or make two rules"
                .to_owned(),
        );
    }
    let does_more = first.is_some()
        || document.status.is_some()
        || document.goaway.is_some()
        || document.withhold
        || document.has_words();
    if document.and_next && does_more {
        return Err("a rule with continue only adds its delay_ms: leave the rest out".to_owned());
    }
    if !is_answered && document.withhold {
        return Err("withhold keeps back an answer, and here is none: leave it out".to_owned());
    }
    match first {
        Some(_) if document.has_words() => {
            Err("retry_after, headers and body belong to a status: leave them out here".to_owned())
        }
        Some(Deed::Stall) if !document.delay_ms.is_none() => {
            Err("stall waits without end: leave delay_ms out".to_owned())
        }
        Some(deed) => after(document, deed),
        None if document.after => Err(NOTHING_AFTER.to_owned()),
        None => answer(document),
    }
}

/// The deed, once the message was taken in if that is asked for.
fn after(document: &RuleDocument, deed: Deed) -> Result<Deed, String> {
    match deed {
        deed if !document.after => Ok(deed),
        Deed::Break(how @ (Break::Reset | Break::Disconnect)) => Ok(Deed::BreakAfter(how)),
        _ => Err(NOTHING_AFTER.to_owned()),
    }
}

/// The chosen answer, or the honest one.
fn answer(document: &RuleDocument) -> Result<Deed, String> {
    let Some(status) = document.status else {
        if document.has_words() {
            return Err(
                "retry_after, headers and body belong to a chosen answer: add a status".to_owned(),
            );
        }
        return Ok(Deed::Honest);
    };
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or("status must be a final HTTP status, 200 to 599")?;
    if manner::has_no_body(status) && document.body.is_some() {
        return Err(format!(
            "an answer with status {} has no body: leave body out",
            status.as_u16()
        ));
    }
    let retry_after = document
        .retry_after
        .as_deref()
        .map(HeaderValue::from_str)
        .transpose()
        .map_err(|_| {
            format!(
                "retry_after cannot be sent as {} header",
                header::RETRY_AFTER
            )
        })?;
    Ok(Deed::Fixed(Arc::new(FixedAnswer {
        status,
        retry_after,
        headers: headers(document)?,
        body: document.body.as_ref().map(body),
    })))
}

fn headers(document: &RuleDocument) -> Result<HeaderMap, String> {
    let headers = document.headers.iter().map(|(name, value)| {
        let parsed = (name.parse::<HeaderName>().ok()).zip(HeaderValue::from_str(value).ok());
        let (name, value) =
            parsed.ok_or_else(|| format!("headers: {name:?} cannot be sent with that value"))?;
        if FRAMING.contains(&name) {
            return Err(format!(
                "headers: {name} is about the connection, which needs it for itself: leave {name} \
                 out (goaway and disconnect end a connection)"
            ));
        }
        Ok((name, value))
    });
    headers.collect()
}

fn body(body: &Value) -> FixedBody {
    let (octets, media_type) = match body {
        Value::String(text) => (text.clone(), "text/plain; charset=utf-8"),
        json => (json.to_string(), "application/json"),
    };
    FixedBody {
        octets: Bytes::from(octets),
        media_type: HeaderValue::from_static(media_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_with_what_to_do() {
        const CASES: &[(&str, &str)] = &[
            (r#"{"withold":true}"#, "withold"),
            (r#"{"status":99}"#, "200 to 599"),
            (r#"{"status":100}"#, "200 to 599"),
            (r#"{"status":200,"reset":true}"#, "leave one out"),
            (r#"{"retry_after":"2"}"#, "add a status"),
            (r#"{"status":429,"retry_after":"a\nb"}"#, "retry-after"),
            (r#"{"headers":{"a":"b"}}"#, "add a status"),
            (r#"{"status":429,"headers":{"a b":"c"}}"#, "a b"),
            (r#"{"delay_ms":3600001}"#, "withhold"),
            (r#"{"delay_ms":"1s"}"#, "number of milliseconds"),
            (r#"{"delay_ms":{"p50_ms":9,"p99_ms":8}}"#, "p50_ms"),
            (r#"{"delay_ms":{"p50_ms":0,"p99_ms":8}}"#, "p50_ms"),
            (r#"{"delay_ms":{"from_ms":9,"to_ms":8}}"#, "from_ms"),
            (r#"{"delay_ms":{"from_ms":0,"to_ms":3600001}}"#, "withhold"),
            (r#"{"probability":1.1}"#, "from 0 to 1"),
            (r#"{"share":-0.1}"#, "from 0 to 1"),
            (
                r#"[{"share":0.6,"stall":true},{"share":0.6,"reset":true}]"#,
                "share sum up",
            ),
            (
                r#"[{"probability":0.6},{"probability":0.6}]"#,
                "probability sum up",
            ),
            (r#"{"every":0}"#, "1 or more"),
            (r#"{"after":true}"#, "leave it out"),
            (r#"{"after":true,"status":503}"#, "leave it out"),
            (r#"{"after":true,"refuse_stream":true}"#, "leave it out"),
            (r#"{"after":true,"goaway":"abrupt"}"#, "leave it out"),
            (r#"{"after":true,"continue":true}"#, "leave it out"),
            (r#"{"goaway":"now"}"#, "graceful"),
            (r#"{"reset":true,"withhold":true}"#, "here is none"),
            (r#"{"stall":true,"withhold":true}"#, "here is none"),
            (r#"{"goaway":"abrupt","withhold":true}"#, "here is none"),
            (r#"{"stall":true,"delay_ms":1}"#, "without end"),
            (r#"{"reset":true,"goaway":"graceful"}"#, "leave one out"),
            (
                r#"{"disconnect":true,"goaway":"graceful"}"#,
                "leave one out",
            ),
            (r#"{"stall":true,"goaway":"graceful"}"#, "leave one out"),
            (r#"{"wrong_key":true,"retry_after":"2"}"#, "leave them out"),
            (r#"{"reset":true,"retry_after":"2"}"#, "leave them out"),
            (r#"{"reset":true,"headers":{"a":"b"}}"#, "leave them out"),
            (r#"{"stall":true,"body":"x"}"#, "leave them out"),
            (r#"{"continue":true,"retry_after":"2"}"#, "only adds"),
            (
                r#"{"status":500,"headers":{"Content-Length":"5"},"body":"x"}"#,
                "leave content-length out",
            ),
            (
                r#"{"status":500,"headers":{"transfer-encoding":"chunked"}}"#,
                "leave transfer-encoding out",
            ),
            (
                r#"{"status":500,"headers":{"connection":"close"}}"#,
                "goaway",
            ),
            (r#"{"status":204,"body":"x"}"#, "204 has no body"),
            (r#"{"status":304,"body":{}}"#, "304 has no body"),
            (r#"{"stall":true,"disconnect":true}"#, "leave one out"),
            (r#"{"status":429,"continue":true}"#, "only adds"),
            (r#"[{"status":"429"}]"#, "[0].status"),
            ("", "Send one rule"),
        ];
        for (json, hint) in CASES {
            let refusal = parse(json.as_bytes())
                .and_then(rules)
                .err()
                .unwrap_or_else(|| panic!("{json} was taken"));
            assert!(refusal.contains(hint), "{json}: {refusal}");
        }
    }
}
