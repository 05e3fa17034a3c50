//! The processes of a run: this executable as a push service, and as a server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use super::machine;

const START_LIMIT: Duration = Duration::from_mins(1);
const END_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// What `serve` and `sandbox` log before each of their origins.
const READY: &str = "listening on ";

/// How many of its last lines are shown if a process fails.
const LAST_LINES: usize = 12;

/// A running process of this executable. Dropping it ends it.
///
/// It stays in this process's group, so that Ctrl-C in a terminal reaches it too.
pub(super) struct ChildProcess {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// How it is started.
pub(super) struct Start<'a> {
    /// The subcommand.
    pub(super) name: &'static str,
    /// Where its log goes, in `folder`.
    pub(super) log: &'a str,
    pub(super) arguments: &'a [String],
    /// Besides what this process has that is no setting of Tidings.
    pub(super) environment: &'a [(String, String)],
    pub(super) core: Option<usize>,
    /// Where it runs and leaves its log.
    pub(super) folder: &'a Path,
}

impl ChildProcess {
    pub(super) fn start(start: &Start<'_>) -> Result<Self> {
        let executable = std::env::current_exe().context("which file is this executable?")?;
        let log = start.folder.join(start.log);
        let mut command = Command::new(executable);
        command
            .arg(start.name)
            .args(start.arguments)
            .current_dir(start.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| format!("writing {}", log.display()))?);
        // The settings of whoever measures are no part of it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDINGS_") {
                command.env_remove(name);
            }
        }
        command.envs(start.environment.iter().map(|(name, value)| (name, value)));
        let child = spawn_on(start.core, command)
            .with_context(|| format!("`tidings {}` cannot be started", start.name))?;
        Ok(Self {
            name: start.name,
            child,
            log,
        })
    }

    /// Waits until it listens with this scheme, and returns the origin.
    pub(super) fn wait_for_origin(&mut self, scheme: &str) -> Result<String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(origin) = origin(&self.log_text(), scheme) {
                return Ok(origin);
            }
            if self.child.try_wait()?.is_some() {
                bail!(self.failure("ended before it was ready"));
            }
            if Instant::now() > deadline {
                bail!(self.failure("did not get ready"));
            }
            thread::sleep(POLL);
        }
    }

    /// Processor time so far.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        machine::processor_time(self.child.id())
    }

    /// The most memory that it had resident so far.
    pub(super) fn peak_bytes(&self) -> Result<u64> {
        machine::peak_bytes(self.child.id())
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn end(mut self) -> Result<()> {
        machine::terminate(self.child.id())?;
        let deadline = Instant::now() + END_LIMIT;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(self.failure(&format!("ended with {status}"))),
                None if Instant::now() > deadline => bail!(self.failure("does not end")),
                None => thread::sleep(POLL),
            }
        }
    }

    /// What went wrong, and what it said last.
    pub(super) fn failure(&self, what: &str) -> anyhow::Error {
        let text = self.log_text();
        let lines: Vec<_> = text.lines().collect();
        let last = lines.len().saturating_sub(LAST_LINES);
        let last = lines.get(last..).unwrap_or_default().join("\n    ");
        anyhow!("`tidings {}` {what}; it said last:\n    {last}", self.name)
    }

    fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Both fail only for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process inherits the cores of the thread that starts it, so that is a thread of its own.
fn spawn_on(core: Option<usize>, mut command: Command) -> Result<Child> {
    let starter = thread::spawn(move || {
        core.map_or(Ok(()), machine::pin)?;
        Ok(command.spawn()?)
    });
    starter
        .join()
        .map_err(|_| anyhow!("the thread that starts processes broke off"))?
}

fn origin(log: &str, scheme: &str) -> Option<String> {
    log.lines().find_map(|line| {
        let (_, rest) = line.split_once(READY)?;
        let origin = rest.split_whitespace().next()?.trim_end_matches('/');
        let (its_scheme, _) = origin.split_once("://")?;
        (its_scheme == scheme).then(|| origin.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_that_of_the_scheme() {
        let log = "INFO something else\n\
                   INFO listening on https://127.0.0.1:4433\n\
                   INFO listening on http://127.0.0.1:8031/\n";
        assert_eq!(origin(log, "http").unwrap(), "http://127.0.0.1:8031");
        assert_eq!(origin(log, "https").unwrap(), "https://127.0.0.1:4433");
        assert_eq!(origin(log, "ws"), None);
    }

    #[test]
    fn a_process_that_cannot_start_shows_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        // This is the test's own executable: it knows no such argument, and ends.
        let mut child = ChildProcess::start(&Start {
            name: "sandbox",
            log: "log",
            arguments: &["--no-such-argument".to_owned()],
            environment: &[],
            core: None,
            folder: folder.path(),
        })
        .unwrap();
        let error = child.wait_for_origin("http").unwrap_err().to_string();
        assert!(
            error.contains("`tidings sandbox` ended") && error.contains("no-such-argument"),
            "{error}"
        );
    }
}
