//! Is the conformance suite able to fail? Each fault is put into a copy of the SQLite store, and
//! the suite, run on that copy, must fail in the cases that name the behaviour.

mod copy;
mod faults;
mod suite;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;

use crate::seeded_faults::copy::Copy;
use crate::seeded_faults::faults::FAULTS;
use crate::seeded_faults::suite::{Outcomes, Suite};

/// Runs the suite on the unchanged copy and on one copy for each fault.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let copy = Copy::make()?;
    let suite = Suite::of(&copy);
    let mut checks = vec![check(&suite, "no fault at all", &[])?];
    for fault in FAULTS {
        let outcomes = copy.with(fault.edits, || check(&suite, fault.name, fault.cases));
        checks.push(outcomes.with_context(|| format!("seeding the fault “{}”", fault.name))?);
    }
    report(&checks)
}

/// One run of the suite, and what was expected of it.
struct Check {
    fault: &'static str,
    /// The cases that must fail; without any, none may.
    must_fail: &'static [&'static str],
    outcomes: Outcomes,
    seconds: u64,
}

fn check(
    suite: &Suite,
    fault: &'static str,
    must_fail: &'static [&'static str],
) -> anyhow::Result<Check> {
    say(&format!("{fault}: building and running the suite …"))?;
    let started = Instant::now();
    let outcomes = suite.run()?;
    Ok(Check {
        fault,
        must_fail,
        outcomes,
        seconds: started.elapsed().as_secs(),
    })
}

impl Check {
    /// What is wrong, if anything is.
    fn complaint(&self) -> Option<String> {
        let unknown = list(
            self.must_fail
                .iter()
                .copied()
                .filter(|case| !self.outcomes.ran(case)),
        );
        let passed = list(
            self.must_fail
                .iter()
                .copied()
                .filter(|case| self.outcomes.passed(case)),
        );
        if !unknown.is_empty() {
            Some(format!("the suite has no {unknown}"))
        } else if !passed.is_empty() {
            Some(format!("not noticed by {passed}"))
        } else if self.must_fail.is_empty() && !self.outcomes.failed.is_empty() {
            Some(format!(
                "failed: {}",
                list(self.outcomes.failed.iter().map(String::as_str))
            ))
        } else {
            None
        }
    }
}

fn list<'a>(cases: impl Iterator<Item = &'a str>) -> String {
    cases
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(", ")
}

fn report(checks: &[Check]) -> anyhow::Result<ExitCode> {
    say("")?;
    say(&format!(
        "{:<40} {:>6} {:>6} {:>5}  result",
        "fault", "passed", "failed", "s"
    ))?;
    for check in checks {
        let Outcomes { passed, failed } = &check.outcomes;
        let result = check
            .complaint()
            .unwrap_or_else(|| "as it must be".to_owned());
        let (passed, failed) = (passed.len(), failed.len());
        say(&format!(
            "{:<40} {passed:>6} {failed:>6} {:>5}  {result}",
            check.fault, check.seconds
        ))?;
        for case in check.must_fail {
            let end = if check.outcomes.failed.contains(*case) {
                "fails"
            } else {
                "DOES NOT FAIL"
            };
            say(&format!("  {case} {end}"))?;
        }
    }
    let failed = checks
        .iter()
        .filter(|check| check.complaint().is_some())
        .count();
    say("")?;
    say(&format!(
        "{} passed, {failed} failed",
        checks.len() - failed
    ))?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded_faults::faults::Fault;

    fn outcomes(passed: &[&str], failed: &[&str]) -> Outcomes {
        let owned = |cases: &[&str]| cases.iter().map(|case| (*case).to_owned()).collect();
        Outcomes {
            passed: owned(passed),
            failed: owned(failed),
        }
    }

    fn complaint(must_fail: &'static [&'static str], outcomes: Outcomes) -> Option<String> {
        Check {
            fault: "a fault",
            must_fail,
            outcomes,
            seconds: 0,
        }
        .complaint()
    }

    #[test]
    fn an_unchanged_store_must_pass_everything() {
        assert_eq!(complaint(&[], outcomes(&["a", "b"], &[])), None);
        assert!(complaint(&[], outcomes(&["a"], &["b"])).is_some());
    }

    #[test]
    fn a_fault_must_be_noticed_where_it_is_named() {
        assert_eq!(complaint(&["a"], outcomes(&["c"], &["a", "b"])), None);
        assert!(
            complaint(&["a"], outcomes(&["a"], &["b"])).is_some(),
            "failed elsewhere only"
        );
        assert!(
            complaint(&["a"], outcomes(&["c"], &["b"])).is_some(),
            "was not run"
        );
    }

    #[test]
    fn every_fault_names_its_cases() {
        assert!(
            FAULTS
                .iter()
                .all(|Fault { edits, cases, .. }| { !edits.is_empty() && !cases.is_empty() })
        );
    }
}
