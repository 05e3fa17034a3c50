use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FixedAnswer, FixedBody, FixedOrReset, Rule};

/// The longest delay of an answer, in milliseconds: an hour.
const MAX_DELAY_MS: u64 = 60 * 60 * 1000;

/// A rule as it is written in `PUT /sandbox/behaviour`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RuleDocument {
    pub(crate) withhold: bool,
    status: Option<u16>,
    retry_after: Option<String>,
    headers: BTreeMap<String, String>,
    /// Text is sent as it is, anything else as JSON.
    body: Option<Value>,
    pub(crate) delay_ms: u64,
    reset: bool,
    /// How many POSTs it applies to; all without it.
    pub(crate) times: Option<u64>,
    /// Endpoints, or the tokens at their end; all without it.
    subscriptions: Option<Vec<String>>,
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
        if document.delay_ms > MAX_DELAY_MS {
            return Err(format!(
                "delay_ms is over {MAX_DELAY_MS}: use withhold to wait without end"
            ));
        }
        Ok(Self {
            answer: answer(&document)?,
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

fn answer(document: &RuleDocument) -> Result<FixedOrReset, String> {
    if document.reset && document.status.is_some() {
        return Err("reset gives no answer, so it cannot have a status: leave one out".to_owned());
    }
    if document.reset {
        return Ok(FixedOrReset::Reset);
    }
    let Some(status) = document.status else {
        if document.retry_after.is_some() || document.body.is_some() || !document.headers.is_empty()
        {
            return Err(
                "retry_after, headers and body belong to a chosen answer: add a status".to_owned(),
            );
        }
        return Ok(FixedOrReset::Neither);
    };
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or("status must be a final HTTP status, 200 to 599")?;
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
    Ok(FixedOrReset::Fixed(Arc::new(FixedAnswer {
        status,
        retry_after,
        headers: headers(document)?,
        body: document.body.as_ref().map(body),
    })))
}

fn headers(document: &RuleDocument) -> Result<HeaderMap, String> {
    let headers = document.headers.iter().map(|(name, value)| {
        let parsed = (name.parse::<HeaderName>().ok()).zip(HeaderValue::from_str(value).ok());
        parsed.ok_or_else(|| format!("headers: {name:?} cannot be sent with that value"))
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
            (r#"[{"status":"429"}]"#, "[0].status"),
            ("", "Send one rule"),
        ];
        for (json, hint) in CASES {
            let refusal = parse(json.as_bytes())
                .and_then(|rules| {
                    rules
                        .into_iter()
                        .map(Rule::try_from)
                        .collect::<Result<Vec<_>, _>>()
                })
                .err()
                .unwrap_or_else(|| panic!("{json} was taken"));
            assert!(refusal.contains(hint), "{json}: {refusal}");
        }
    }
}
