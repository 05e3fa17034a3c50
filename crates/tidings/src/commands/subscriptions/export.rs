//! `tidings subscriptions export`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
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
    let count = copy_lines(BufReader::new(body), BufWriter::new(to))
        .context("the export broke off: what was written is not complete")?;
    if args.json {
        output::say(&json!({"exported": count}).to_string());
    } else {
        output::say(&format!("{count} subscriptions exported"));
    }
    Ok(())
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

fn copy_lines(mut from: impl BufRead, mut to: impl Write) -> io::Result<u64> {
    let mut count = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            to.flush()?;
            return Ok(count);
        }
        to.write_all(&line)?;
        count += 1;
    }
}
