//! The binary under test as the processes that it is in production: the server, and the sandbox
//! that is its push service here.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings_webpush::VapidKey;

use crate::{
    binary::{command, wait_for_origin},
    http::send,
    process::Process,
    wait::until,
};

/// As long as a real one, and known to everyone.
const ADMIN_TOKEN: &str = "an-admin-token-that-only-tests-use";

/// `tidings sandbox`, the push service.
pub(crate) struct Sandbox {
    process: Process,
    origin: String,
    tls_origin: String,
    folder: TempDir,
}

/// `tidings serve`.
pub(crate) struct Tidings {
    process: Process,
    origin: String,
    _data: TempDir,
}

impl Sandbox {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tidings-sandbox-")
            .tempdir()?;
        let mut command = command("sandbox");
        command
            .current_dir(folder.path())
            .args(["--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"])
            .args(["--ca-file", "ca.pem"]);
        let (process, origin) = start("the sandbox", &mut command).await?;
        let tls_origin = wait_for_origin(&process, "https").await?;
        Ok(Self {
            process,
            origin,
            tls_origin,
            folder,
        })
    }

    /// The certificate of the authority that its TLS needs.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where a Firefox finds it.
    pub(crate) fn websocket_url(&self) -> String {
        format!("{}/", self.origin.replacen("http", "ws", 1))
    }

    /// Where a Firefox finds it that is to get endpoints with TLS.
    pub(crate) fn secure_websocket_url(&self) -> String {
        format!("{}/", self.tls_origin.replacen("http", "ws", 1))
    }

    /// Waits until user agents have acknowledged so many messages with this code: 100 for those
    /// that they handed to a worker, 101 for those that they could not decrypt.
    pub(crate) async fn wait_for_acks(&self, code: u16, count: u64) -> Result<()> {
        let what = format!("{count} acknowledgements with code {code}");
        let acks = async || Ok(self.user_agents().await?["acks"].take());
        let code = code.to_string();
        until(&what, acks, |acks| acks[&code] == count)
            .await
            .map(drop)
    }

    /// How often a worker failed after it was handed a message, by the code of its failure.
    pub(crate) async fn worker_failures(&self) -> Result<BTreeMap<String, u64>> {
        let counted = serde_json::from_value(self.user_agents().await?["nacks"].take());
        let mut failures: BTreeMap<_, _> = counted.context("counted nacks")?;
        failures.retain(|_, count| *count > 0);
        Ok(failures)
    }

    pub(crate) fn end(self) {
        self.process.kill();
    }

    async fn user_agents(&self) -> Result<Value> {
        let url = format!("{}/sandbox/stats", self.origin);
        Ok(call(Method::GET, &url, None).await?["user_agents"].take())
    }
}

impl Tidings {
    /// Starts the server with `vapid_key`, for pages of `site`, an origin.
    pub(crate) async fn start(vapid_key: &VapidKey, site: &str) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("tidings-data-").tempdir()?;
        let key_file = data.path().join("vapid.pem");
        fs::write(&key_file, &*vapid_key.to_sec1_pem()).context("writing the VAPID key")?;
        let mut command = command("serve");
        command
            .current_dir(data.path())
            .env("TIDINGS_LISTEN", "127.0.0.1:0")
            .env("TIDINGS_DATA_DIR", data.path().join("data"))
            .env("TIDINGS_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("TIDINGS_VAPID_KEY_FILE", key_file)
            .env("TIDINGS_CORS_ORIGINS", site)
            .env("TIDINGS_PUSH_ALLOW_NETWORKS", "127.0.0.0/8")
            .env("TIDINGS_PUSH_ALLOW_INSECURE", "true");
        let (process, origin) = start("the server", &mut command).await?;
        Ok(Self {
            process,
            origin,
            _data: data,
        })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The id of the one subscription that the server has.
    pub(crate) async fn only_subscription(&self) -> Result<String> {
        let list = self.get("/v1/subscriptions").await?;
        match list["items"].as_array().map(Vec::as_slice) {
            Some([one]) => Ok(one["id"]
                .as_str()
                .context("a subscription without id")?
                .to_owned()),
            _ => bail!("not one subscription: {list}"),
        }
    }

    pub(crate) async fn subscription_state(&self, id: &str) -> Result<Value> {
        Ok(self.get(&format!("/v1/subscriptions/{id}")).await?["state"].take())
    }

    /// Sends a notification to everyone, and returns the id of the message.
    pub(crate) async fn notify_all(&self, notification: Value) -> Result<String> {
        let message = json!({"audience": {"all": true}, "notification": notification});
        let url = format!("{}/v1/messages", self.origin);
        let accepted = call(Method::POST, &url, Some(message)).await?;
        Ok(accepted["id"]
            .as_str()
            .context("a message without id")?
            .to_owned())
    }

    /// Waits until the counts of a message have these values; the others do not matter.
    pub(crate) async fn wait_for_counts<const N: usize>(
        &self,
        message: &str,
        expected: [(&str, u64); N],
    ) -> Result<()> {
        let what = format!("counts {expected:?} of a message");
        let path = format!("/v1/messages/{message}");
        let counts = async || Ok(self.get(&path).await?["counts"].take());
        let all = |counts: &Value| expected.iter().all(|(name, count)| counts[name] == *count);
        until(&what, counts, all).await.map(drop)
    }

    pub(crate) fn end(self) {
        self.process.kill();
    }

    async fn get(&self, path: &str) -> Result<Value> {
        call(Method::GET, &format!("{}{path}", self.origin), None).await
    }
}

/// Starts one of the two and waits for its origin.
async fn start(name: &'static str, command: &mut Command) -> Result<(Process, String)> {
    let process = Process::spawn(name, command)?;
    let origin = wait_for_origin(&process, "http").await?;
    Ok((process, origin))
}

/// One request as the operator, with JSON both ways; anything but success is an error.
async fn call(method: Method, url: &str, body: Option<Value>) -> Result<Value> {
    let what = format!("{method} {url}");
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header(AUTHORIZATION, format!("Bearer {ADMIN_TOKEN}"))
        .header(CONTENT_TYPE, "application/json")
        .body(body.map_or_else(Bytes::new, |body| body.to_string().into()))?;
    let (head, body) = send(request).await?.into_parts();
    let text = String::from_utf8_lossy(&body);
    ensure!(
        head.status.is_success(),
        "{what} was answered {}: {text}",
        head.status
    );
    serde_json::from_slice(&body).with_context(|| format!("{what} was answered {text}"))
}
