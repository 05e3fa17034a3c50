use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::PushService;

const MAX_CHARACTERS: usize = 200;

/// A short text for the operator: what the push service gave as its reason.
///
/// One line of at most 200 characters, without control characters, and with every URL in it cut
/// to its origin: FCM repeats the push resource, which is a secret. Never show it to whoever
/// registered the subscription: it would tell them about the network of the server.
pub fn reason(
    service: PushService,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> String {
    let text = String::from_utf8_lossy(body);
    let found = wns_reason(service, headers)
        .or_else(|| json_reason(&text))
        .or_else(|| html_title(&text))
        .or_else(|| {
            text.lines()
                .map(str::trim)
                .find(|line| !line.is_empty())
                .map(str::to_owned)
        })
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_else(|| status.as_str().to_owned());
    tidy(&found)
}

/// WNS leaves the body empty and says it in headers.
fn wns_reason(service: PushService, headers: &HeaderMap) -> Option<String> {
    if service != PushService::Wns {
        return None;
    }
    ["x-wns-error-description", "x-wns-status"]
        .into_iter()
        .find_map(|name| headers.get(name))
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Apple: `{"reason": …}`. Mozilla: `{"errno": …, "message": …}`. ntfy: `{"error": …}`.
fn json_reason(text: &str) -> Option<String> {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return None;
    };
    let words = ["reason", "message", "error", "detail"]
        .into_iter()
        .find_map(|name| object.get(name).and_then(Value::as_str))?;
    Some(match object.get("errno").and_then(Value::as_u64) {
        Some(errno) => format!("errno {errno}: {words}"),
        None => words.to_owned(),
    })
}

fn html_title(text: &str) -> Option<String> {
    // ASCII only, so that offsets stay those of `text`.
    let lower = text.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let length = lower.get(start..)?.find("</title>")?;
    text.get(start..start + length).map(str::to_owned)
}

fn tidy(text: &str) -> String {
    let printable: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !changes_direction(*c))
        .collect();
    let words: Vec<&str> = printable.split_whitespace().map(cut_url).collect();
    words.join(" ").chars().take(MAX_CHARACTERS).collect()
}

/// Characters that would let a stranger's text rearrange the operator's log line.
fn changes_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cuts a word that has a URL in it behind the URL's host.
fn cut_url(word: &str) -> &str {
    let Some((before, rest)) = word.split_once("://") else {
        return word;
    };
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    word.get(..before.len() + "://".len() + host)
        .unwrap_or(before)
}
