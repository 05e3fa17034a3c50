//! How long a file may be.

use crate::tidy::tree::{Language, SourceFile, Tree};
use crate::tidy::{Check, Finding};

/// Lines of non-test code in one file.
const LIMIT: usize = 600;

/// No file that is not a test is longer than the limit.
pub(super) fn check(tree: &Tree) -> Check {
    let files: Vec<_> = tree.modules().filter(|file| !file.is_test()).collect();
    let findings = files.iter().filter_map(|file| {
        let lines = lines_of_code(file);
        let what = || format!("{lines} lines without its tests, the limit is {LIMIT}");
        (lines > LIMIT).then(|| Finding::new(&file.path, what()))
    });
    Check {
        rule: "file sizes",
        advice: "find the second concept in the file and move it to a file of its own, named \
                 after it (foo.rs and foo/bar.rs). Aim for 400 lines.",
        examined: (files.len(), "files"),
        findings: findings.collect(),
    }
}

/// All lines but those of the unit tests below the code.
fn lines_of_code(file: &SourceFile) -> usize {
    if file.language != Language::Rust {
        return file.text.lines().count();
    }
    let mut count = 0;
    let mut lines = file.text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_test_module = line == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if is_test_module {
            // Formatted source closes a top-level module, and nothing in it, at the margin.
            lines.find(|line| *line == "}");
        } else {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::tree;

    fn findings(path: &str, text: &str) -> Vec<Finding> {
        check(&tree(&[(path, text)])).findings
    }

    #[test]
    fn a_file_may_be_as_long_as_the_limit_and_no_longer() {
        for path in ["src/a.rs", "sdk/a.js", "sdk/a.css"] {
            assert_eq!(findings(path, &"a\n".repeat(LIMIT)), [], "{path}");
            let found = findings(path, &"a\n".repeat(LIMIT + 1));
            let what = "601 lines without its tests, the limit is 600";
            assert_eq!(found, [Finding::new(path, what)]);
        }
    }

    #[test]
    fn tests_do_not_count() {
        let long = "a\n".repeat(LIMIT + 1);
        assert_eq!(findings("crates/a/tests/it.rs", &long), []);
        let unit_tests = format!("code\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(findings("src/a.rs", &unit_tests), []);
    }

    #[test]
    fn code_below_the_tests_counts() {
        let code = "a\n".repeat(LIMIT);
        let text = format!("code\n#[cfg(test)]\nmod tests {{\n    x\n}}\n{code}");
        assert_eq!(findings("src/a.rs", &text).len(), 1);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_hides_nothing() {
        let code = "a\n".repeat(LIMIT);
        let text = format!("#[cfg(test)]\nmod tests;\n{code}");
        assert_eq!(findings("src/a.rs", &text).len(), 1);
    }
}
