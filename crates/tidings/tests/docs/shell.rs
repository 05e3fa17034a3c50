//! The terminal of a chapter: one bash for all of its steps.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{ports::Ports, step::Language};

const BINARY: &str = env!("CARGO_BIN_EXE_tidings");

/// Longer than any command may take by the limits that it is given here.
const STEP_DEADLINE: Duration = Duration::from_mins(2);

/// `tidings` as the pages call it: on other ports, and never without end.
const TIDINGS: &str = r#"#!/usr/bin/env bash
case "${1-}" in
    sandbox) [[ "$*" == *--listen\ * ]] || set -- "$@" --listen "127.0.0.1:$DOCS_SANDBOX_PORT" ;;
    serve) ;;
    *) exec timeout 60 "$DOCS_TIDINGS" "$@" ;;
esac
exec "$DOCS_TIDINGS" "$@"
"#;

/// A failing command ends the shell, and its end, or that of the test, ends what it started: each
/// job is a process group of its own.
const START: &str = r#"set -euo pipefail
set -m
trap 'for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done; wait' EXIT
"#;

pub(crate) struct Shell {
    bash: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    steps: usize,
    /// What keeps running, by its command: the number of its job and where it prints to.
    running: BTreeMap<String, (String, PathBuf)>,
    folder: TempDir,
}

impl Shell {
    /// Opens a terminal in an empty folder, with these variables beside those of the test.
    pub(crate) async fn open(ports: &Ports, variables: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidings-docs-").tempdir()?;
        let path = |name| folder.path().join(name);
        for name in ["work", "bin", "steps", "tmp"] {
            fs::create_dir(path(name))?;
        }
        fs::write(path("bin/tidings"), TIDINGS)?;
        fs::set_permissions(path("bin/tidings"), fs::Permissions::from_mode(0o755))?;
        fs::write(path(".curlrc"), "silent\nshow-error\nmax-time = 30\n")?;
        let mut programs = vec![path("bin")];
        programs.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));

        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("TIDINGS_") {
                command.env_remove(name);
            }
        }
        let mut bash = command
            .current_dir(path("work"))
            .env("PATH", env::join_paths(programs)?)
            .env("CURL_HOME", folder.path())
            .env("TMPDIR", path("tmp"))
            .env("PYTHONUNBUFFERED", "1")
            .env("DOCS_TIDINGS", BINARY)
            .env("DOCS_SANDBOX_PORT", ports.sandbox())
            .env("TIDINGS_LISTEN", format!("127.0.0.1:{}", ports.server()))
            // The default, so that no example writes elsewhere.
            .env("TIDINGS_DATA_DIR", "./tidings-data")
            .env(
                "TIDINGS_URL",
                format!("http://127.0.0.1:{}", ports.server()),
            )
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting bash")?;
        let input = bash.stdin.take();
        let output = bash.stdout.take().context("bash has no output")?;
        let mut shell = Self {
            bash,
            input,
            output: BufReader::new(output).lines(),
            steps: 0,
            running: BTreeMap::new(),
            folder,
        };
        shell.tell(START).await?;
        Ok(shell)
    }

    /// Runs a step and returns what it printed.
    pub(crate) async fn run(&mut self, language: Language, text: &str) -> Result<String> {
        let (file, printed) = self.write_step("step", text)?;
        let (file, out) = (file.display(), printed.display());
        let run = match language {
            Language::Shell => format!("source {file} < /dev/null"),
            // From standard input, so that they find what was saved beside the reader.
            Language::Python => format!("timeout 60 python3 - < {file}"),
            Language::Node => format!("timeout 60 node --input-type=module - < {file}"),
        };
        let command = format!("{run} > {out} 2>&1; echo ended\n");
        self.tell(&command).await?;
        let told = self.hear().await;
        let printed = read(&printed);
        match told {
            Ok(_) => Ok(printed),
            Err(error) => {
                Err(error.context(format!("this failed:\n{text}\nit printed:\n{printed}")))
            }
        }
    }

    /// Starts a step that does not end by itself; the same command that still runs is ended
    /// before.
    pub(crate) async fn keep_running(&mut self, text: &str) -> Result<()> {
        let name = name_of(text);
        self.stop(&name).await?;
        let (file, printed) = self.write_step("sh", text)?;
        let (file, out) = (file.display(), printed.display());
        let command = format!("( source {file} ) > {out} 2>&1 < /dev/null & echo $!\n");
        self.tell(&command).await?;
        let job = self.hear().await?;
        self.running.insert(name, (job, printed));
        Ok(())
    }

    /// Ends what keeps running, if it does.
    pub(crate) async fn stop(&mut self, text: &str) -> Result<()> {
        let Some((job, _)) = self.running.remove(&name_of(text)) else {
            return Ok(());
        };
        // The job is over with its first process; the server in its group may still be at its end.
        let command = format!(
            "kill -- -{job}; wait {job} || true\n\
             while kill -0 -- -{job} 2>/dev/null; do sleep 0.02; done; echo ended\n"
        );
        self.tell(&command).await?;
        self.hear().await.map(drop)
    }

    /// What a step that keeps running has printed so far.
    pub(crate) fn printed_by(&self, text: &str) -> String {
        let running = self.running.get(&name_of(text));
        running
            .map(|(_, printed)| read(printed))
            .unwrap_or_default()
    }

    /// Writes a file into the folder where the reader is.
    pub(crate) async fn save(&mut self, name: &str, text: &str) -> Result<()> {
        let (file, _) = self.write_step("txt", text)?;
        self.tell(&format!("cp {} {name}; echo ended\n", file.display()))
            .await?;
        self.hear().await.map(drop)
    }

    /// Ends what runs.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.input = None;
        timeout(STEP_DEADLINE, self.bash.wait())
            .await
            .context("the shell does not end")??;
        Ok(())
    }

    async fn tell(&mut self, text: &str) -> Result<()> {
        let input = self.input.as_mut().context("the shell is closed")?;
        input.write_all(text.as_bytes()).await?;
        Ok(input.flush().await?)
    }

    async fn hear(&mut self) -> Result<String> {
        let line = timeout(STEP_DEADLINE, self.output.next_line())
            .await
            .with_context(|| format!("waited {STEP_DEADLINE:?} in vain"))??;
        match line {
            Some(line) => Ok(line),
            None => bail!("a command failed"),
        }
    }

    /// The file that holds the text of a new step, and the one that gets what it prints.
    fn write_step(&mut self, extension: &str, text: &str) -> Result<(PathBuf, PathBuf)> {
        self.steps += 1;
        let steps = self.folder.path().join("steps");
        let file = steps.join(format!("{}.{extension}", self.steps));
        let printed = steps.join(format!("{}.out", self.steps));
        fs::write(&file, text)?;
        Ok((file, printed))
    }
}

/// The command of its last line that has one: what goes before sets variables.
fn name_of(text: &str) -> String {
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    let words = line.unwrap_or_default().split_whitespace().take(2);
    words.collect::<Vec<_>>().join(" ")
}

fn read(path: &Path) -> String {
    // It is not there before the shell has opened it.
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
