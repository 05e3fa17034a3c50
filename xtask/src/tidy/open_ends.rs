//! What is left to do is in an issue.

use crate::tidy::tree::Tree;
use crate::tidy::{Check, Finding};

/// Words that mark an open end; in pieces, or this file would break the rule.
const MARKERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Every open end names its issue.
pub(super) fn check(tree: &Tree) -> Check {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (place, line) in file.numbered_lines() {
            if let Some(marker) = MARKERS.iter().find(|marker| is_open_end(line, marker)) {
                findings.push(Finding::new(place, format!("{marker} without an issue")));
            }
        }
    }
    Check {
        rule: "open ends",
        advice: "do it now, or open an issue and write TODO(#123) with its number.",
        examined: (tree.files.len(), "files"),
        findings,
    }
}

/// Whether the marker stands on the line, as a word, without `(#` number `)` after it.
fn is_open_end(line: &str, marker: &str) -> bool {
    line.match_indices(marker).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.strip_prefix(marker).unwrap_or_default();
        let is_word = !before.ends_with(is_of_a_word) && !after.starts_with(is_of_a_word);
        is_word && !names_an_issue(after)
    })
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn names_an_issue(after: &str) -> bool {
    after
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::tree;

    fn is_found(line: &str) -> bool {
        MARKERS.iter().any(|marker| is_open_end(line, marker))
    }

    #[test]
    fn an_open_end_without_an_issue_is_found() {
        for marker in MARKERS {
            for rest in ["", ": later", "(later)", "(#)", "(#12", "(#soon)", " (#12)"] {
                assert!(is_found(&format!("// {marker}{rest}")), "{marker}{rest}");
            }
            let second = format!("// {marker}(#1): a, {marker}: b");
            assert!(is_found(&second), "{second}");
        }
    }

    #[test]
    fn an_issue_number_or_another_word_is_not() {
        for marker in MARKERS {
            for line in [
                format!("// {marker}(#12): later"),
                format!("{marker}_LIST"),
                format!("MY_{marker}"),
                format!("{marker}S"),
                marker.to_lowercase(),
            ] {
                assert!(!is_found(&line), "{line}");
            }
        }
    }

    #[test]
    fn every_language_is_looked_at() {
        let text = format!("\n{}\n", concat!("TO", "DO"));
        for path in ["a.rs", "a.js", "a.css", "a.sql", "a.html", "Makefile"] {
            let found = check(&tree(&[(path, &text)])).findings;
            assert_eq!(found.len(), 1, "{path}");
            assert_eq!(found[0].place, format!("{path}:2"));
        }
    }
}
