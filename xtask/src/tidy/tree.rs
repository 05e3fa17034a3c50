//! The hand-written files of the repository.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// Folders of what others wrote or machines made.
const SKIPPED: &[&str] = &[".git", "artifacts", "corpus", "node_modules", "target"];

/// Languages written here, by the ends of file names.
const LANGUAGES: &[(&str, Language)] = &[
    (".rs", Language::Rust),
    (".js", Language::JavaScript),
    (".mjs", Language::JavaScript),
    (".ts", Language::JavaScript),
    (".css", Language::Css),
    (".html", Language::Other),
    (".sql", Language::Other),
    (".toml", Language::Other),
    ("Makefile", Language::Other),
];

/// All files with hand-written source, sorted by path.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// From the root of the repository, with `/` on every system.
    pub(super) path: String,
    pub(super) language: Language,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Language {
    Rust,
    /// Declarations for TypeScript included.
    JavaScript,
    Css,
    /// What no module is written in.
    Other,
}

impl Tree {
    /// Reads what is below `root`.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        visit(root, "", &mut files).with_context(|| format!("reading {}", root.display()))?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// The files that are modules of a program or a style sheet.
    pub(super) fn modules(&self) -> impl Iterator<Item = &SourceFile> {
        self.files
            .iter()
            .filter(|file| file.language != Language::Other)
    }

    /// The files in Rust.
    pub(super) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files
            .iter()
            .filter(|file| file.language == Language::Rust)
    }
}

impl SourceFile {
    /// Whether all of it is test code.
    pub(super) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/').rev();
        let name = parts.next().unwrap_or_default();
        name == "tests.rs" || name.contains(".test.") || parts.any(|folder| folder == "tests")
    }

    /// Its lines with their places, as `path:line`.
    pub(super) fn numbered_lines(&self) -> impl Iterator<Item = (String, &str)> {
        (1..)
            .zip(self.text.lines())
            .map(|(number, line): (u32, _)| (format!("{}:{number}", self.path), line))
    }
}

fn visit(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        // Not followed: a link's target is visited at its own place, or is none of ours.
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            visit(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let file = read(&entry.path(), path.clone()).with_context(|| path)?;
            files.extend(file);
        }
    }
    Ok(())
}

/// The file, if it is hand-written source.
fn read(place: &Path, path: String) -> anyhow::Result<Option<SourceFile>> {
    let known = LANGUAGES
        .iter()
        .find(|(end, _)| path.ends_with(end))
        .map(|(_, language)| *language);
    // Scripts have no ending here; they tell by their first line.
    if known.is_none() && place.extension().is_some() {
        return Ok(None);
    }
    let bytes = fs::read(place)?;
    if known.is_none() && !bytes.starts_with(b"#!") {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).context("source is to be UTF-8")?;
    Ok(Some(SourceFile {
        path,
        language: known.unwrap_or(Language::Other),
        text,
    }))
}

/// A made-up tree.
#[cfg(test)]
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let place = folder.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }
    Tree::read(folder.path()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hand_written_source_is_read() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", ""),
            ("sdk/a.js", ""),
            ("sdk/node_modules/b/b.js", ""),
            ("target/debug/build/c.rs", ""),
            ("benches/target/d.rs", ""),
            ("docs/page.md", ""),
            ("scripts/run", "#!/bin/sh\n"),
            ("fuzz/corpus/vapid/input", "#!"),
            ("docs/plain", "anything"),
            ("Makefile", ""),
        ]);
        let paths: Vec<_> = tree.files.iter().map(|file| file.path.as_str()).collect();
        let expected = ["Makefile", "crates/a/src/lib.rs", "scripts/run", "sdk/a.js"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn tests_are_known_by_their_place() {
        for (path, is_test) in [
            ("crates/a/tests/it/main.rs", true),
            ("crates/a/src/engine/tests.rs", true),
            ("sdk/worker.test.js", true),
            ("crates/a/src/lib.rs", false),
            ("crates/a/src/testing.rs", false),
        ] {
            assert_eq!(tree(&[(path, "")]).files[0].is_test(), is_test, "{path}");
        }
    }
}
