//! `tidings tokens`.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use tidings_core::id::ApiTokenId;

use crate::api_client::ApiClient;
use crate::cli::{ServerArgs, TokensCommand};
use crate::output;

const PATH: &str = "/v1/api-tokens";

pub(super) fn run(command: TokensCommand) -> Result<()> {
    match command {
        TokensCommand::Create {
            name,
            scopes,
            expires_in,
            application,
            server,
        } => {
            let mut body = Map::new();
            body.insert("name".to_owned(), name.into());
            body.insert("scopes".to_owned(), scopes.into());
            for (member, value) in [("expires_in", expires_in), ("application", application)] {
                if let Some(value) = value {
                    body.insert(member.to_owned(), value.into());
                }
            }
            create(&body.into(), &server)
        }
        TokensCommand::List { server } => list(&server),
        TokensCommand::Revoke { id, server } => revoke(id, &server),
    }
}

fn create(body: &Value, server: &ServerArgs) -> Result<()> {
    let made = ApiClient::new(server)?.post(PATH, body)?;
    if server.json {
        return Ok(output::json(&made)?);
    }
    let token = text(&made, "token").context("the answer has no token")?;
    let end = text(&made, "expires_at").map_or_else(
        || "it does not expire".to_owned(),
        |instant| format!("it expires at {instant}"),
    );
    output::say(&format!(
        "made {} for the application {} with {}; {end}",
        text(&made, "id").unwrap_or("?"),
        text(&made, "application").unwrap_or("?"),
        scopes(&made),
    ));
    output::say("keep it now: it cannot be shown again");
    output::data(token)?;
    Ok(())
}

fn list(server: &ServerArgs) -> Result<()> {
    let tokens = all(&ApiClient::new(server)?)?;
    if server.json {
        return Ok(output::json(&json!({"items": tokens}))?);
    }
    if tokens.is_empty() {
        output::say("there is no API token yet: `tidings tokens create` makes one");
        return Ok(());
    }
    for line in table(&tokens) {
        output::data(&line)?;
    }
    Ok(())
}

/// The whole list, part by part.
fn all(api: &ApiClient) -> Result<Vec<Value>> {
    let mut tokens = Vec::new();
    let mut path = format!("{PATH}?limit=100");
    loop {
        let mut part = api.get(&path)?;
        let items = part.get_mut("items").and_then(Value::as_array_mut);
        tokens.append(items.context("the answer is not a list")?);
        match text(&part, "next") {
            Some(next) => path = format!("{PATH}?limit=100&cursor={next}"),
            None => return Ok(tokens),
        }
    }
}

fn revoke(id: ApiTokenId, server: &ServerArgs) -> Result<()> {
    ApiClient::new(server)?.delete(&format!("{PATH}/{id}"))?;
    if server.json {
        return Ok(output::json(
            &json!({"id": id.to_string(), "state": "revoked"}),
        )?);
    }
    output::say("revoked: requests that show it are refused from now on");
    output::data(&id.to_string())?;
    Ok(())
}

/// Columns for people.
fn table(tokens: &[Value]) -> Vec<String> {
    let head = ["ID", "NAME", "STATE", "EXPIRES", "LAST USED", "SCOPES"].map(str::to_owned);
    let row = |token: &Value| {
        let member = |name, none: &str| text(token, name).unwrap_or(none).to_owned();
        [
            member("id", "?"),
            member("name", "?"),
            member("state", "?"),
            member("expires_at", "never"),
            member("last_used_at", "never"),
            scopes(token),
        ]
    };
    let rows: Vec<_> = std::iter::once(head)
        .chain(tokens.iter().map(row))
        .collect();
    let mut widths = [0; 6];
    for (width, cell) in rows.iter().flat_map(|row| widths_of(row).enumerate()) {
        if let Some(widest) = widths.get_mut(width) {
            *widest = cell.max(*widest);
        }
    }
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn widths_of(row: &[String; 6]) -> impl Iterator<Item = usize> {
    row.iter().map(|cell| cell.chars().count())
}

fn scopes(token: &Value) -> String {
    let scopes = token.get("scopes").and_then(Value::as_array);
    let names: Vec<_> = scopes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    names.join(", ")
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_a_token_and_straight_columns() {
        let tokens = [
            json!({
                "id": "tok_1", "name": "Küche", "state": "active", "expires_at": null,
                "last_used_at": "2026-11-23T17:00:00.000Z",
                "scopes": ["messages:send", "messages:read"],
            }),
            json!({
                "id": "tok_22", "name": "CI", "state": "revoked",
                "expires_at": "2027-01-01T00:00:00.000Z", "last_used_at": null,
                "scopes": ["admin"],
            }),
        ];
        assert_eq!(
            table(&tokens),
            [
                "ID      NAME   STATE    EXPIRES                   LAST USED                 SCOPES",
                "tok_1   Küche  active   never                     2026-11-23T17:00:00.000Z  \
                 messages:send, messages:read",
                "tok_22  CI     revoked  2027-01-01T00:00:00.000Z  never                     admin",
            ]
        );
    }
}
