//! `tidings serve`, started, ended and asked as operators do it.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::{
    api::Api,
    binary::{command, wait_for_origin},
    process::{Log, Process},
    sandbox::{Sandbox, Subscription},
    wait::until,
};

/// Requests to the API that are under way at once, where there are many.
pub(crate) const AT_ONCE: usize = 32;

/// The settings of a server, by which it can be started again and again.
pub(crate) struct Settings {
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

/// A running server.
pub(crate) struct Tidings {
    pub(crate) process: Process,
    api: Api,
}

/// A subscription that the server has.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) subscription: Subscription,
}

impl Settings {
    /// Those of a server that keeps its data in a folder below this one.
    pub(crate) fn below(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            environment: Vec::new(),
        }
        .set("TIDINGS_LISTEN", "127.0.0.1:0")
        .set("TIDINGS_DATA_DIR", folder.join("data"))
        // It is part of what is sent, and it must not change with the port.
        .set("TIDINGS_PUBLIC_URL", "http://tidings.test/")
        // On a fast machine a test asks more often than a back end should.
        .set("TIDINGS_LIMITS_API_REQUESTS_PER_SECOND", "0")
    }

    pub(crate) fn set(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Lets the server send to a sandbox on this machine over TLS.
    pub(crate) fn trust(self, sandbox: &Sandbox) -> Self {
        self.allow_loopback()
            .set("TIDINGS_PUSH_EXTRA_CA", sandbox.ca_file())
    }

    /// Lets the server send to this machine.
    pub(crate) fn allow_loopback(self) -> Self {
        self.set("TIDINGS_PUSH_ALLOW_NETWORKS", "127.0.0.0/8")
    }

    /// Lets the server send to this machine without TLS as well.
    pub(crate) fn allow_insecure_loopback(self) -> Self {
        self.allow_loopback()
            .set("TIDINGS_PUSH_ALLOW_INSECURE", "true")
    }

    /// Has the server take the push services that the sandbox plays for the real ones.
    pub(crate) async fn believe(mut self, sandbox: &Sandbox) -> Result<Self> {
        for (name, value) in sandbox.server_settings().await? {
            self.environment.push((name.into(), value.into()));
        }
        Ok(self.set("TIDINGS_PUSH_EXTRA_CA", sandbox.ca_file()))
    }

    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A command of the binary with these settings.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = command(name);
        command
            // Not that of the test, where a settings file might lie.
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Tidings {
    pub(crate) async fn start(settings: &Settings) -> Result<Self> {
        Self::run(settings, &mut settings.command("serve")).await
    }

    /// Starts it with this command, which those settings belong to.
    pub(crate) async fn run(settings: &Settings, command: &mut Command) -> Result<Self> {
        let process = Process::spawn("the server", command)?;
        let origin = wait_for_origin(&process, "http").await?;
        let token = fs::read_to_string(settings.data_folder().join("admin-token"))
            .context("reading the admin token")?;
        Ok(Self {
            process,
            api: Api::with_token(origin, token.trim().to_owned()),
        })
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    pub(crate) fn log(&self) -> Log {
        self.process.log()
    }

    /// The public key that pages get, in base64url.
    pub(crate) async fn vapid_key(&self) -> Result<String> {
        let keys = self.api.get("/v1/vapid-keys").await?;
        let keys = keys["items"].as_array().context("no list of keys")?;
        let active = keys.iter().find(|key| key["state"] == "active");
        let key = active.context("no active key")?["public_key"].as_str();
        Ok(key.context("a key without its public half")?.to_owned())
    }

    /// Registers a subscription as the site's back end.
    pub(crate) async fn register(&self, subscription: &Subscription) -> Result<Registered> {
        let answer = self
            .api
            .post("/v1/subscriptions", &subscription.json)
            .await?;
        let id = answer["id"].as_str().context("a subscription without id")?;
        Ok(Registered {
            id: id.to_owned(),
            subscription: subscription.clone(),
        })
    }

    /// Registers many, some at once; the order is kept.
    pub(crate) async fn register_all(
        &self,
        subscriptions: &[Subscription],
    ) -> Result<Vec<Registered>> {
        stream::iter(subscriptions)
            .map(|subscription| self.register(subscription))
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    pub(crate) async fn subscription_state(&self, registered: &Registered) -> Result<Value> {
        let path = format!("/v1/subscriptions/{}", registered.id);
        Ok(self.api.get(&path).await?["state"].take())
    }

    /// Sends a message, and returns its id.
    pub(crate) async fn send(&self, message: &Value) -> Result<String> {
        let accepted = self.api.post("/v1/messages", message).await?;
        let id = accepted["id"].as_str().context("a message without id")?;
        Ok(id.to_owned())
    }

    pub(crate) async fn notify_all(&self, title: &str) -> Result<String> {
        self.send(&notification(&json!({"all": true}), title)).await
    }

    pub(crate) async fn notify(&self, registered: &Registered, title: &str) -> Result<String> {
        let audience = json!({"subscriptions": [registered.id]});
        self.send(&notification(&audience, title)).await
    }

    pub(crate) async fn message(&self, id: &str) -> Result<Value> {
        self.api.get(&format!("/v1/messages/{id}")).await
    }

    /// Waits until every outcome of a message is known, and returns those that occur.
    pub(crate) async fn wait_until_done(&self, id: &str) -> Result<Counts> {
        let message = async || self.message(id).await;
        let is_done = |message: &Value| message["state"] == "done";
        let done = until("the end of a message", message, is_done).await?;
        Counts::of(&done)
    }

    /// Waits until exactly these counts of a message are not 0.
    pub(crate) async fn wait_for_counts(&self, id: &str, expected: &Counts) -> Result<()> {
        let what = format!("{expected:?}");
        let counts = async || Counts::of(&self.message(id).await?);
        until(&what, counts, |counts| counts == expected)
            .await
            .map(drop)
    }

    /// Ends it with SIGKILL, in the middle of whatever it does.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Asks it to end with SIGTERM and waits until it has.
    pub(crate) async fn stop(self) -> Result<()> {
        terminate(self.process.id())?;
        let ended: ExitStatus = self.process.wait_for_exit().await?;
        ensure!(
            ended.success(),
            "told to end, the server ended with {ended}"
        );
        Ok(())
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(process: u32) -> Result<()> {
    let told = Command::new("sh")
        .args(["-c", "kill -TERM \"$1\"", "sh"])
        .arg(process.to_string())
        .status()?;
    ensure!(told.success(), "SIGTERM could not be sent");
    Ok(())
}

/// The outcomes of a message that occurred, by their names in the API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    not_zero: BTreeMap<String, usize>,
}

impl Counts {
    /// `targeted` is their sum.
    pub(crate) fn new(outcomes: &[(&str, usize)]) -> Self {
        let targeted = outcomes.iter().map(|(_, count)| count).sum();
        let not_zero = [("targeted", targeted)]
            .iter()
            .chain(outcomes)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        Self { not_zero }
    }

    pub(crate) fn of(message: &Value) -> Result<Self> {
        let counts = message["counts"].as_object().context("no counts")?;
        let mut not_zero = BTreeMap::new();
        for (name, count) in counts {
            let count = count.as_u64().context("a count that is no number")?;
            if count > 0 {
                not_zero.insert(name.clone(), usize::try_from(count)?);
            }
        }
        Ok(Self { not_zero })
    }
}

/// A message that shows a notification.
pub(crate) fn notification(audience: &Value, title: &str) -> Value {
    json!({"audience": audience, "notification": {"title": title}})
}
