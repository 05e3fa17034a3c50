//! The data directory: the folder, and the secrets that are files in it.

mod permissions;
mod sealing_key_file;

use std::fs;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;
use tidings_core::sealing::{SealingKey, SealingKeys};
use tidings_http::AdminToken;
use tidings_webpush::SystemRandomness;
use zeroize::Zeroizing;

pub(crate) use crate::data_directory::sealing_key_file::SealingKeyFile;
use crate::output;
use crate::settings::ConfiguredKeys;

const ADMIN_TOKEN_FILE: &str = "admin-token";

/// A folder that only its owner can look into.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
}

impl DataDirectory {
    /// Makes the folder if it is not there, and sees to it that it is its owner's alone.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(path)
            .with_context(|| format!("cannot make the data directory {}", path.display()))?;
        permissions::tighten(path);
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// A folder that is there already.
    pub(crate) fn existing(path: &Path) -> Result<Self> {
        if !tidings_store_sqlite::exists(path) {
            bail!(
                "{} is not the data directory of a Tidings server",
                path.display()
            );
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The sealing keys: the configured ones, else the file's, else a new one for a new database.
    pub(crate) fn sealing_keys(&self, configured: Option<ConfiguredKeys>) -> Result<SealingKeys> {
        if let Some(configured) = configured {
            return Ok(configured.keys);
        }
        let file = self.sealing_key_file();
        if let Some(content) = file.read()? {
            return Ok(content.keys);
        }
        if tidings_store_sqlite::exists(&self.path) {
            // A new key could not open what the lost one sealed.
            bail!(
                "{} holds a database but no sealing key: give the one it was made with (setting \
                 sealing_key), or restore the file {}",
                self.path.display(),
                sealing_key_file::NAME
            );
        }
        let key = SealingKey::generate(&SystemRandomness);
        write_new(file.path(), &key.expose_base64url())?;
        Ok(SealingKeys::one(key))
    }

    /// The file of sealing keys that is used if none are configured.
    pub(crate) fn sealing_key_file(&self) -> SealingKeyFile {
        SealingKeyFile::in_folder(&self.path)
    }

    /// The admin token: the configured one, else the file's, else a new one.
    pub(crate) fn admin_token(&self, configured: Option<AdminToken>) -> Result<AdminToken> {
        if let Some(token) = configured {
            return Ok(token);
        }
        let path = self.path.join(ADMIN_TOKEN_FILE);
        if let Some(text) = read_if_there(&path)? {
            return AdminToken::parse(text.trim())
                .with_context(|| format!("in {}", path.display()));
        }
        let text = new_admin_token();
        write_new(&path, &text)?;
        if std::io::stderr().is_terminal() {
            output::say(&format!(
                "admin token (also in {}): {}",
                path.display(),
                text.as_str()
            ));
        } else {
            tracing::info!("made an admin token: it is in {}", path.display());
        }
        Ok(AdminToken::parse(&text)?)
    }

    /// The text of the admin token's file, for commands on the same machine.
    pub(crate) fn read_admin_token(path: &Path) -> Result<Option<Zeroizing<String>>> {
        read_if_there(&path.join(ADMIN_TOKEN_FILE))
    }
}

/// The text of a new admin token: 256 random bits.
pub(crate) fn new_admin_token() -> Zeroizing<String> {
    let random = SealingKey::generate(&SystemRandomness);
    Zeroizing::new(format!("tdg_{}", random.expose_base64url().as_str()))
}

fn read_if_there(path: &Path) -> Result<Option<Zeroizing<String>>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text.trim().to_owned()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a secret to a file that only its owner can read and that was not there before. The file
/// is there whole or not at all: an empty sealing key would keep the server from ever starting.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<()> {
    write_aside(path, text)
        .and_then(|file| Ok(file.persist_noclobber(path)?))
        .and_then(|_| sync_folder_of(path))
        .with_context(|| format!("cannot make the file {}", path.display()))
}

/// Writes a secret in the place of an earlier one: a power failure leaves one or the other. It
/// belongs to whom the earlier one belonged: a server that is not root must read what root wrote.
fn replace(path: &Path, text: &str) -> Result<()> {
    write_aside(path, text)
        .and_then(|file| {
            give_to_owner_of(path, file.as_file())?;
            Ok(file.persist(path)?)
        })
        .and_then(|_| sync_folder_of(path))
        .with_context(|| format!("cannot replace the file {}", path.display()))
}

/// A temporary file in the same folder; such files are their owner's alone (mode 0600).
fn write_aside(path: &Path, text: &str) -> std::io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(&aside_prefix(path))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    writeln!(file, "{}", text.trim_end())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(unix)]
fn give_to_owner_of(path: &Path, file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    let (earlier, now) = (fs::metadata(path)?, file.metadata()?);
    if earlier.uid() == now.uid() {
        return Ok(());
    }
    fchown(file, Some(earlier.uid()), Some(earlier.gid()))
}

#[cfg(not(unix))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "elsewhere files are given to nobody"
)]
fn give_to_owner_of(_path: &Path, _file: &fs::File) -> std::io::Result<()> {
    Ok(())
}

/// How the names of temporary files begin that are to become this one.
fn aside_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.")
}

/// A new file survives a power failure only if its folder is written too: without the sealing key
/// nothing in the database can be opened.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => fs::File::open(".")?.sync_all(),
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "elsewhere folders cannot be written to the disk"
)]
fn sync_folder_of(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_new(&path, "first").unwrap();
        let refused = write_new(&path, "second").unwrap_err();
        assert!(refused.to_string().contains("secret"), "{refused:#}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left aside"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_root_replaces_stays_its_owners() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_new(&path, "first").unwrap();
        // Only root can give a file away, so only root can run into this.
        let given_away = chown(&path, Some(4711), Some(4712)).is_ok();
        replace(&path, "second").unwrap();
        let after = fs::metadata(&path).unwrap();
        if given_away {
            assert_eq!((after.uid(), after.gid()), (4711, 4712));
        }
        assert_eq!(after.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
    }
}
