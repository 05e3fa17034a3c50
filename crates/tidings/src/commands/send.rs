//! `tidings send`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tidings_webpush::{Randomness as _, SystemRandomness};

use crate::api_client::{ApiClient, CallError, insist};
use crate::cli::{AudienceArgs, ContentArgs, SendArgs};
use crate::output;
use crate::shutdown;

/// How often `--wait` asks how far the message is.
const POLL: Duration = Duration::from_millis(300);

const MAY_BE_ACCEPTED: &str = "nobody knows whether the server accepted the message";

pub(super) fn run(args: &SendArgs) -> Result<()> {
    let api = ApiClient::new(&args.server)?;
    let message = message(args)?;
    let accepted_id = Arc::new(OnceLock::new());
    let at_signal = Arc::clone(&accepted_id);
    shutdown::last_words_on_signal(move || {
        let goes_on = at_signal.get().map(|id: &String| goes_on(id));
        goes_on.unwrap_or_else(|| MAY_BE_ACCEPTED.to_owned())
    })?;
    let accepted = send(&api, &message)?;
    let id = accepted
        .get("id")
        .and_then(Value::as_str)
        .context("the answer has no id")?;
    let id = accepted_id.get_or_init(|| id.to_owned());
    match (args.wait, args.server.json) {
        (false, true) => return Ok(output::json(&accepted)?),
        // Before anything is waited for: who loses the id sends the message again.
        (true, true) => output::say(&format!("{id} is accepted")),
        (_, false) => output::data(id)?,
    }
    if args.wait {
        let done = wait(&api, id).with_context(|| goes_on(id))?;
        if args.server.json {
            output::json(&done)?;
        } else {
            output::data(&in_words(&done))?;
        }
    }
    Ok(())
}

fn goes_on(id: &str) -> String {
    format!(
        "the message {id} is accepted and goes on, so do not send it again: GET /v1/messages/{id} \
         tells what becomes of it"
    )
}

/// One message, however often it has to be asked for because an answer got lost.
fn send(api: &ApiClient, message: &Value) -> Result<Value> {
    let mut key = [0; 16];
    SystemRandomness.fill(&mut key);
    let key = URL_SAFE_NO_PAD.encode(key);
    let mut may_be_accepted = false;
    let sent = insist(|| {
        let answer = api.post_once("/v1/messages", message, &key);
        answer.map_err(|error| {
            may_be_accepted |= error.may_have_worked();
            if may_be_accepted {
                error
            } else {
                // Nothing is lost: who asked for it learns at once that there is no server.
                CallError::for_good(error.into_error())
            }
        })
    });
    sent.map_err(|error| {
        if may_be_accepted {
            error.context(MAY_BE_ACCEPTED)
        } else {
            error
        }
    })
}

fn message(args: &SendArgs) -> Result<Value> {
    let mut message = content(&args.content)?;
    message.insert("audience".to_owned(), audience(&args.audience));
    let options = [
        ("ttl", &args.ttl),
        ("urgency", &args.urgency),
        ("topic", &args.topic),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            message.insert(name.to_owned(), value.as_str().into());
        }
    }
    Ok(message.into())
}

fn audience(args: &AudienceArgs) -> Value {
    let mut audience = Map::new();
    if args.all {
        audience.insert("all".to_owned(), true.into());
    }
    if !args.users.is_empty() {
        audience.insert("users".to_owned(), json!(args.users));
    }
    if !args.subscriptions.is_empty() {
        audience.insert("subscriptions".to_owned(), json!(args.subscriptions));
    }
    audience.into()
}

fn content(args: &ContentArgs) -> Result<Map<String, Value>> {
    let (name, value) = match (&args.notification, &args.data) {
        (Some(text), _) => ("notification", parse("--notification", text)?),
        (None, Some(text)) => ("data", parse("--data", text)?),
        (None, None) => ("notification", notification(args)),
    };
    let mut content = Map::new();
    content.insert(name.to_owned(), value);
    Ok(content)
}

fn parse(flag: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("{flag} is not JSON"))
}

fn notification(args: &ContentArgs) -> Value {
    let members = [
        ("title", &args.title),
        ("body", &args.body),
        ("navigate", &args.navigate),
        ("icon", &args.icon),
    ];
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.as_deref()?))))
        .collect::<Map<_, _>>()
        .into()
}

fn wait(api: &ApiClient, id: &str) -> Result<Value> {
    let mut before = String::new();
    loop {
        let message = insist(|| api.look(&format!("/v1/messages/{id}")))?;
        let state = message
            .get("state")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if matches!(state, "done" | "cancelled" | "failed") {
            return Ok(message);
        }
        let words = in_words(&message);
        if words != before {
            output::say(&words);
            before = words;
        }
        std::thread::sleep(POLL);
    }
}

/// `done: 12 targeted, 11 accepted, 1 gone`.
fn in_words(message: &Value) -> String {
    let state = message.get("state").and_then(Value::as_str).unwrap_or("?");
    let counts = message.get("counts").and_then(Value::as_object);
    let targeted = counts.and_then(|counts| counts.get_key_value("targeted"));
    let outcomes = counts
        .into_iter()
        .flatten()
        .filter(|(name, count)| *name != "targeted" && count.as_u64() != Some(0));
    let counts: Vec<String> = targeted
        .into_iter()
        .chain(outcomes)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    format!("{state}: {}", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_words_begins_with_how_many_it_is_for() {
        let message = json!({
            "state": "done",
            "counts": {"accepted": 11, "gone": 1, "refused": 0, "targeted": 12},
        });
        assert_eq!(in_words(&message), "done: 12 targeted, 11 accepted, 1 gone");
        let nobody = json!({"state": "done", "counts": {"accepted": 0, "targeted": 0}});
        assert_eq!(in_words(&nobody), "done: 0 targeted");
    }
}
