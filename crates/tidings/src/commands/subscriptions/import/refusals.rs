//! Why lines were refused.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::output;

/// So many are told one by one on standard error; the rest is counted for as many reasons. Of an
/// import of a million lines all may be refused.
const MOST_LINES: usize = 20;
const MOST_REASONS: usize = 20;

/// Where it is told why lines were refused.
pub(super) struct Refusals {
    /// Else standard error.
    file: Option<File>,
    lines_told: usize,
    rest: Rest,
}

/// What was not told one by one.
#[derive(Default)]
struct Rest {
    /// How many lines, for each of the first reasons.
    reasons: Vec<(String, u64)>,
    of_other_reasons: u64,
    /// Those of which the server did not say why.
    without_reason: u64,
}

impl Refusals {
    /// An import that goes on does so here too.
    pub(super) fn open(file: Option<&Path>, goes_on: bool) -> Result<Self> {
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options
                .create(true)
                .write(true)
                .append(goes_on)
                .truncate(!goes_on);
            let opened = options.open(path);
            opened.with_context(|| format!("cannot write {}", path.display()))
        };
        file.map(open).transpose().map(Self::new)
    }

    pub(super) fn new(file: Option<File>) -> Self {
        Self {
            file,
            lines_told: 0,
            rest: Rest::default(),
        }
    }

    /// With the numbers that lines have in the file.
    pub(super) fn tell(&mut self, report: &Value, first: u64) -> Result<()> {
        let errors = report.get("errors").and_then(Value::as_array);
        let refused = report.get("refused").and_then(Value::as_u64).unwrap_or(0);
        let with_reason = errors.map_or(0, Vec::len) as u64;
        for error in errors.into_iter().flatten() {
            let in_part = error.get("line").and_then(Value::as_u64).unwrap_or(1);
            let line = first + in_part.saturating_sub(1);
            if let Some(file) = &mut self.file {
                let mut error = error.clone();
                if let Some(number) = error.get_mut("line") {
                    *number = line.into();
                }
                // In one piece: who is interrupted leaves no half lines.
                let written = file.write_all(format!("{error}\n").as_bytes());
                written.context("cannot write why lines were refused")?;
            } else if self.lines_told < MOST_LINES {
                self.lines_told += 1;
                output::say(&format!("line {line}: {}", reason(error)));
            } else {
                self.rest.count(reason(error));
            }
        }
        self.rest.without_reason += refused.saturating_sub(with_reason);
        Ok(())
    }

    /// At the end.
    pub(super) fn tell_the_rest(&self) {
        for line in self.rest.in_words() {
            output::say(&line);
        }
    }
}

impl Rest {
    fn count(&mut self, reason: String) {
        let mut known = self.reasons.iter_mut();
        if let Some((_, count)) = known.find(|(known, _)| *known == reason) {
            *count += 1;
        } else if self.reasons.len() < MOST_REASONS {
            self.reasons.push((reason, 1));
        } else {
            self.of_other_reasons += 1;
        }
    }

    fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let with_reason: u64 = self.reasons.iter().map(|(_, count)| count).sum();
        let with_reason = with_reason + self.of_other_reasons;
        if with_reason > 0 {
            words.push(format!(
                "{with_reason} more lines were refused (`--errors FILE` writes why each one was):"
            ));
        }
        let reasons = self.reasons.iter();
        words.extend(reasons.map(|(reason, count)| format!("  {count} times: {reason}")));
        if self.of_other_reasons > 0 {
            words.push(format!("  {} times: other reasons", self.of_other_reasons));
        }
        if self.without_reason > 0 {
            words.push(format!(
                "{} more lines were refused, and the server did not say why: it tells only of the \
                 first ones of each part",
                self.without_reason
            ));
        }
        words
    }
}

fn reason(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("pointer") {
        "" => text("detail").to_owned(),
        pointer => format!("{pointer}: {}", text("detail")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_import_that_goes_on_keeps_what_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("refused.ndjson");
        let report = json!({"refused": 1, "errors": [{"line": 2, "detail": "no"}]});
        let tell = |first, goes_on| {
            let mut refusals = Refusals::open(Some(&file), goes_on).unwrap();
            refusals.tell(&report, first).unwrap();
            let told = std::fs::read_to_string(&file).unwrap();
            let lines = told
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.map(|told| told["line"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(tell(1, false), [2]);
        assert_eq!(tell(5001, true), [2, 5002]);
        assert_eq!(tell(1, false), [2], "a new import begins a new file");
    }

    #[test]
    fn what_is_told_has_an_end_however_many_lines_are_refused() {
        let mut refusals = Refusals::new(None);
        // A usual reason, and one that no two lines have in common.
        let errors: Vec<_> = (1..=2000)
            .map(|line| match line % 2 {
                0 => json!({"line": line, "pointer": "/user", "detail": "no"}),
                _ => json!({"line": line, "detail": format!("no {line}")}),
            })
            .collect();
        let report = json!({"refused": 2003, "errors": errors});
        refusals.tell(&report, 1).unwrap();
        assert_eq!(refusals.lines_told, MOST_LINES);
        let words = refusals.rest.in_words();
        assert!(words.len() < 30, "{words:#?}");
        assert!(words[0].starts_with("1980 more"), "{words:#?}");
        for expected in ["  990 times: /user: no", "  971 times: other reasons"] {
            assert!(words.contains(&expected.to_owned()), "{words:#?}");
        }
        assert!(words.last().unwrap().starts_with("3 more"), "{words:#?}");
    }
}
