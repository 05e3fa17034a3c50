//! The binary under test, started as the processes that it is in production.

use std::{env, process::Command, time::Duration};

use anyhow::Result;

use crate::process::Process;

const BINARY: &str = env!("CARGO_BIN_EXE_tidings");

const START_DEADLINE: Duration = Duration::from_secs(30);

/// What `serve` and `sandbox` print when they take requests, before each of their origins.
const READY: &str = "listening on ";

/// A command of the binary, without the settings of the one who runs the tests.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.arg(name);
    for (key, _) in env::vars_os() {
        if key.to_string_lossy().starts_with("TIDINGS_") {
            command.env_remove(key);
        }
    }
    command
}

/// Waits until a process takes requests, and returns its origin of this scheme (`http` or `https`).
pub(crate) async fn wait_for_origin(process: &Process, scheme: &str) -> Result<String> {
    process
        .wait_for_line("its address", START_DEADLINE, |line| {
            let (_, rest) = line.split_once(READY)?;
            let origin = rest.split_whitespace().next()?.trim_end_matches('/');
            let (its_scheme, _) = origin.split_once("://")?;
            (its_scheme == scheme).then(|| origin.to_owned())
        })
        .await
}
