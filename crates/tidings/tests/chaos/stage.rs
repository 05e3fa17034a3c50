//! Several push services, a server that takes them for the real ones, and many subscribers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    api::read,
    sandbox::Sandbox,
    sizes::Sizes,
    tidings::{Settings, Tidings},
    wait::eventually_within,
};

pub(crate) const SERVICES: [&str; 4] = ["fcm", "mozilla", "apple", "wns"];

/// Who waits for a push service to recover, or for 200 000 deliveries, waits longer than others.
pub(crate) const PATIENCE: Duration = Duration::from_mins(15);

/// Lines of one import.
const LINES_AT_ONCE: usize = 5_000;

/// Where it all happens.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) settings: Settings,
    _folder: TempDir,
}

impl Stage {
    pub(crate) async fn set_up(sizes: &Sizes) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let services = SERVICES.map(|name| format!("{name}=127.0.0.1:0"));
        let seed = sizes.seed.to_string();
        let decrypt_one_in = sizes.decrypt_one_in.to_string();
        let mut arguments = vec!["--keep-messages", "0", "--seed", &seed];
        arguments.extend(["--decrypt-one-in", &decrypt_one_in]);
        for service in &services {
            arguments.extend(["--service", service]);
        }
        let sandbox = Sandbox::start_with(&arguments).await?;
        let settings = Settings::below(folder.path())
            .set("TIDINGS_CONTACT", "mailto:ops@example.org")
            .believe(&sandbox)
            .await?;
        Ok(Self {
            sandbox,
            settings,
            _folder: folder,
        })
    }

    /// Has the server import new subscribers at these push services, each a person whose name is
    /// this prefix and a number. `key` is the VAPID key that their browsers know.
    pub(crate) async fn subscribe(
        &self,
        tidings: &Tidings,
        newcomers: &Newcomers<'_>,
    ) -> Result<()> {
        let mut number = 0;
        while number < newcomers.count {
            let count = LINES_AT_ONCE.min(newcomers.count - number);
            let subscriptions = self
                .sandbox
                .subscriptions_at(count, newcomers.services, newcomers.key)
                .await?;
            let mut lines = String::new();
            for mut subscription in subscriptions {
                subscription.json["user"] = newcomers.user(number).into();
                lines.push_str(&subscription.json.to_string());
                lines.push('\n');
                number += 1;
            }
            import(tidings, lines, count).await?;
        }
        Ok(())
    }
}

/// Those who subscribe.
pub(crate) struct Newcomers<'a> {
    pub(crate) count: usize,
    /// Names of push services, with commas; they are spread over them in turn.
    pub(crate) services: &'a str,
    /// The public VAPID key that their browsers were given.
    pub(crate) key: &'a str,
    /// What the names of these persons begin with.
    pub(crate) prefix: &'a str,
}

impl Newcomers<'_> {
    /// The name of one of them, counted from 0.
    pub(crate) fn user(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }
}

async fn import(tidings: &Tidings, lines: String, count: usize) -> Result<()> {
    let (path, kind) = ("/v1/subscriptions/import", "application/x-ndjson");
    let lines = Bytes::from(lines);
    let call = tidings.api().exchange(Method::POST, path, kind, lines);
    let report = read(&Method::POST, path, &call.await?)?;
    ensure!(report["created"] == count, "not all came in: {report}");
    Ok(())
}

/// The endpoints of all subscriptions in this state.
pub(crate) async fn endpoints(tidings: &Tidings, state: &str) -> Result<Vec<String>> {
    let path = format!("/v1/subscriptions/export?state={state}");
    let answer = tidings.api().ask(Method::GET, &path, None).await?;
    let status = answer.status();
    ensure!(status.is_success(), "{path} was answered {status}");
    let lines = String::from_utf8_lossy(answer.body());
    let endpoint = |line: &str| -> Result<String> {
        let line: Value = serde_json::from_str(line)?;
        let endpoint = line["endpoint"].as_str().context("no endpoint")?;
        Ok(endpoint.to_owned())
    };
    lines.lines().map(endpoint).collect()
}

/// Waits until this count of a message is so high, and returns all of them.
pub(crate) async fn until_counted(
    tidings: &Tidings,
    message: &str,
    outcome: &str,
    least: usize,
) -> Result<Value> {
    let what = format!("{least} {outcome}");
    eventually_within(PATIENCE, &what, async || {
        let counts = tidings.message(message).await?["counts"].take();
        let is_enough = counts[outcome].as_u64() >= u64::try_from(least).ok();
        Ok(is_enough.then_some(counts))
    })
    .await
}

/// Waits until a message is done, and returns its counts.
pub(crate) async fn until_done(tidings: &Tidings, message: &str) -> Result<Value> {
    eventually_within(PATIENCE, "the end of a message", async || {
        let mut message = tidings.message(message).await?;
        let is_done = message["state"] == "done";
        Ok(is_done.then(|| message["counts"].take()))
    })
    .await
}
