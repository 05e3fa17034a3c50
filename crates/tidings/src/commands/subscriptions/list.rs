//! `tidings subscriptions list`.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::cli::ServerArgs;
use crate::output;

/// The most entries of one answer.
const PAGE: usize = 100;

pub(super) fn run(
    state: Option<&str>,
    user: Option<&str>,
    limit: usize,
    args: &ServerArgs,
) -> Result<()> {
    let api = ApiClient::new(args)?;
    let mut items: Vec<Value> = Vec::new();
    let mut damaged: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    while items.len() < limit {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &(limit - items.len()).min(PAGE).to_string());
        let others = [
            ("state", state),
            ("user", user),
            ("cursor", cursor.as_deref()),
        ];
        for (name, value) in others {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let page = api.get(&format!("/v1/subscriptions?{}", query.finish()))?;
        if let Some(part) = page.get("items").and_then(Value::as_array) {
            items.extend(part.iter().cloned());
        }
        if let Some(part) = page.get("damaged").and_then(Value::as_array) {
            damaged.extend(part.iter().cloned());
        }
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if args.json {
        return Ok(output::json(
            &json!({"items": items, "damaged": damaged, "next": cursor}),
        )?);
    }
    for item in &items {
        output::data(&in_words(item))?;
    }
    for id in damaged.iter().filter_map(Value::as_str) {
        output::say(&format!(
            "{id} is damaged and cannot be read: the server's log says why"
        ));
    }
    if cursor.is_some() {
        output::say("there are more: --limit N shows more of them");
    }
    Ok(())
}

/// `sub_… active mozilla 2026-11-23T13:28:00.000Z 42`.
fn in_words(item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or("-");
    format!(
        "{}  {:8} {:8} {}  {}",
        text("id"),
        text("state"),
        text("push_service"),
        text("last_seen_at"),
        text("user")
    )
}
