//! The file `sealing-key` of a data directory, and how its key is replaced.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tidings_core::sealing::{SealingKey, SealingKeys};
use zeroize::Zeroizing;

use crate::data_directory::{aside_prefix, replace};
use crate::settings::read_key_file;

pub(super) const NAME: &str = "sealing-key";

/// A line that says that the keys behind the first one are to go once no value needs them: a
/// rotation that was broken off is finished with the key that it made, not begun anew.
const UNDER_WAY: &str = "# A new key is being put into use: finish with `tidings keys reseal`.";

/// The file that keeps the sealing keys.
#[derive(Debug)]
pub(crate) struct SealingKeyFile {
    path: PathBuf,
}

/// What is in the file.
#[derive(Debug)]
pub(crate) struct KeysInFile {
    pub(crate) keys: SealingKeys,
    /// The first key was made by a rotation that has not ended.
    pub(crate) is_rotating: bool,
}

impl SealingKeyFile {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join(NAME),
        }
    }

    /// Puts a new key in front of those that are there. From then on the file says that a rotation
    /// is under way.
    pub(crate) fn put_in_front(&self, key: SealingKey, known: &SealingKeys) -> Result<SealingKeys> {
        let keys = known
            .behind(key)
            .context("the new key's short id is that of an old one; try again")?;
        let mut text = Zeroizing::new(UNDER_WAY.to_owned());
        for key in keys.iter() {
            text.push('\n');
            text.push_str(&key.expose_base64url());
        }
        replace(&self.path, &text)?;
        Ok(keys)
    }

    /// Ends a rotation: only this key stays, also of files that were being written when an earlier
    /// run was killed. The caller holds the data directory.
    pub(crate) fn keep_only(&self, key: &SealingKey) -> Result<()> {
        replace(&self.path, &key.expose_base64url())?;
        self.remove_left_aside()
            .with_context(|| format!("cannot clean up beside {}", self.path.display()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The keys, if there is a file.
    pub(crate) fn read(&self) -> Result<Option<KeysInFile>> {
        let is_missing = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
        if fs::symlink_metadata(&self.path).is_err_and(|error| is_missing(&error)) {
            return Ok(None);
        }
        let text = read_key_file(&self.path)?;
        let keys = SealingKeys::parse_lines(&text)
            .with_context(|| format!("in {}", self.path.display()))?;
        Ok(Some(KeysInFile {
            keys,
            is_rotating: text.lines().any(|line| line.trim() == UNDER_WAY),
        }))
    }

    fn remove_left_aside(&self) -> std::io::Result<()> {
        let prefix = aside_prefix(&self.path);
        let Some(folder) = self.path.parent() else {
            return Ok(());
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;

    fn key() -> SealingKey {
        SealingKey::generate(&SystemRandomness)
    }

    #[test]
    fn a_rotation_is_told_from_keys_that_an_operator_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = SealingKeyFile::in_folder(folder.path());
        assert!(file.read().unwrap().is_none());
        let (old, older, new) = (key(), key(), key());
        let text = format!(
            "# mine\n{}\n{}\n",
            *old.expose_base64url(),
            *older.expose_base64url()
        );
        fs::write(file.path(), text).unwrap();
        let content = file.read().unwrap().unwrap();
        assert!(!content.is_rotating);

        file.put_in_front(new.clone(), &content.keys).unwrap();
        let content = file.read().unwrap().unwrap();
        assert!(content.is_rotating);
        let ids: Vec<_> = content.keys.ids().collect();
        assert_eq!(ids, [new.id(), old.id(), older.id()]);

        // As a run leaves it that is killed while it writes.
        let left = folder.path().join(".sealing-key.x");
        fs::write(&left, old.expose_base64url().as_str()).unwrap();
        file.keep_only(&new).unwrap();
        let content = file.read().unwrap().unwrap();
        assert!(!content.is_rotating);
        assert_eq!(content.keys.ids().collect::<Vec<_>>(), [new.id()]);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}
