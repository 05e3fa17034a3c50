//! A file that gets its name when all of it is written.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

/// A file beside the wanted one. Secrets: nobody else may read it, and nothing is overwritten.
#[derive(Clone)]
pub(super) struct Unfinished {
    wanted: PathBuf,
    /// None once it is complete, or removed.
    file: Arc<Mutex<Option<NamedTempFile>>>,
}

impl Unfinished {
    pub(super) fn for_new(wanted: &Path) -> Result<Self> {
        // Before anything is asked for in vain.
        if wanted.symlink_metadata().is_ok() {
            bail!("{}", is_there(wanted));
        }
        let folder = wanted.parent().filter(|it| !it.as_os_str().is_empty());
        let name = wanted.file_name().unwrap_or_default().to_string_lossy();
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".part")
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .with_context(|| format!("cannot make a file beside {}", wanted.display()))?;
        Ok(Self {
            wanted: wanted.to_owned(),
            file: Arc::new(Mutex::new(Some(file))),
        })
    }

    pub(super) fn writer(&self) -> Result<File> {
        let file = self.lock();
        let file = file.as_ref().context("it was removed")?;
        Ok(file.as_file().try_clone()?)
    }

    /// Gives it the name that is wanted.
    pub(super) fn finish(&self) -> Result<()> {
        // Locked until it has its name: who removes it meanwhile waits, and finds nothing.
        let mut file = self.lock();
        let file = file.take().context("it was removed")?;
        let cannot = || format!("cannot make {}", self.wanted.display());
        file.as_file().sync_all().with_context(cannot)?;
        match file.persist_noclobber(&self.wanted) {
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                bail!("{}", is_there(&self.wanted))
            }
            // It is complete, and not lost because this folder takes no new name for it.
            Err(error) => {
                let (_, kept) = error.file.keep().with_context(cannot)?;
                let whole = format!("{}; all of it is in {}", cannot(), kept.display());
                Err(error.error).context(whole)
            }
            Ok(_) => Ok(()),
        }
    }

    /// `false`, if there is nothing to remove.
    pub(super) fn remove(&self) -> bool {
        self.lock().take().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<NamedTempFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_there(file: &Path) -> String {
    format!(
        "{} exists, and an export overwrites nothing: choose another name, or delete it",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_came_to_be_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = folder.path().join("out.ndjson");
        let unfinished = Unfinished::for_new(&wanted).unwrap();
        unfinished.writer().unwrap().write_all(b"mine").unwrap();
        fs::write(&wanted, "theirs").unwrap();
        let refused = unfinished.finish().unwrap_err().to_string();
        assert!(refused.contains("choose another name"), "{refused}");
        assert_eq!(fs::read_to_string(&wanted).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
