//! Child processes whose last words are kept for the reader of a failed test.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{sync::watch, time::timeout};

/// How many lines the last words of a process are.
const TAIL_LINES: usize = 60;

/// How long a process may take to end once it was told to.
const EXIT_DEADLINE: Duration = Duration::from_secs(30);

/// A running child process; dropping it kills it by its id and waits for its end.
///
/// One that is dropped without having been ended belongs to a test that failed: its last words go
/// to the test's output.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    output: Log,
    ended: bool,
}

/// What a process has written, to which others that know more of it can add.
#[derive(Clone)]
pub(crate) struct Log(watch::Sender<Written>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    /// Outputs of the process that are not at their end.
    open: usize,
}

impl Process {
    /// Starts `command` and keeps what it writes to both of its outputs.
    ///
    /// It stays in the test's process group, so that whoever ends that ends it as well.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name} ({})", command.get_program().display()))?;
        let output = Log(watch::Sender::new(Written::default()));
        if let Some(stdout) = child.stdout.take() {
            output.collect(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            output.collect(stderr);
        }
        Ok(Self {
            name,
            child,
            output,
            ended: false,
        })
    }

    /// Waits until `pick` finds what it looks for in a line of the output.
    pub(crate) async fn wait_for_line<T>(
        &self,
        what: &str,
        deadline: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let mut output = self.output.0.subscribe();
        let mut found = None;
        let seen = output.wait_for(|written| {
            found = written.lines.iter().find_map(|line| pick(line));
            found.is_some() || written.open == 0
        });
        if timeout(deadline, seen).await.is_err() {
            bail!("waited {deadline:?} in vain for {what} from {}", self.name);
        }
        found.with_context(|| format!("{} ended without telling {what}", self.name))
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn wait_for_exit(mut self) -> Result<ExitStatus> {
        let mut output = self.output.0.subscribe();
        // Blocking in `wait` would have no deadline; the outputs are closed at the end as well.
        if timeout(EXIT_DEADLINE, output.wait_for(|written| written.open == 0))
            .await
            .is_err()
        {
            bail!(
                "waited {EXIT_DEADLINE:?} in vain for the end of {}",
                self.name
            );
        }
        let status = self
            .child
            .wait()
            .with_context(|| format!("the end of {}", self.name))?;
        self.ended = true;
        Ok(status)
    }

    /// Ends the process at once.
    pub(crate) fn kill(mut self) {
        self.ended = true;
    }

    pub(crate) fn log(&self) -> Log {
        self.output.clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that was waited for before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.ended {
            eprintln!(
                "--- last words of {} (process {}) ---\n{}",
                self.name,
                self.id(),
                self.output.tail()
            );
        }
    }
}

impl Log {
    /// Adds a line that the process did not write itself.
    pub(crate) fn note(&self, line: String) {
        self.0.send_modify(|written| written.lines.push(line));
    }

    /// Adds each line of `stream` until it ends.
    fn collect(&self, stream: impl Read + Send + 'static) {
        let log = self.clone();
        log.0.send_modify(|written| written.open += 1);
        // A thread and not a task: it goes on reading when the test's runtime no longer turns, as
        // while it panics.
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                log.note(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            log.0.send_modify(|written| written.open -= 1);
        });
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().lines.clone()
    }

    fn tail(&self) -> String {
        let lines = self.lines();
        let first = lines.len().saturating_sub(TAIL_LINES);
        lines[first..].join("\n")
    }
}
