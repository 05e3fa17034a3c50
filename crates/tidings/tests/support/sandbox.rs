//! `tidings sandbox`, the push service of these tests, and what it is told over its controls.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    api::Api,
    binary::{command, wait_for_origin},
    process::Process,
    wait::until,
};

/// A running sandbox, over plain HTTP and over TLS.
pub(crate) struct Sandbox {
    process: Process,
    pub(crate) control: Api,
    tls_port: String,
    folder: TempDir,
}

/// The scheme of endpoints.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// The subscription of a virtual user agent, as a browser would give it to its page.
#[derive(Clone)]
pub(crate) struct Subscription {
    pub(crate) json: Value,
}

impl Sandbox {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one with these further arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tidings-sandbox-")
            .tempdir()?;
        let mut command = command("sandbox");
        command
            .current_dir(folder.path())
            .args(["--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"])
            .args(["--ca-file", "ca.pem"])
            .args(arguments);
        let process = Process::spawn("the sandbox", &mut command)?;
        let tls_port = port(&wait_for_origin(&process, "https").await?)?;
        // The host that it tells is the one of `--public-host`.
        let port = port(&wait_for_origin(&process, "http").await?)?;
        Ok(Self {
            process,
            control: Api::open(format!("http://127.0.0.1:{port}")),
            tls_port,
            folder,
        })
    }

    /// The certificate of its authority.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where it listens for TLS.
    pub(crate) fn tls_port(&self) -> &str {
        &self.tls_port
    }

    /// New virtual user agents' subscriptions, tied to a VAPID key.
    pub(crate) async fn subscriptions(
        &self,
        count: usize,
        scheme: Scheme,
        vapid_key: &str,
    ) -> Result<Vec<Subscription>> {
        let scheme = match scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let path = format!(
            "/sandbox/subscriptions?count={count}&scheme={scheme}&applicationServerKey={vapid_key}"
        );
        self.subscribe(&path).await
    }

    /// New virtual user agents' subscriptions at the push services that it plays besides.
    pub(crate) async fn subscriptions_at(
        &self,
        count: usize,
        services: &str,
        vapid_key: &str,
    ) -> Result<Vec<Subscription>> {
        let path = format!(
            "/sandbox/subscriptions?count={count}&service={services}&applicationServerKey={vapid_key}"
        );
        self.subscribe(&path).await
    }

    /// What a server must be told to take these push services for the real ones.
    pub(crate) async fn server_settings(&self) -> Result<BTreeMap<String, String>> {
        let settings = self.control.get("/sandbox/services").await?["settings"].take();
        serde_json::from_value(settings).context("settings")
    }

    async fn subscribe(&self, path: &str) -> Result<Vec<Subscription>> {
        let answer = self.control.ask(Method::POST, path, None).await?;
        let lines = String::from_utf8_lossy(answer.body());
        lines
            .lines()
            .map(|line| {
                let json = serde_json::from_str(line)
                    .with_context(|| format!("a subscription that is not JSON: {line}"))?;
                Ok(Subscription { json })
            })
            .collect()
    }

    /// Answers by these rules from now on.
    pub(crate) async fn behave(&self, rules: &Value) -> Result<()> {
        let path = "/sandbox/behaviour";
        let call = self.control.call(Method::PUT, path, Some(rules));
        call.await.map(drop)
    }

    /// Answers honestly from now on, also what it withheld.
    pub(crate) async fn be_honest(&self) -> Result<()> {
        let call = self
            .control
            .call(Method::DELETE, "/sandbox/behaviour", None);
        call.await.map(drop)
    }

    /// The rules in force, each with how many POSTs it still applies to.
    pub(crate) async fn rules(&self) -> Result<Value> {
        Ok(self.control.get("/sandbox/behaviour").await?["rules"].take())
    }

    pub(crate) async fn stats(&self) -> Result<Value> {
        self.control.get("/sandbox/stats").await
    }

    /// Waits until its counters are as `expected`.
    pub(crate) async fn stats_until(
        &self,
        what: &str,
        expected: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(what, async || self.stats().await, expected).await
    }

    /// What a subscription got, the oldest first.
    pub(crate) async fn messages(&self, subscription: &Subscription) -> Result<Vec<Value>> {
        let token = subscription.token();
        let path = format!("/sandbox/messages?subscription={token}");
        let mut list = self.control.get(&path).await?;
        serde_json::from_value(list["messages"].take()).context("messages")
    }

    pub(crate) fn end(self) {
        self.process.kill();
    }
}

impl Subscription {
    pub(crate) fn endpoint(&self) -> &str {
        self.json["endpoint"].as_str().unwrap_or_default()
    }

    /// What is secret in the endpoint.
    pub(crate) fn token(&self) -> &str {
        let endpoint = self.endpoint();
        endpoint.rsplit('/').next().unwrap_or(endpoint)
    }

    /// The same user agent, reached under another endpoint.
    pub(crate) fn moved_to(&self, endpoint: String) -> Self {
        let mut json = self.json.clone();
        json["endpoint"] = endpoint.into();
        Self { json }
    }
}

/// The id of the Tidings message that a message of the sandbox carried.
pub(crate) fn message_id(received: &Value) -> &str {
    let payload = &received["payload"]["json"];
    payload["notification"]["data"]["tidings"]["message"]
        .as_str()
        .unwrap_or("no message of Tidings")
}

/// A file of a certificate authority that signed nothing.
pub(crate) async fn foreign_ca(folder: &Path) -> Result<PathBuf> {
    let other = Sandbox::start().await?;
    let path = folder.join("foreign-ca.pem");
    std::fs::copy(other.ca_file(), &path).context("copying the certificate")?;
    other.end();
    Ok(path)
}

fn port(origin: &str) -> Result<String> {
    let (_, port) = origin.rsplit_once(':').context("an origin without port")?;
    Ok(port.to_owned())
}
