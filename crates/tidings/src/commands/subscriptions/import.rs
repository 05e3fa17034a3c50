//! `tidings subscriptions import`: a file in parts, each tried until it is in.

mod refusals;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::api_client::{ApiClient, CallError, insist};
use crate::cli::ServerArgs;
use crate::commands::subscriptions::import::refusals::Refusals;
use crate::output;
use crate::shutdown;

/// One request ends with so many lines, or with the line that makes it so many octets. Even with
/// the longest one it stays below a million: nginx passes on 1 MiB, if nobody told it else.
const PART_LINES: u64 = 5000;
const PART_BYTES: usize = 900 * 1024;

/// Longer lines are cut here: the server, whose limit is a quarter of it, says what is wrong.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// How often it is said how far the import is.
const PROGRESS: Duration = Duration::from_secs(2);

const PATH: &str = "/v1/subscriptions/import?errors=10000";

pub(super) fn run(
    file: &Path,
    from_line: u64,
    errors: Option<&Path>,
    args: &ServerArgs,
) -> Result<()> {
    let api = ApiClient::new(args)?;
    // Before a file is read for nothing: may this token do it?
    api.import(PATH, b"").map_err(CallError::into_error)?;
    let lines = Lines::open(file)?;
    let refusals = Refusals::open(errors, from_line > 1)?;
    let mut import = Import::new(api, lines, refusals);
    let go_on_at = Arc::clone(&import.go_on_at);
    go_on_at.store(from_line, Ordering::Relaxed);
    shutdown::last_words_on_signal(move || go_on_from(go_on_at.load(Ordering::Relaxed)))?;
    import.lines.skip_to(from_line)?;
    let ended = import.run();
    import.refusals.tell_the_rest();
    ended?;
    let counts = &import.counts;
    if args.json {
        output::json(&counts.to_json())?;
    } else {
        output::data(&counts.in_words())?;
    }
    ensure!(
        !counts.is_all_refused(),
        "nothing was imported: all {} were refused",
        counts.refused
    );
    Ok(())
}

struct Import {
    api: ApiClient,
    lines: Lines,
    refusals: Refusals,
    counts: Counts,
    /// The line after the last part that is in and told of.
    go_on_at: Arc<AtomicU64>,
    started: Instant,
    told: Instant,
}

impl Import {
    fn new(api: ApiClient, lines: Lines, refusals: Refusals) -> Self {
        Self {
            api,
            go_on_at: Arc::new(AtomicU64::new(lines.next)),
            lines,
            refusals,
            counts: Counts::default(),
            started: Instant::now(),
            told: Instant::now(),
        }
    }

    fn run(&mut self) -> Result<()> {
        loop {
            let first = self.lines.next;
            self.go_on_at.store(first, Ordering::Relaxed);
            let more = self.import_part(first);
            if !more.with_context(|| go_on_from(first))? {
                return Ok(());
            }
            self.say_progress();
        }
    }

    /// `false` at the end.
    fn import_part(&mut self, first: u64) -> Result<bool> {
        let part = self.lines.next_part()?;
        if part.is_empty() {
            return Ok(false);
        }
        let report = insist(|| self.api.import(PATH, &part))?;
        check_count(&report, self.lines.next - first)?;
        self.counts.add(&report);
        // If this fails the part is in, but nobody knows why lines of it were refused: it is to be
        // imported again.
        self.refusals.tell(&report, first)?;
        Ok(true)
    }

    fn say_progress(&mut self) {
        if self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        output::say(&self.progress());
    }

    fn progress(&self) -> String {
        let milliseconds = self.started.elapsed().as_millis().max(1);
        let a_second = u128::from(self.counts.lines) * 1000 / milliseconds;
        let (so_far, next) = (self.counts.in_words(), self.lines.next);
        format!("{so_far}; {a_second} lines a second; next is line {next}")
    }
}

/// Whether the server saw the whole part.
fn check_count(report: &Value, sent: u64) -> Result<()> {
    let counted = report.get("lines").and_then(Value::as_u64).unwrap_or(0);
    ensure!(
        counted == sent,
        "the server counted {counted} lines where {sent} were sent: the others may be missing"
    );
    Ok(())
}

fn go_on_from(line: u64) -> String {
    format!("the import ended early: go on with --from-line {line}")
}

#[derive(Default)]
struct Counts {
    lines: u64,
    created: u64,
    updated: u64,
    refused: u64,
}

impl Counts {
    fn add(&mut self, report: &Value) {
        let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.lines += count("lines");
        self.created += count("created");
        self.updated += count("updated");
        self.refused += count("refused");
    }

    /// Mostly one reason for all, which the operator has to remove.
    fn is_all_refused(&self) -> bool {
        self.refused > 0 && self.created + self.updated == 0
    }

    fn to_json(&self) -> Value {
        json!({
            "lines": self.lines,
            "created": self.created,
            "updated": self.updated,
            "refused": self.refused,
        })
    }

    fn in_words(&self) -> String {
        let Self {
            lines,
            created,
            updated,
            refused,
        } = self;
        format!("{lines} lines: {created} created, {updated} updated, {refused} refused")
    }
}

/// A file's lines.
struct Lines {
    reader: Box<dyn BufRead>,
    /// The number of the next one.
    next: u64,
}

