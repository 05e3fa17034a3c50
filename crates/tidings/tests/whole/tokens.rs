//! API tokens, as an operator makes them and a back end uses them.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::Value;

use crate::{
    api::Api,
    tidings::{Settings, Tidings},
};

#[tokio::test]
async fn a_token_made_on_the_command_line_may_do_what_its_scopes_say() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let made = run(
        &settings,
        &tidings,
        &["create", "shop", "--scope", "messages:send"],
    )?;
    let told = String::from_utf8(made.stderr.clone())?;
    let token = stdout(&made)?;
    ensure!(token.starts_with("tdg_") && token.len() == 47, "{token}");
    ensure!(
        told.contains("messages:send") && told.contains("does not expire"),
        "{told}"
    );
    ensure!(!told.contains(&token), "the token is among the talk");

    let send = || {
        let mut command = settings.command("send");
        command
            .args(["--all", "--title", "Fresh bread"])
            .env("TIDINGS_URL", tidings.api().origin())
            .env("TIDINGS_TOKEN", &token);
        command
    };
    ensure!(stdout(&send().output()?)?.starts_with("msg_"), "not sent");
    let waiting = send().arg("--wait").output()?;
    complains(
        &waiting,
        1,
        &["403", "messages:read", "tidings tokens create"],
    )?;
    let admin = |arguments: &[&str]| {
        command(&settings, &tidings, arguments)
            .env("TIDINGS_TOKEN", &token)
            .output()
    };
    complains(&admin(&["list"])?, 1, &["403", "`admin`"])?;

    let listed = list(&settings, &tidings)?;
    let entry = &listed[0];
    ensure!(
        entry["name"] == "shop" && entry["state"] == "active",
        "{entry}"
    );
    ensure!(entry["last_used_at"].is_string(), "it was used: {entry}");
    let id = entry["id"].as_str().context("no id")?;
    let table = stdout(&run(&settings, &tidings, &["list"])?)?;
    ensure!(
        table.contains(id) && table.contains("messages:send"),
        "{table}"
    );

    ensure!(
        stdout(&run(&settings, &tidings, &["revoke", id])?)? == id,
        "not revoked"
    );
    complains(&send().output()?, 1, &["401", "revoked at"])?;
    ensure!(
        list(&settings, &tidings)?[0]["state"] == "revoked",
        "not listed"
    );
    tidings.stop().await
}

#[tokio::test]
async fn a_wrong_command_line_says_what_would_be_right() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let unknown = format!("tok_{}", "0".repeat(32));
    let cases: [(&[&str], i32, &[&str]); 7] = [
        (&["create", "shop"], 2, &["--scope"]),
        (
            &["create", "shop", "--scope", "send"],
            2,
            &["messages:send", "subscriptions:write"],
        ),
        (
            &["create", "", "--scope", "admin"],
            1,
            &["/name", "1 to 100"],
        ),
        (
            &["create", "x", "--scope", "admin", "--expires-in", "1 month"],
            1,
            &["/expires_in", "90d"],
        ),
        (
            &["create", "x", "--scope", "admin", "--application", "shop"],
            1,
            &["/application", "no application"],
        ),
        (&["revoke", "shop"], 2, &["tok_"]),
        (&["revoke", &unknown], 1, &["404", "GET /v1/api-tokens"]),
    ];
    for (arguments, code, words) in cases {
        let output = run(&settings, &tidings, arguments)?;
        complains(&output, code, words).with_context(|| format!("{arguments:?}"))?;
    }
    ensure!(list(&settings, &tidings)?.is_empty(), "one was made");
    let nothing = run(&settings, &tidings, &["list"])?;
    ensure!(stdout(&nothing)?.is_empty(), "data about nothing");
    tidings.stop().await
}

#[tokio::test]
async fn once_a_revocation_is_answered_no_request_is_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    for _ in 0..20 {
        let body = serde_json::json!({"name": "loop", "scopes": ["messages:read"]});
        let made = tidings.api().post("/v1/api-tokens", &body).await?;
        let token = made["token"].as_str().context("no token")?.to_owned();
        let back_end = Api::with_token(tidings.api().origin().to_owned(), token);
        let ask = async || {
            let answer = back_end.ask(Method::GET, "/v1/messages", None).await?;
            anyhow::Ok(answer.status())
        };
        ensure!(ask().await? == StatusCode::OK, "not taken at first");
        let path = format!("/v1/api-tokens/{}", made["id"].as_str().context("no id")?);
        // The token is in use all the while.
        let using = async {
            let mut before = 0;
            while ask().await? == StatusCode::OK {
                before += 1;
            }
            anyhow::Ok(before)
        };
        let revoking = async {
            tidings.api().call(Method::DELETE, &path, None).await?;
            ask().await
        };
        let (_, after) = tokio::try_join!(using, revoking)?;
        ensure!(
            after == StatusCode::UNAUTHORIZED,
            "taken after its end: {after}"
        );
    }
    tidings.stop().await
}

#[tokio::test]
async fn tokens_and_their_last_use_outlive_the_process() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let body = serde_json::json!({"name": "shop", "scopes": ["messages:read"]});
    let made = tidings.api().post("/v1/api-tokens", &body).await?;
    let token = made["token"].as_str().context("no token")?.to_owned();
    let back_end = Api::with_token(tidings.api().origin().to_owned(), token.clone());
    back_end.get("/v1/messages").await?;
    let before = tidings.api().get("/v1/api-tokens").await?;
    ensure!(before["items"][0]["last_used_at"].is_string(), "{before}");
    tidings.stop().await?;

    let tidings = Tidings::start(&settings).await?;
    assert_eq!(tidings.api().get("/v1/api-tokens").await?, before);
    let back_end = Api::with_token(tidings.api().origin().to_owned(), token);
    back_end.get("/v1/messages").await?;
    tidings.stop().await
}

/// A command that talks to a running server; it finds the admin token in the data directory.
fn command(settings: &Settings, tidings: &Tidings, arguments: &[&str]) -> Command {
    let mut command = settings.command("tokens");
    command
        .args(arguments)
        .env("TIDINGS_URL", tidings.api().origin());
    command
}

fn run(settings: &Settings, tidings: &Tidings, arguments: &[&str]) -> Result<Output> {
    Ok(command(settings, tidings, arguments).output()?)
}

fn list(settings: &Settings, tidings: &Tidings) -> Result<Vec<Value>> {
    let output = run(settings, tidings, &["list", "--json"])?;
    let listed: Value = serde_json::from_str(&stdout(&output)?)?;
    Ok(listed["items"].as_array().context("no list")?.clone())
}

/// The data that a command printed that succeeded.
fn stdout(output: &Output) -> Result<String> {
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {told}", output.status);
    Ok(str::from_utf8(&output.stdout)?.trim_end().to_owned())
}

/// Checks that a command failed with this exit code, printed no data, and said these words.
fn complains(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "{}: {told}",
        output.status
    );
    for word in words {
        ensure!(told.contains(word), "does not say {word}: {told}");
    }
    Ok(())
}
