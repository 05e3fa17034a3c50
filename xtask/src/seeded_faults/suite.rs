//! Building the suite for the copy, running it, reading what it says.

use std::collections::BTreeSet;
use std::env;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::seeded_faults::copy::Copy;

/// The suite ends by itself much sooner; a fault might make it wait for ever.
const LIMIT: Duration = Duration::from_mins(5);

/// The conformance suite of the copy.
pub(crate) struct Suite {
    manifest: PathBuf,
    target: PathBuf,
}

/// The names of the cases, by how they ended.
pub(crate) struct Outcomes {
    pub(crate) passed: BTreeSet<String>,
    pub(crate) failed: BTreeSet<String>,
}

impl Outcomes {
    pub(crate) fn passed(&self, case: &str) -> bool {
        self.passed.contains(case)
    }

    pub(crate) fn ran(&self, case: &str) -> bool {
        self.passed.contains(case) || self.failed.contains(case)
    }
}

impl Suite {
    pub(crate) fn of(copy: &Copy) -> Self {
        Self {
            manifest: copy.workspace().join("Cargo.toml"),
            target: copy.target().to_owned(),
        }
    }

    /// Builds it from the copy as it is now, and runs all cases. That it does not build is an
    /// error: then nothing is known of the fault.
    pub(crate) fn run(&self) -> anyhow::Result<Outcomes> {
        let printed = run_to_end(&self.build()?)?;
        let outcomes = read_outcomes(&printed);
        ensure!(
            !outcomes.passed.is_empty(),
            "no case passed; the suite said:\n{printed}"
        );
        Ok(outcomes)
    }

    /// The path of the executable.
    fn build(&self) -> anyhow::Result<PathBuf> {
        let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "test",
                "--no-run",
                "--offline",
                "--workspace",
                "--test",
                "conformance",
            ])
            .args([
                "--message-format",
                "json-render-diagnostics",
                "--manifest-path",
            ])
            .arg(&self.manifest)
            .arg("--target-dir")
            .arg(&self.target)
            .stderr(Stdio::inherit())
            .output()
            .context("starting cargo")?;
        ensure!(
            built.status.success(),
            "the copy of the store does not build"
        );
        let messages = String::from_utf8(built.stdout)?;
        let executable = messages.lines().filter_map(executable).next_back();
        executable.context("cargo did not say where the suite's executable is")
    }
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let named = message.get("target")?.get("name")? == "conformance";
    named
        .then(|| message.get("executable")?.as_str().map(PathBuf::from))
        .flatten()
}

/// What it prints. Failing cases make its status a failure, so that is not looked at.
fn run_to_end(executable: &Path) -> anyhow::Result<String> {
    let mut child = Command::new(executable)
        // Shrinking a failing sequence of operations helps people, not this.
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| executable.display().to_string())?;
    let mut stdout = child.stdout.take().context("its output is piped")?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut printed = String::new();
        let read = stdout.read_to_string(&mut printed).map(|_| printed);
        // Nobody listens any more once the limit has passed.
        let _ = sender.send(read);
    });
    let Ok(printed) = receiver.recv_timeout(LIMIT) else {
        child.kill()?;
        child.wait()?;
        bail!("the suite did not end within {} s", LIMIT.as_secs());
    };
    child.wait()?;
    // It has sent what it read and is at its end.
    let _ = reader.join();
    Ok(printed?)
}

/// Reads lines of the form `test module::case ... ok`.
fn read_outcomes(printed: &str) -> Outcomes {
    let mut outcomes = Outcomes {
        passed: BTreeSet::new(),
        failed: BTreeSet::new(),
    };
    for line in printed.lines() {
        let Some((case, end)) = line
            .strip_prefix("test ")
            .and_then(|test| test.split_once(" ... "))
        else {
            continue;
        };
        match end {
            "ok" => outcomes.passed.insert(case.to_owned()),
            "FAILED" => outcomes.failed.insert(case.to_owned()),
            _ => continue,
        };
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_from_what_the_suite_prints() {
        let printed = "\nrunning 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\
                       test d::e ... ignored\n\nfailures:\n    a::c\n\n\
                       test result: FAILED. 1 passed; 1 failed; 1 ignored\n";
        let Outcomes { passed, failed } = read_outcomes(printed);
        assert_eq!(passed, BTreeSet::from(["a::b".to_owned()]));
        assert_eq!(failed, BTreeSet::from(["a::c".to_owned()]));
    }

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let library = r#"{"target":{"name":"tidings_store_sqlite"},"executable":null}"#;
        let suite = r#"{"target":{"name":"conformance"},"executable":"/target/conformance-1"}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable("Compiling something"), None);
        assert_eq!(
            executable(suite),
            Some(PathBuf::from("/target/conformance-1"))
        );
    }
}