impl Lines {
    fn open(file: &Path) -> Result<Self> {
        let reader: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            let opened = File::open(file);
            let opened = opened.with_context(|| format!("cannot read {}", file.display()))?;
            Box::new(BufReader::with_capacity(1024 * 1024, opened))
        };
        Ok(Self { reader, next: 1 })
    }

    fn skip_to(&mut self, line: u64) -> Result<()> {
        while self.next < line {
            if !self.read_line(&mut io::sink())? {
                bail!(
                    "the file has no line {line}: it ends before line {}",
                    self.next
                );
            }
        }
        Ok(())
    }

    /// Some lines; none at the end.
    fn next_part(&mut self) -> Result<Vec<u8>> {
        let mut part = Vec::new();
        let end = self.next + PART_LINES;
        while self.next < end && part.len() < PART_BYTES && self.read_line(&mut part)? {}
        Ok(part)
    }

    /// Writes the next line, or its beginning if it is very long. `false` at the end.
    fn read_line(&mut self, into: &mut dyn Write) -> Result<bool> {
        let mut line = Vec::new();
        let mut limited = self.reader.by_ref().take(MAX_LINE_BYTES);
        limited
            .read_until(b'\n', &mut line)
            .context("reading the file")?;
        if line.is_empty() {
            return Ok(false);
        }
        self.next += 1;
        if line.last() != Some(&b'\n') {
            self.skip_rest()?;
            line.push(b'\n');
        }
        into.write_all(&line).context("keeping a line")?;
        Ok(true)
    }

    /// Of a very long line, in little memory.
    fn skip_rest(&mut self) -> Result<()> {
        loop {
            let buffer = self.reader.fill_buf().context("reading the file")?;
            let end = buffer.iter().position(|octet| *octet == b'\n');
            let (used, is_over) = match end {
                Some(end) => (end + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(used);
            if is_over {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn lines(text: &[u8]) -> Lines {
        Lines {
            reader: Box::new(io::Cursor::new(text.to_vec())),
            next: 1,
        }
    }

    #[test]
    fn a_part_has_so_many_lines() {
        let mut lines = lines("x\n".repeat(7000).as_bytes());
        assert_eq!(lines.next_part().unwrap().len(), 10_000);
        assert_eq!(lines.next, 5001);
        assert_eq!(lines.next_part().unwrap().len(), 4000);
        assert!(lines.next_part().unwrap().is_empty());
    }

    #[test]
    fn a_part_is_none_that_a_proxy_refuses() {
        let mut line = vec![b'x'; 1023];
        line.push(b'\n');
        // All but one octet, then the longest line.
        let mut text = line.repeat(PART_BYTES / line.len());
        text.remove(0);
        text.extend_from_slice(&b"y".repeat(100 * 1024));
        let part = lines(&text).next_part().unwrap();
        assert!(part.len() > PART_BYTES && part.len() < 1_000_000);
        assert!(part.ends_with(b"y\n"));
    }

    /// An import of two lines from the third on, from a server that answers this.
    fn import_of_two(report: &Value, refusals: Refusals) -> (Result<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let report = report.to_string();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let (mut peer, _) = listener.accept().unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}", report.len());
                write!(peer, "{head}\r\n\r\n{report}").unwrap();
                io::copy(&mut peer, &mut io::sink()).unwrap();
            });
            let api = ApiClient::on_this_machine(&origin, Some("a token"));
            let mut import = Import::new(api, lines(b"a\nb\nc\nd\n"), refusals);
            import.lines.skip_to(3).unwrap();
            (import.run(), import.progress())
        })
    }

    #[test]
    fn progress_tells_the_line_to_go_on_with() {
        let report = json!({"lines": 2, "created": 2});
        let (ended, progress) = import_of_two(&report, Refusals::new(None));
        ended.unwrap();
        assert!(
            progress.starts_with("2 lines: 2 created") && progress.ends_with("next is line 5"),
            "{progress}"
        );
    }

    #[test]
    fn lines_that_the_server_did_not_count_are_missed() {
        let (ended, _) = import_of_two(&json!({"lines": 1, "created": 1}), Refusals::new(None));
        let words = format!("{:#}", ended.unwrap_err());
        assert!(
            words.contains("--from-line 3:") && words.contains("counted 1 lines where 2 were sent"),
            "{words}"
        );
    }

    #[test]
    fn an_import_that_cannot_tell_why_lines_were_refused_ends_where_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("refused.ndjson");
        std::fs::write(&file, "").unwrap();
        let cannot_be_written = File::open(&file).unwrap();
        let report = json!({"lines": 2, "refused": 1, "errors": [{"line": 2, "detail": "no"}]});
        let (ended, _) = import_of_two(&report, Refusals::new(Some(cannot_be_written)));
        let words = format!("{:#}", ended.unwrap_err());
        assert!(words.contains("--from-line 3: cannot write why"), "{words}");
    }

    #[test]
    fn an_import_goes_on_where_it_ended() {
        let mut some = lines(b"a\nb\nc");
        some.skip_to(3).unwrap();
        assert_eq!(some.next_part().unwrap(), b"c\n");
        assert!(lines(b"a\n").skip_to(3).is_err());
    }

    #[test]
    fn a_very_long_line_is_cut_and_stays_one() {
        let mut text = vec![b'x'; 1024 * 1024];
        text.extend_from_slice(b"\nnext\n");
        let mut lines = lines(&text);
        let part = lines.next_part().unwrap();
        assert_eq!(lines.next, 3);
        assert!(part.len() < 70 * 1024 && part.ends_with(b"x\nnext\n"));
    }
}
