//! A throw-away Firefox that uses the local push service.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Where Firefox is found: by name, or where macOS keeps it.
const PROGRAMS: [&str; 3] = [
    "firefox",
    "firefox-esr",
    "/Applications/Firefox.app/Contents/MacOS/firefox",
];

/// A Firefox with a profile of its own. Dropping it ends that Firefox and deletes the profile.
pub(crate) struct ThrowAwayFirefox {
    process: Child,
    _profile: TempDir,
}

impl ThrowAwayFirefox {
    /// Starts Firefox on `page`, with the push service at `websocket`.
    pub(crate) fn start(websocket: &str, page: &str) -> Result<Self> {
        let profile = tempfile::Builder::new()
            .prefix("tidings-firefox-")
            .tempdir()?;
        std::fs::write(profile.path().join("user.js"), preferences(websocket))?;
        let process = PROGRAMS
            .iter()
            .find_map(|program| spawn(program, profile.path(), page))
            .context("no Firefox was found: install it (Debian: apt install firefox-esr)")?
            .context("Firefox could not be started")?;
        Ok(Self {
            process,
            _profile: profile,
        })
    }
}

impl Drop for ThrowAwayFirefox {
    fn drop(&mut self) {
        // It may have been closed by hand already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `None` if there is no such program.
fn spawn(program: &str, profile: &Path, page: &str) -> Option<std::io::Result<Child>> {
    let spawned = Command::new(program)
        .args(["--no-remote", "--new-instance", "--profile"])
        .arg(profile)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        spawned => Some(spawned),
    }
}

/// The preferences that point Firefox's push client at a `ws:` service, let it draw notifications
/// where the desktop has no daemon for them, and keep first-run pages away.
fn preferences(websocket: &str) -> String {
    let preferences = [
        ("dom.push.serverURL", format!("\"{websocket}\"")),
        ("dom.push.testing.allowInsecureServerURL", "true".to_owned()),
        ("dom.push.connection.enabled", "true".to_owned()),
        ("alerts.useSystemBackend", "false".to_owned()),
        ("browser.aboutwelcome.enabled", "false".to_owned()),
        ("browser.shell.checkDefaultBrowser", "false".to_owned()),
        (
            "datareporting.policy.dataSubmissionEnabled",
            "false".to_owned(),
        ),
        (
            "datareporting.policy.dataSubmissionPolicyBypassNotification",
            "true".to_owned(),
        ),
    ];
    let lines = preferences.map(|(name, value)| format!("user_pref(\"{name}\", {value});"));
    lines.join("\n")
}
