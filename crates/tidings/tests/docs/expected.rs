//! Comparing what a page says that one sees with what there is to see. `…` stands for anything.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const ANYTHING: char = '…';

/// Checks lines; a line of nothing but `…` stands for any number of them.
pub(crate) fn compare_text(expected: &str, actual: &str) -> Result<()> {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.trim_end().lines();
        lines.map(|line| line.trim_end().to_owned()).collect()
    };
    ensure!(
        lines_match(&lines(expected), &lines(actual)),
        "the page says that this is to be seen:\n{expected}\nwhat is seen:\n{actual}"
    );
    Ok(())
}

/// Checks JSON: the same members and items, with the same values.
pub(crate) fn compare_json(expected: &str, actual: &str) -> Result<()> {
    let wanted: Value = serde_json::from_str(expected).context("the answer on the page")?;
    let found: Value =
        serde_json::from_str(actual).with_context(|| format!("the answer was {actual}"))?;
    let mut differences = Vec::new();
    differ("", &wanted, &found, &mut differences);
    ensure!(
        differences.is_empty(),
        "{}\nthe whole answer:\n{found:#}",
        differences.join("\n")
    );
    Ok(())
}

fn differ(pointer: &str, wanted: &Value, found: &Value, differences: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (name, value) in wanted {
                let pointer = format!("{pointer}/{name}");
                match found.get(name) {
                    Some(found) => differ(&pointer, value, found, differences),
                    None => differences.push(format!("{pointer} is on the page alone")),
                }
            }
            for name in found.keys().filter(|name| !wanted.contains_key(*name)) {
                differences.push(format!("{pointer}/{name} is not on the page"));
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                differ(&format!("{pointer}/{index}"), wanted, found, differences);
            }
        }
        (Value::String(wanted), found) if wanted.chars().eq([ANYTHING]) && !found.is_null() => {}
        (Value::String(wanted), Value::String(found)) if matches(wanted, found) => {}
        (wanted, found) if wanted == found => {}
        _ => differences.push(format!("{pointer} is {wanted} on the page and is {found}")),
    }
}

fn lines_match(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if first.trim().chars().eq([ANYTHING]) => {
            (0..=actual.len()).any(|skipped| lines_match(rest, &actual[skipped..]))
        }
        Some((first, rest)) => actual
            .split_first()
            .is_some_and(|(line, others)| matches(first, line) && lines_match(rest, others)),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once(ANYTHING) {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let mut ends = text.char_indices().map(|(index, _)| index);
            rest.is_empty() || ends.any(|index| matches(rest, &text[index..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "ab", false),
            ("msg_…", "msg_01", true),
            ("msg_…", "sub_01", false),
            ("…Z", "2026Z", true),
            ("…Z", "2026", false),
            ("a…b…c", "a1b2c", true),
            ("a…b…c", "a1c2b", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_line_of_an_ellipsis_stands_for_lines() {
        assert!(compare_text("…\nb\n…\n", "a\nb\nc\nd\n").is_ok());
        assert!(compare_text("…\nb\n", "a\nb\nc\n").is_err());
    }

    #[test]
    fn json_differs_by_member_item_and_value() {
        for (expected, actual) in [
            (r#"{"a": 1}"#, r#"{"a": 2}"#),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 1}"#),
            (r#"{"a": 1, "b": 1}"#, r#"{"a": 1}"#),
            (r#"{"a": "…"}"#, r#"{"a": null}"#),
            ("[1]", "[1, 2]"),
        ] {
            assert!(compare_json(expected, actual).is_err(), "{expected}");
        }
        let actual = r#"{"b": {"id": "msg_01"}, "a": 1}"#;
        assert!(compare_json(r#"{"a": 1, "b": {"id": "msg_…"}}"#, actual).is_ok());
    }
}
