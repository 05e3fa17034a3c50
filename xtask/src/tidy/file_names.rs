//! How files and modules may be called.

use std::collections::BTreeMap;

use crate::tidy::tree::{Language, SourceFile, Tree};
use crate::tidy::{Check, Finding};

/// Names that say nothing about what is inside.
const EMPTY_WORDS: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "misc", "types",
];

/// Where such a word is the concept itself.
pub(super) const EXCEPTIONS: &[Exception] = &[Exception {
    place: "crates/tidings-http/src/problem/types.rs",
    reason: "“problem type” is the term of RFC 9457, and the folder says “problem”",
}];

/// A place that keeps its name.
pub(super) struct Exception {
    pub(super) place: &'static str,
    pub(super) reason: &'static str,
}

/// No module's file is `mod.rs`.
pub(super) fn module_files(tree: &Tree) -> Check {
    let findings = tree
        .rust()
        .filter(|file| file.path.rsplit('/').next() == Some("mod.rs"))
        .map(|file| Finding::new(&file.path, "module file named mod.rs"));
    Check {
        rule: "no mod.rs",
        advice: "name the file after the module and put it beside the folder: foo/mod.rs becomes \
                 foo.rs.",
        examined: (tree.rust().count(), "files"),
        findings: findings.collect(),
    }
}

/// No module has a name that fits everything.
pub(super) fn empty_words(tree: &Tree, exceptions: &[Exception]) -> Check {
    // A map, because a folder is met with each of its files.
    let mut places: BTreeMap<_, _> = tree.modules().flat_map(places_with_empty_words).collect();
    let mut findings = Vec::new();
    for Exception { place, reason } in exceptions {
        if places.remove(*place).is_none() {
            let what = format!("the exception is not needed any more ({reason})");
            findings.push(Finding::new(*place, what));
        }
    }
    let found = places
        .into_iter()
        .map(|(place, word)| Finding::new(place, format!("“{word}” says nothing")));
    findings.extend(found);
    Check {
        rule: "names of modules",
        advice: "name the concept that the module is about; if there are several, make several \
                 modules. Take exceptions that are not needed out of EXCEPTIONS in \
                 xtask/src/tidy/file_names.rs.",
        examined: (tree.modules().count(), "files"),
        findings,
    }
}

fn places_with_empty_words(file: &SourceFile) -> Vec<(String, &'static str)> {
    let mut places = Vec::new();
    let mut place = String::new();
    for part in file.path.split('/') {
        if !place.is_empty() {
            place.push('/');
        }
        place.push_str(part);
        let stem = part.split('.').next().unwrap_or(part);
        places.extend(empty_word(stem).map(|word| (place.clone(), word)));
    }
    if file.language == Language::Rust {
        for (place, line) in file.numbered_lines() {
            let word = inline_module(line).and_then(empty_word);
            places.extend(word.map(|word| (place, word)));
        }
    }
    places
}

fn empty_word(name: &str) -> Option<&'static str> {
    EMPTY_WORDS.iter().copied().find(|word| *word == name)
}

/// The name of the module that begins on this line. One in a file of its own is not meant: the
/// file tells.
fn inline_module(line: &str) -> Option<&str> {
    let head = line.trim().strip_suffix('{')?.trim_end();
    let (before, name) = head.rsplit_once("mod ")?;
    let visibility = before.trim_end();
    (visibility.is_empty() || visibility.starts_with("pub")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::tree;

    fn places(check: Check) -> Vec<String> {
        check
            .findings
            .into_iter()
            .map(|found| found.place)
            .collect()
    }

    #[test]
    fn a_file_named_mod_rs_is_found() {
        let tree = tree(&[("src/a/mod.rs", ""), ("src/model.rs", ""), ("src/b.rs", "")]);
        assert_eq!(places(module_files(&tree)), ["src/a/mod.rs"]);
    }

    #[test]
    fn files_and_folders_with_empty_words_are_found_once() {
        let tree = tree(&[
            ("src/helpers.rs", ""),
            ("src/common/one.rs", ""),
            ("src/common/two.rs", ""),
            ("sdk/utils.test.js", ""),
            ("src/common_knowledge.rs", ""),
            ("misc/page.html", ""),
        ]);
        let expected = ["sdk/utils.test.js", "src/common", "src/helpers.rs"];
        assert_eq!(places(empty_words(&tree, &[])), expected);
    }

    #[test]
    fn modules_inside_a_file_are_found() {
        let source = "mod a {\n    pub(crate) mod types {\n    }\n}\n\
                      mod misc {}\n// the mod types {\nmod helpers;\n";
        let tree = tree(&[("src/a.rs", source)]);
        assert_eq!(places(empty_words(&tree, &[])), ["src/a.rs:2"]);
    }

    #[test]
    fn an_exception_holds_for_its_place_and_while_it_is_needed() {
        let exception = |place| Exception {
            place,
            reason: "a reason",
        };
        let tree = tree(&[("src/a/types.rs", ""), ("src/b/types.rs", "")]);
        let check = empty_words(&tree, &[exception("src/a/types.rs"), exception("src/c.rs")]);
        let expected = [
            Finding::new(
                "src/c.rs",
                "the exception is not needed any more (a reason)",
            ),
            Finding::new("src/b/types.rs", "“types” says nothing"),
        ];
        assert_eq!(check.findings, expected);
    }
}
