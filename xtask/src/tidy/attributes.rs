//! Lints are not silenced for good.

use crate::tidy::tree::Tree;
use crate::tidy::{Check, Finding};

/// Where one stands for a reason.
pub(super) const EXCEPTIONS: &[Exception] = &[Exception {
    file: "crates/tidings-store-conformance/src/suite.rs",
    lint: "unused_imports",
    reason: "in a macro's output: whether the lint fires depends on how the caller names the type, \
             and an expectation would fail where it does not",
}];

/// A permitted one.
pub(super) struct Exception {
    pub(super) file: &'static str,
    pub(super) lint: &'static str,
    pub(super) reason: &'static str,
}

/// There is no `allow` attribute. The compiler's own `clippy::allow_attributes` does not look into
/// macros, nor into crates outside of the workspace.
pub(super) fn check(tree: &Tree, exceptions: &[Exception]) -> Check {
    let mut findings = Vec::new();
    let mut used = vec![false; exceptions.len()];
    for file in tree.rust() {
        for (place, line) in file.numbered_lines() {
            let Some(lints) = allowed_lints(line) else {
                continue;
            };
            let excepted = exceptions
                .iter()
                .position(|exception| exception.file == file.path && exception.lint == lints);
            match excepted.and_then(|index| used.get_mut(index)) {
                Some(used) => *used = true,
                None => findings.push(Finding::new(place, format!("allows {lints}"))),
            }
        }
    }
    for (exception, _) in exceptions.iter().zip(used).filter(|(_, used)| !used) {
        let Exception { file, lint, reason } = exception;
        let what = format!("the exception for {lint} is not needed any more ({reason})");
        findings.push(Finding::new(*file, what));
    }
    Check {
        rule: "no allow attributes",
        advice: "mend what the lint found, or write #[expect(lint, reason = \"…\")], which tells \
                 when it is not needed any more. Where neither is possible, add the place to \
                 EXCEPTIONS in xtask/src/tidy/attributes.rs; take out what is not needed.",
        examined: (tree.rust().count(), "files"),
        findings,
    }
}

/// What the attribute on this line allows.
fn allowed_lints(line: &str) -> Option<&str> {
    if line.trim_start().starts_with("//") {
        return None;
    }
    // White space and a condition may stand before the word.
    let (before, after) = line.split_once("allow(")?;
    let attribute = before.trim_end();
    let begins =
        attribute.ends_with("#[") || attribute.ends_with("#![") || attribute.contains("cfg_attr(");
    let lints = after.split(')').next().unwrap_or_default();
    begins.then_some(lints.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::tree;

    const EXCEPTION: Exception = Exception {
        file: "src/a.rs",
        lint: "dead_code",
        reason: "a reason",
    };

    /// In pieces, or this file would break the rule.
    fn attribute(beginning: &str, lints: &str) -> String {
        format!("{beginning}{}({lints})]\n", "allow")
    }

    fn findings(source: &str, exceptions: &[Exception]) -> Vec<Finding> {
        check(&tree(&[("src/a.rs", source)]), exceptions).findings
    }

    #[test]
    fn every_form_is_found() {
        for beginning in ["#[", "#![", "    #[", "#[cfg_attr(test, "] {
            let source = format!("\n{}fn a() {{}}\n", attribute(beginning, "dead_code"));
            let expected = [Finding::new("src/a.rs:2", "allows dead_code")];
            assert_eq!(findings(&source, &[]), expected, "{source}");
        }
    }

    #[test]
    fn other_attributes_calls_and_comments_are_not() {
        for source in [
            "#[expect(dead_code, reason = \"why\")]\n".to_owned(),
            "policy.allow(origin);\n".to_owned(),
            format!("// {}", attribute("#[", "dead_code")),
        ] {
            assert_eq!(findings(&source, &[]), [], "{source}");
        }
    }

    #[test]
    fn an_exception_holds_for_its_file_and_lint() {
        let source = attribute("#[", "dead_code");
        assert_eq!(findings(&source, &[EXCEPTION]), []);

        let more = source + &attribute("#[", "dead_code, unused_imports");
        let expected = [Finding::new(
            "src/a.rs:2",
            "allows dead_code, unused_imports",
        )];
        assert_eq!(findings(&more, &[EXCEPTION]), expected);
    }

    #[test]
    fn an_exception_that_is_not_needed_is_found() {
        let found = findings("fn a() {}\n", &[EXCEPTION]);
        let what = "the exception for dead_code is not needed any more (a reason)";
        assert_eq!(found, [Finding::new("src/a.rs", what)]);
    }
}
