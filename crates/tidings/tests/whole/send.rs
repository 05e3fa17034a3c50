//! `tidings send` while the server is not well.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{command_line::assert_fails, scripted::Scripted, tidings::terminate};

#[test]
fn the_id_is_printed_before_anything_is_waited_for_and_failures_that_pass_are_waited_through()
-> Result<()> {
    let server = Scripted::start()?;
    let mut client = send(&server).arg("--wait").spawn()?;
    server.request()?.answer(202, &accepted())?;
    let poll = server.request()?;
    let mut printed = BufReader::new(client.stdout.take().context("no output")?).lines();
    let id = printed.next().context("no id while it waits")??;
    assert_eq!(id, "msg_1");

    drop(poll);
    server
        .request()?
        .answer(503, &json!({"title": "Not now"}))?;
    server.request()?.answer(200, &done())?;
    let rest = printed.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(rest, ["done: 2 targeted, 2 accepted"]);
    let talk = client.wait_with_output()?;
    ensure!(talk.status.success(), "{}", talk.status);
    Ok(())
}

#[test]
fn who_no_longer_waits_is_told_that_the_message_goes_on() -> Result<()> {
    const WORDS: &[&str] = &["msg_1", "goes on", "/v1/messages/msg_1"];
    let server = Scripted::start()?;
    let client = send(&server).args(["--wait", "--json"]).spawn()?;
    server.request()?.answer(202, &accepted())?;
    let poll = server.request()?;
    terminate(client.id())?;
    assert_fails(&client.wait_with_output()?, 130, WORDS)?;
    drop(poll);

    // Nor is it lost when the server does not say what became of it.
    let client = send(&server).args(["--wait", "--json"]).spawn()?;
    server.request()?.answer(202, &accepted())?;
    server
        .request()?
        .answer(403, &json!({"title": "Not yours"}))?;
    assert_fails(&client.wait_with_output()?, 1, &[WORDS, &["403"]].concat())
}

#[test]
fn a_message_whose_answer_got_lost_is_sent_again_as_the_same_one() -> Result<()> {
    let server = Scripted::start()?;
    let client = send(&server).spawn()?;
    let first = server.request()?;
    let (key, body) = (key_of(first.header("idempotency-key"))?, first.body.clone());
    drop(first);
    let again = server.request()?;
    assert_eq!(key_of(again.header("idempotency-key"))?, key);
    assert_eq!(again.body, body);
    again.answer(202, &accepted())?;
    let output = client.wait_with_output()?;
    ensure!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"msg_1\n");

    // Another command is another message.
    let client = send(&server).spawn()?;
    let another = server.request()?;
    assert_ne!(key_of(another.header("idempotency-key"))?, key);
    another.answer(202, &accepted())?;
    ensure!(client.wait_with_output()?.status.success());
    Ok(())
}

fn send(server: &Scripted) -> Command {
    let mut command = server.client("send");
    command
        .args(["--all", "--title", "Fresh bread"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn key_of(header: Option<&str>) -> Result<String> {
    let key = header.context("no idempotency key")?;
    ensure!((1..=255).contains(&key.len()), "{key}");
    Ok(key.to_owned())
}

fn accepted() -> Value {
    json!({"id": "msg_1", "state": "planning"})
}

fn done() -> Value {
    json!({"id": "msg_1", "state": "done", "counts": {"targeted": 2, "accepted": 2}})
}
