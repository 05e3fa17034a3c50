//! A sender's side of the contract with `peers/run.py` (`peers/README.md`).
//!
//! A sender loads its job, says `ready`, waits for a line, sends to everybody, prints one line of
//! JSON, and stays until its standard input ends, so that it can be looked at from outside.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;

/// What is to be sent to whom, and how much at once.
#[derive(Debug, Deserialize)]
pub struct Job {
    /// Subscriptions as NDJSON, each in the form of `PushSubscription.toJSON()`.
    pub subscriptions: PathBuf,
    /// How many of them get the message, from the first on.
    pub count: usize,
    /// The push service's certificate authority (PEM).
    pub ca: PathBuf,
    /// The origin of the push service, as VAPID tokens must name it.
    pub audience: String,
    /// The plaintext of every message.
    pub payload: String,
    /// In seconds.
    pub ttl: u32,
    /// VAPID `sub`.
    pub contact: String,
    /// PEM.
    pub private_key_file: PathBuf,
    /// How many messages a peer that can do so keeps under way.
    pub in_flight: usize,
    /// How many HTTP/2 connections are opened, by whom that can be told.
    pub connections: usize,
    /// How many streams it uses on each.
    pub streams: usize,
}

/// A subscription as browsers hand it out.
#[derive(Debug, Deserialize)]
pub struct Subscription {
    pub endpoint: String,
    pub keys: Keys,
}

/// Its keys, in base64url.
#[derive(Debug, Deserialize)]
pub struct Keys {
    pub p256dh: String,
    pub auth: String,
}

/// What became of the messages.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Answered with 201.
    pub accepted: u64,
    /// Answered with anything else, or not at all.
    pub failed: u64,
    /// What the first failure was.
    pub first_failure: Option<String>,
}

impl Job {
    /// Reads the file that the first argument names.
    pub fn from_arguments() -> Result<Self> {
        let path = std::env::args_os().nth(1);
        let path = path.ok_or("say which job to do: the path of its JSON file")?;
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }

    /// All that the message goes to, in the form that the sender keeps them in.
    pub fn subscriptions<T>(&self, keep: impl Fn(Subscription) -> Result<T>) -> Result<Vec<T>> {
        let lines = BufReader::new(File::open(&self.subscriptions)?).lines();
        let kept: Vec<_> = lines
            .take(self.count)
            .map(|line| keep(serde_json::from_str(&line?)?))
            .collect::<Result<_>>()?;
        if kept.len() < self.count {
            return Err(format!("{} subscriptions, not {}", kept.len(), self.count).into());
        }
        Ok(kept)
    }
}

impl Outcome {
    /// Counts one more message.
    pub fn count(&mut self, result: Result<(), impl std::fmt::Display>) {
        match result {
            Ok(()) => self.accepted += 1,
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// Tells it, and stays until somebody has looked.
    pub fn tell(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush()?;
        io::stdin().lock().read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

/// Says that everything is loaded, and returns when sending may begin.
pub fn wait_for_the_start() -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"ready\n")?;
    out.flush()?;
    if io::stdin().lock().read_line(&mut String::new())? == 0 {
        return Err("nobody gave the start: this program is run by peers/run.py".into());
    }
    Ok(())
}

/// A whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?)
}
