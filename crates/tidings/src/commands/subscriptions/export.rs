//! `tidings subscriptions export`.

mod unfinished;

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;

use crate::api_client::ApiClient;
use crate::cli::ServerArgs;
use crate::commands::subscriptions::export::unfinished::Unfinished;
use crate::output;
use crate::shutdown;

/// How often it is said how far the export is.
const PROGRESS: Duration = Duration::from_secs(2);

pub(super) fn run(file: &Path, state: &str, args: &ServerArgs) -> Result<()> {
    let api = ApiClient::new(args)?;
    let export = Export {
        api,
        path: format!("/v1/subscriptions/export?state={state}"),
        // With `--json` there is nothing but JSON on standard error.
        tells_progress: !args.json,
    };
    let Counts { exported, damaged } = if file == Path::new("-") {
        export.to_stdout()?
    } else {
        export.to_file(file)?
    };
    if args.json {
        output::say(&json!({"exported": exported, "damaged": damaged}).to_string());
    } else {
        output::say(&format!("{exported} subscriptions exported"));
        if damaged > 0 {
            output::say(&format!(
                "{damaged} more are damaged and cannot be read: a line with `\"damaged\":true` has \
                 their id, and the server's log says why"
            ));
        }
    }
    Ok(())
}

struct Export {
    api: ApiClient,
    path: String,
    tells_progress: bool,
}

impl Export {
    fn to_stdout(&self) -> Result<Counts> {
        let incomplete = "what was written is not complete";
        shutdown::last_words_on_signal(move || interrupted(incomplete))?;
        self.copy_to(io::stdout().lock(), incomplete)
    }

    /// The file is there once it is complete: a part of an export looks like a whole one.
    fn to_file(&self, file: &Path) -> Result<Counts> {
        let unfinished = Unfinished::for_new(file)?;
        let incomplete = format!("{} was not made", file.display());
        let (at_signal, words) = (unfinished.clone(), incomplete.clone());
        shutdown::last_words_on_signal(move || {
            if at_signal.remove() {
                interrupted(&words)
            } else {
                interrupted("it was over")
            }
        })?;
        let copied = self.copy_to(unfinished.writer()?, &incomplete);
        if copied.is_ok() {
            unfinished.finish()?;
        } else {
            unfinished.remove();
        }
        copied
    }

    fn copy_to(&self, to: impl Write, incomplete: &str) -> Result<Counts> {
        let body = BufReader::new(self.api.download(&self.path)?);
        let mut progress = Progress::new(self.tells_progress);
        copy_lines(body, BufWriter::new(to), |counts| progress.note(counts))
            .with_context(|| format!("the export broke off: {incomplete}"))
    }
}

fn interrupted(what_of_it: &str) -> String {
    format!("the export was interrupted: {what_of_it}")
}

#[derive(PartialEq, Eq, Debug, Default)]
struct Counts {
    exported: u64,
    damaged: u64,
}

/// Says how far it is.
struct Progress {
    is_told: bool,
    started: Instant,
    told: Instant,
}

impl Progress {
    fn new(is_told: bool) -> Self {
        let started = Instant::now();
        Self {
            is_told,
            started,
            told: started,
        }
    }

    fn note(&mut self, counts: &Counts) {
        if !self.is_told || self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        let exported = counts.exported;
        let a_second = exported / self.started.elapsed().as_secs().max(1);
        output::say(&format!(
            "{exported} subscriptions so far; {a_second} a second"
        ));
    }
}

/// What the server writes instead of a subscription that it cannot read.
#[derive(Deserialize)]
struct DamagedLine {
    damaged: bool,
}

fn copy_lines(
    mut from: impl BufRead,
    mut to: impl Write,
    mut tell: impl FnMut(&Counts),
) -> io::Result<Counts> {
    let mut counts = Counts::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            to.flush()?;
            return Ok(counts);
        }
        to.write_all(&line)?;
        if is_damaged(&line) {
            counts.damaged += 1;
        } else {
            counts.exported += 1;
        }
        tell(&counts);
    }
}

fn is_damaged(line: &[u8]) -> bool {
    // A whole one has no such member, and is not read for it.
    let line = (line.len() < 100).then(|| serde_json::from_slice::<DamagedLine>(line));
    line.is_some_and(|read| read.is_ok_and(|line| line.damaged))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_ones_are_counted_apart() {
        let lines = "{\"id\":\"sub_1\",\"endpoint\":\"https://push.example/1\"}\n\
                     {\"id\":\"sub_00000000000000000000000000000002\",\"damaged\":true}\n";
        let mut copy = Vec::new();
        let counts = copy_lines(lines.as_bytes(), &mut copy, |_| ()).unwrap();
        assert_eq!(copy, lines.as_bytes(), "nothing is left out");
        let expected = Counts {
            exported: 1,
            damaged: 1,
        };
        assert_eq!(counts, expected);
    }
}
