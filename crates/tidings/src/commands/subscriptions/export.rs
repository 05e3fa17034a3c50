//! `tidings subscriptions export`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;

use crate::api_client::ApiClient;
use crate::cli::ServerArgs;
use crate::output;

pub(super) fn run(file: &Path, state: &str, args: &ServerArgs) -> Result<()> {
    let api = ApiClient::new(args)?;
    let body = api.download(&format!("/v1/subscriptions/export?state={state}"))?;
    let to: Box<dyn Write> = if file == Path::new("-") {
        Box::new(io::stdout().lock())
    } else {
        Box::new(create(file)?)
    };
    let Counts { exported, damaged } = copy_lines(BufReader::new(body), BufWriter::new(to))
        .context("the export broke off: what was written is not complete")?;
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

#[derive(PartialEq, Eq, Debug, Default)]
struct Counts {
    exported: u64,
    damaged: u64,
}

/// Secrets: nobody else may read them, and nothing is overwritten.
fn create(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))
}

/// What the server writes instead of a subscription that it cannot read.
#[derive(Deserialize)]
struct DamagedLine {
    damaged: bool,
}

fn copy_lines(mut from: impl BufRead, mut to: impl Write) -> io::Result<Counts> {
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
        let counts = copy_lines(lines.as_bytes(), &mut copy).unwrap();
        assert_eq!(copy, lines.as_bytes(), "nothing is left out");
        let expected = Counts {
            exported: 1,
            damaged: 1,
        };
        assert_eq!(counts, expected);
    }
}
