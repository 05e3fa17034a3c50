//! The push service of a run: `tidings sandbox` as a process, and its controls.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_sandbox::Personality;
use tokio_util::sync::CancellationToken;

use super::children::{ChildProcess, Start};
use crate::api_client::ApiClient;
use crate::cli::BenchArgs;
use crate::output;

/// How many subscriptions it makes in one request.
const AT_ONCE: u32 = 1_000_000;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);

/// How long answers that were delayed may take once nothing more is sent.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
const SETTLE_POLL: Duration = Duration::from_millis(20);

/// A running push service.
pub(super) struct PushService {
    pub(super) process: ChildProcess,
    control: ApiClient,
    /// The names of those that it plays.
    services: String,
    ca: PathBuf,
    settings: BTreeMap<String, String>,
}

/// The sandbox's answer about what it plays.
#[derive(Deserialize)]
struct Played {
    /// The environment by which a server takes it for the real ones.
    settings: BTreeMap<String, String>,
}

/// What it counted since the last reset.
#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    pub(super) posts: u64,
    pub(super) accepted: u64,
    pub(super) subscriptions_reached: u64,
    /// By status.
    pub(super) answers: BTreeMap<String, u64>,
    pub(super) in_flight: u64,
    pub(super) duplicates: u64,
    pub(super) decrypted: u64,
    pub(super) decrypt_failures: u64,
}

#[derive(Deserialize)]
struct Messages {
    messages: Vec<Received>,
}

#[derive(Deserialize)]
struct Received {
    received_at: Timestamp,
    topic: Option<String>,
}

impl PushService {
    /// Starts one that plays all of these.
    pub(super) fn start(
        services: &[Personality],
        folder: &Path,
        core: Option<usize>,
        args: &BenchArgs,
    ) -> Result<Self> {
        let names: Vec<_> = services.iter().map(ToString::to_string).collect();
        let services = names.join(",");
        let ca = format!("{services}.pem");
        let mut arguments = [
            "--listen=127.0.0.1:0".to_owned(),
            format!("--ca-file={ca}"),
            format!("--decrypt-one-in={}", args.decrypt_one_in),
            // Only direct messages are asked for, and they alone have topics. One subscriber may get
            // all of them.
            "--keep-with-topic-only".to_owned(),
            format!("--keep-messages={}", args.direct),
        ]
        .to_vec();
        arguments.extend(
            names
                .iter()
                .map(|name| format!("--service={name}=127.0.0.1:0")),
        );
        let mut process = ChildProcess::start(&Start {
            name: "sandbox",
            log: &format!("{services}.log"),
            arguments: &arguments,
            environment: &[],
            core,
            folder,
        })?;
        let control = ApiClient::on_this_machine(&process.wait_for_origin("http")?, None);
        let played: Played = serde_json::from_value(control.get("/sandbox/services")?)?;
        Ok(Self {
            process,
            control,
            services,
            ca: folder.join(ca),
            settings: played.settings,
        })
    }

    /// What a server must be told to send here, besides the authority.
    pub(super) fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// The certificate of its authority (PEM).
    pub(super) fn ca(&self) -> &Path {
        &self.ca
    }

    /// Makes virtual subscribers, and writes their subscriptions to a file, one on each line.
    pub(super) fn make_subscriptions(
        &self,
        count: u32,
        key: &str,
        file: &Path,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut to = BufWriter::new(File::create(file)?);
        let mut left = count;
        let mut told = Instant::now();
        while left > 0 {
            let part = left.min(AT_ONCE);
            let path = format!(
                "/sandbox/subscriptions?count={part}&applicationServerKey={key}&service={}",
                self.services
            );
            let lines = self.control.post_lines(&path, &mut std::io::empty())?;
            let mut made = 0;
            for line in BufReader::new(lines).lines() {
                writeln!(to, "{}", line?)?;
                made += 1;
                if stop.is_cancelled() {
                    bail!("stopped");
                }
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    output::say(&format!("  {} made", count - left + made));
                }
            }
            ensure!(
                made == part,
                "the push service made {made} subscriptions, not {part}"
            );
            left -= part;
        }
        to.flush()
            .with_context(|| format!("writing {}", file.display()))
    }

    /// Makes every answer come so many milliseconds late.
    pub(super) fn delay_answers(&self, milliseconds: u32) -> Result<()> {
        self.behave(&json!({"delay_ms": milliseconds}))
    }

    /// Refuses everything with 429.
    pub(super) fn refuse_everything(&self) -> Result<()> {
        self.behave(&json!({"status": 429, "retry_after": "30"}))
    }

    fn behave(&self, rules: &Value) -> Result<()> {
        self.control.put("/sandbox/behaviour", rules).map(drop)
    }

    pub(super) fn stats(&self) -> Result<Stats> {
        Ok(serde_json::from_value(self.control.get("/sandbox/stats")?)?)
    }

    /// The same, once nothing is under way any more.
    pub(super) fn settled_stats(&self) -> Result<Stats> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let stats = self.stats()?;
            if stats.in_flight == 0 || Instant::now() > deadline {
                return Ok(stats);
            }
            thread::sleep(SETTLE_POLL);
        }
    }

    /// Counts from zero again.
    pub(super) fn reset_stats(&self) -> Result<()> {
        self.control.delete("/sandbox/stats")
    }

    /// When the subscription with this token got the message with this topic, if it did.
    pub(super) fn received_at(&self, token: &str, topic: &str) -> Result<Option<Timestamp>> {
        let path = format!("/sandbox/messages?subscription={token}");
        let list: Messages = serde_json::from_value(self.control.get(&path)?)?;
        let mut messages = list.messages.into_iter();
        let message = messages.find(|message| message.topic.as_deref() == Some(topic));
        Ok(message.map(|message| message.received_at))
    }
}
