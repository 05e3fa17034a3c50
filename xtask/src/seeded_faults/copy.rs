//! A copy of the workspace whose store is broken on purpose.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::seeded_faults::faults::Edit;

/// The folder of the copied members, below the copy's root.
///
/// Cargo names what it builds after a crate's path from the root of its workspace. With the paths
/// of the real crates, a broken store would lie in the target directory under the name of the real
/// one, and would be taken for it by the next build of the real workspace.
const MEMBERS: &str = "seeded";

/// All members are copied, although the suite needs few: which features the dependencies are built
/// with is decided over the whole workspace, and only with the same ones are those of the main
/// build used again.
const COPIED: &[(&str, &str)] = &[
    ("Cargo.lock", "Cargo.lock"),
    ("rust-toolchain.toml", "rust-toolchain.toml"),
    ("crates", "seeded/crates"),
    ("xtask", "seeded/xtask"),
];

/// The crate that is broken.
const STORE: &str = "seeded/crates/tidings-store-sqlite";

/// The copy, below the target directory.
pub(crate) struct Copy {
    workspace: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Makes the copy anew.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let real = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .canonicalize()?;
        // The main build's directory, so that every dependency is built already.
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| real.join("target"), Into::into);
        let workspace = target.join("seeded-faults");
        if workspace.exists() {
            fs::remove_dir_all(&workspace)?;
        }
        fs::create_dir_all(workspace.join(MEMBERS))?;
        for (from, to) in COPIED.iter().filter(|(from, _)| real.join(from).exists()) {
            copy_all(&real.join(from), &workspace.join(to)).with_context(|| (*from).to_owned())?;
        }
        let manifest = fs::read_to_string(real.join("Cargo.toml"))?;
        fs::write(workspace.join("Cargo.toml"), own_manifest(&manifest)?)?;
        Ok(Self { workspace, target })
    }

    /// Where the copy's workspace is.
    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// Where it is to be built.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Runs `work` while the copy is changed, then undoes the changes.
    pub(crate) fn with<T>(
        &self,
        edits: &[Edit],
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut originals = Vec::with_capacity(edits.len());
        for edit in edits {
            let path = self.workspace.join(STORE).join(edit.file);
            let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let changed = replace_once(&source, edit.from, edit.to)
                .with_context(|| format!("changing {STORE}/{}", edit.file))?;
            fs::write(&path, changed)?;
            originals.push((path, source));
        }
        let result = work();
        // Backwards: two edits may have changed one file.
        for (path, source) in originals.iter().rev() {
            fs::write(path, source)?;
        }
        result
    }
}

/// The real workspace's manifest with the paths of the copy. All else stays: profiles and versions
/// decide whether what is built already can be used.
fn own_manifest(manifest: &str) -> anyhow::Result<String> {
    let members = format!(r#"members = ["{MEMBERS}/crates/*", "{MEMBERS}/xtask"]"#);
    let own = replace_once(manifest, r#"members = ["crates/*", "xtask"]"#, &members)
        .context("finding the members of the workspace")?;
    Ok(own.replace(
        r#"path = "crates/"#,
        &format!(r#"path = "{MEMBERS}/crates/"#),
    ))
}

fn replace_once(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    let found = text.matches(from).count();
    ensure!(
        found == 1,
        "expected this text exactly once, found it {found} times; \
         bring it up to date with the source:\n{from}"
    );
    Ok(text.replacen(from, to, 1))
}

fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_replaced_only_where_there_is_no_doubt() {
        assert_eq!(replace_once("a b c", "b", "x").unwrap(), "a x c");
        assert!(replace_once("a b b", "b", "x").is_err());
        assert!(replace_once("a c", "b", "x").is_err());
    }

    #[test]
    fn no_crate_of_the_copy_has_the_path_of_a_real_one() {
        let manifest = "members = [\"crates/*\", \"xtask\"]\n\
                        tidings-core = { path = \"crates/tidings-core\" }\n\
                        anyhow = \"1\"\n";
        let expected = "members = [\"seeded/crates/*\", \"seeded/xtask\"]\n\
                        tidings-core = { path = \"seeded/crates/tidings-core\" }\n\
                        anyhow = \"1\"\n";
        assert_eq!(own_manifest(manifest).unwrap(), expected);
        assert!(own_manifest("members = []").is_err());
    }

    #[test]
    fn changes_are_undone_even_where_the_work_fails() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join(STORE).join("src");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("lib.rs"), "one two").unwrap();
        let copy = Copy {
            workspace: folder.path().to_owned(),
            target: folder.path().to_owned(),
        };
        let edit = |from, to| Edit {
            file: "src/lib.rs",
            from,
            to,
        };
        let read = || fs::read_to_string(source.join("lib.rs")).unwrap();

        let failed: anyhow::Result<()> = copy.with(&[edit("one", "1"), edit("two", "2")], || {
            assert_eq!(read(), "1 2");
            anyhow::bail!("the work failed")
        });

        assert!(failed.is_err());
        assert_eq!(read(), "one two");
    }
}
