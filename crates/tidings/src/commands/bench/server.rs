//! The server that is measured: `tidings serve` as a process, and its API.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_webpush::VapidKey;

use super::children::{ChildProcess, Start};
use super::push_service::PushService;
use crate::api_client::ApiClient;
use crate::data_directory::{new_admin_token, write_new};

/// The database, and what was written to it since its last checkpoint.
const DATABASE: &str = "tidings.sqlite3";
const WAL: &str = "tidings.sqlite3-wal";

/// Files beside its data.
const KEY: &str = "vapid.pem";
const AUTHORITIES: &str = "authorities.pem";

/// A running server.
pub(super) struct Server {
    pub(super) process: ChildProcess,
    api: ApiClient,
    data: PathBuf,
}

/// A message of the server.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) state: String,
    pub(super) counts: Counts,
    pub(super) done_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Counts {
    pub(super) targeted: u64,
    pub(super) pending: u64,
    pub(super) retrying: u64,
    pub(super) accepted: u64,
}

/// What an import was answered.
#[derive(Debug, Deserialize)]
pub(super) struct Imported {
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) refused: u64,
}

impl Server {
    /// Starts one that sends to these push services, with a database of its own.
    pub(super) fn start(
        folder: &Path,
        core: Option<usize>,
        key: &VapidKey,
        push_services: &[&PushService],
    ) -> Result<Self> {
        let token = new_admin_token();
        let data = folder.join("data");
        write_new(&folder.join(KEY), &key.to_pkcs8_pem())?;
        fs::write(folder.join(AUTHORITIES), authorities(push_services)?)?;
        let arguments = [
            "--listen=127.0.0.1:0".to_owned(),
            format!("--data-dir={}", data.display()),
            format!("--vapid-key-file={KEY}"),
            format!("--push-extra-ca={AUTHORITIES}"),
            "--contact=mailto:operator@example.com".to_owned(),
        ];
        let mut environment = settings(push_services);
        environment.push(("TIDINGS_ADMIN_TOKEN".to_owned(), token.as_str().to_owned()));
        let mut process = ChildProcess::start(&Start {
            name: "serve",
            log: "serve.log",
            arguments: &arguments,
            environment: &environment,
            core,
            folder,
        })?;
        let origin = process.wait_for_origin("http")?;
        Ok(Self {
            process,
            api: ApiClient::on_this_machine(&origin, Some(&token)),
            data,
        })
    }

    /// Registers one subscription, and returns its id.
    pub(super) fn register(&self, subscription: &Value) -> Result<String> {
        id_of(&self.api.post("/v1/subscriptions", subscription)?)
    }

    /// Imports subscriptions, one on each line.
    pub(super) fn import(&self, lines: &mut dyn Read) -> Result<Imported> {
        let answer = self.api.post_lines("/v1/subscriptions/import", lines)?;
        serde_json::from_reader(answer).context("reading the answer to the import")
    }

    /// Sends one message, and returns its id.
    pub(super) fn send(&self, message: &Value) -> Result<String> {
        id_of(&self.api.post("/v1/messages", message)?)
    }

    pub(super) fn message(&self, id: &str) -> Result<Message> {
        let message = self.api.get(&format!("/v1/messages/{id}"))?;
        Ok(serde_json::from_value(message)?)
    }

    /// What was written and has not found its way into the database file yet, in octets.
    pub(super) fn wal_bytes(&self) -> u64 {
        fs::metadata(self.data.join(WAL)).map_or(0, |file| file.len())
    }

    /// Ends it; returns the size of the database, which is then all in one file.
    pub(super) fn end(self) -> Result<u64> {
        self.process.end()?;
        let sizes = [DATABASE, WAL].map(|name| {
            let file = fs::metadata(self.data.join(name));
            file.map_or(0, |file| file.len())
        });
        Ok(sizes.iter().sum())
    }
}

/// The certificates of all authorities, one after the other.
fn authorities(push_services: &[&PushService]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for push_service in push_services {
        let file = push_service.ca();
        all.extend(fs::read(file).with_context(|| format!("reading {}", file.display()))?);
    }
    Ok(all)
}

/// The settings of all push services: each is a list.
fn settings(push_services: &[&PushService]) -> Vec<(String, String)> {
    let mut merged: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in push_services.iter().flat_map(|service| service.settings()) {
        merged.entry(name.clone()).or_default().push(value);
    }
    let joined = merged
        .into_iter()
        .map(|(name, values)| (name, values.join(",")));
    joined.collect()
}

/// A message of exactly so many octets.
pub(super) fn message(audience: &Value, beginning: &str, length: u32) -> Value {
    let mut payload = beginning.as_bytes().to_vec();
    payload.resize(usize::try_from(length).unwrap_or(usize::MAX), b'x');
    json!({"audience": audience, "payload_base64": STANDARD.encode(payload)})
}

fn id_of(answer: &Value) -> Result<String> {
    text(answer, "id")
        .map(str::to_owned)
        .context("the server's answer has no id")
}

fn text<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    object.get(member)?.as_str()
}
