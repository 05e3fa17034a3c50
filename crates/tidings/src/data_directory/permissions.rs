//! Who else on the machine can look into a data directory: nobody.

use std::path::Path;

/// Takes the folder, and the secrets in it, away from everybody but their owner. What cannot be
/// changed is warned of, with what to do: a server that has started so far shall not stop for it.
#[cfg(unix)]
pub(super) fn tighten(folder: &Path) {
    use unix::{Found, close};

    match close(folder, unix::has_only_our_files) {
        Found::Closed => {}
        Found::Tightened => tracing::info!(
            "other users of this machine could look into {}; now only its owner can",
            folder.display()
        ),
        Found::Open(reason) => tracing::warn!(
            "other users of this machine can look into {} ({reason}): run `chmod 700` on it as its \
             owner, or choose a folder that is for Tidings alone",
            folder.display()
        ),
    }
    for name in unix::SECRET_FILES {
        let file = folder.join(name);
        match close(&file, |_| true) {
            Found::Closed => {}
            Found::Tightened => tracing::warn!(
                "other users of this machine could read {}; now only its owner can. If one of them \
                 may have, replace what is in it",
                file.display()
            ),
            Found::Open(reason) => tracing::warn!(
                "other users of this machine can read {} ({reason}): run `chmod 600` on it as its \
                 owner",
                file.display()
            ),
        }
    }
}

#[cfg(not(unix))]
pub(super) fn tighten(_folder: &Path) {}

#[cfg(unix)]
mod unix {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use crate::data_directory::{ADMIN_TOKEN_FILE, sealing_key_file};

    /// What the group and all others may do.
    const OTHERS: u32 = 0o077;

    pub(super) const SECRET_FILES: [&str; 2] = [sealing_key_file::NAME, ADMIN_TOKEN_FILE];

    /// How the names of our files begin; the last is what a file system puts into its root.
    const OUR_FILES: [&str; 7] = [
        "tidings.sqlite3",
        "tidings.lock",
        sealing_key_file::NAME,
        ".sealing-key.",
        ADMIN_TOKEN_FILE,
        ".admin-token.",
        "lost+found",
    ];

    /// How open something was.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Found {
        /// Not at all, or it is not there.
        Closed,
        /// Others could read it, and now they cannot.
        Tightened,
        /// Others can read it, for this reason.
        Open(String),
    }

    /// Takes from others what they may do here, if `may_change` lets us.
    pub(super) fn close(path: &Path, may_change: impl FnOnce(&Path) -> bool) -> Found {
        let Ok(metadata) = fs::metadata(path) else {
            return Found::Closed;
        };
        let mode = metadata.permissions().mode();
        if mode & OTHERS == 0 {
            return Found::Closed;
        }
        if !may_change(path) {
            return Found::Open("it holds other files too".to_owned());
        }
        match fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)) {
            Ok(()) => Found::Tightened,
            Err(error) => Found::Open(error.to_string()),
        }
    }

    /// Whoever keeps other files in the folder may want others to get at them: a mistake in a
    /// setting must not close `/srv`.
    pub(super) fn has_only_our_files(folder: &Path) -> bool {
        let is_ours = |entry: std::io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                OUR_FILES.iter().any(|ours| name.starts_with(ours))
            })
        };
        fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_ours))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o7777
        }

        fn open_up(path: &Path, mode: u32) {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }

        #[test]
        fn an_open_folder_and_its_secrets_are_taken_away_from_others() {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path();
            for name in ["sealing-key", "admin-token", "tidings.sqlite3-wal"] {
                fs::write(folder.join(name), "x").unwrap();
                open_up(&folder.join(name), 0o644);
            }
            open_up(folder, 0o2755);
            super::super::tighten(folder);
            assert_eq!(mode(folder), 0o2700);
            assert_eq!(mode(&folder.join("sealing-key")), 0o600);
            assert_eq!(mode(&folder.join("admin-token")), 0o600);
            assert_eq!(close(folder, has_only_our_files), Found::Closed);
        }

        #[test]
        fn a_folder_with_other_files_is_left_as_it_is_and_its_secrets_are_not() {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path();
            fs::write(folder.join("index.html"), "x").unwrap();
            fs::write(folder.join("sealing-key"), "x").unwrap();
            open_up(&folder.join("sealing-key"), 0o640);
            open_up(folder, 0o755);
            super::super::tighten(folder);
            assert_eq!(mode(folder), 0o755);
            assert_eq!(mode(&folder.join("sealing-key")), 0o600);
            assert!(matches!(
                close(folder, has_only_our_files),
                Found::Open(reason) if reason.contains("other files")
            ));
        }

        #[test]
        fn what_is_not_there_is_not_open() {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(close(&folder.path().join("x"), |_| true), Found::Closed);
        }
    }
}
