//! Rules of the code base that no compiler lint sees. Each is a pure function from what was read
//! to what breaks it, and says what to do about that.

mod attributes;
mod crate_edges;
mod file_names;
mod file_sizes;
mod open_ends;
mod tree;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::tidy::crate_edges::{EDGES, Member};
use crate::tidy::tree::Tree;

/// Checks the workspace that this program was built in.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let members = Member::all_of(&root)?;
    let tree = Tree::read(&root)?;
    let checks = [
        crate_edges::edges(&members, EDGES),
        crate_edges::foreign(&members, EDGES),
        file_sizes::check(&tree),
        file_names::module_files(&tree),
        file_names::empty_words(&tree, file_names::EXCEPTIONS),
        attributes::check(&tree, attributes::EXCEPTIONS),
        open_ends::check(&tree),
    ];
    let all_passed = report(&checks, &mut io::stdout().lock())?;
    Ok(if all_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What became of one rule.
#[derive(Debug)]
struct Check {
    rule: &'static str,
    /// What to do where the rule is broken.
    advice: &'static str,
    /// How many things it was asked of, and what they are. A rule that was asked of none fails: it
    /// has lost its subject.
    examined: (usize, &'static str),
    findings: Vec<Finding>,
}

/// One place where a rule is broken.
#[derive(Debug, PartialEq)]
struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl Check {
    fn passed(&self) -> bool {
        self.findings.is_empty() && self.examined.0 > 0
    }
}

/// Tells what was found, and whether every check passed.
fn report(checks: &[Check], out: &mut impl Write) -> io::Result<bool> {
    for check in checks {
        let (count, subject) = check.examined;
        let end = if check.passed() { "ok" } else { "FAILED" };
        writeln!(out, "{:<24} {count:>5} {subject:<14} {end}", check.rule)?;
        if count == 0 {
            writeln!(
                out,
                "  there was nothing to look at: has the layout changed?"
            )?;
        }
        for Finding { place, what } in &check.findings {
            writeln!(out, "  {place}: {what}")?;
        }
        if !check.findings.is_empty() {
            writeln!(out, "  What to do: {}", check.advice)?;
        }
    }
    let passed = checks.iter().filter(|check| check.passed()).count();
    let failed = checks.len() - passed;
    writeln!(
        out,
        "\n{} checks, {passed} passed, {failed} failed",
        checks.len()
    )?;
    Ok(failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(examined: usize, findings: Vec<Finding>) -> Check {
        Check {
            rule: "a rule",
            advice: "mend it.",
            examined: (examined, "files"),
            findings,
        }
    }

    fn told(checks: &[Check]) -> (bool, String) {
        let mut out = Vec::new();
        let all_passed = report(checks, &mut out).unwrap();
        (all_passed, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_finding_is_told_with_its_place_and_what_to_do() {
        let broken = check(3, vec![Finding::new("a.rs", "is too long")]);
        let (all_passed, text) = told(&[check(2, Vec::new()), broken]);
        assert!(!all_passed);
        assert!(text.contains("  a.rs: is too long\n  What to do: mend it.\n"));
        assert!(text.ends_with("\n2 checks, 1 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn a_rule_that_looked_at_nothing_fails() {
        let (all_passed, text) = told(&[check(0, Vec::new())]);
        assert!(!all_passed);
        assert!(text.ends_with("1 checks, 0 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn clean_checks_pass() {
        let (all_passed, text) = told(&[check(1, Vec::new())]);
        assert!(all_passed);
        assert!(!text.contains("What to do"), "{text}");
    }
}
