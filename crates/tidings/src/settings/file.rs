//! The settings file (TOML).

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::settings::limits::LimitTable;
use crate::settings::sealing::KeyTexts;

/// What may stand in the file. Unknown keys are errors.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsFile {
    pub(super) listen: Option<SocketAddr>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) database_url: Option<String>,
    pub(super) nats_url: Option<String>,
    pub(super) public_url: Option<String>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    pub(super) sealing_key: Option<KeyTexts>,
    pub(super) sealing_key_file: Option<PathBuf>,
    pub(super) admin_token: Option<String>,
    pub(super) admin_token_file: Option<PathBuf>,
    pub(super) vapid_key_file: Option<PathBuf>,
    pub(super) contact: Option<String>,
    #[serde(default)]
    pub(super) push: PushTable,
    pub(super) cors_origins: Option<Vec<String>>,
    pub(super) page_users: Option<String>,
    pub(super) user_token_secret: Option<String>,
    pub(super) user_token_secret_file: Option<PathBuf>,
    pub(super) user_token_keys: Option<Vec<PathBuf>>,
    pub(super) max_subscriptions_per_user: Option<u32>,
    pub(super) demo: Option<bool>,
    #[serde(default)]
    pub(super) limits: LimitTable,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct PushTable {
    pub(super) hosts: Option<Vec<String>>,
    pub(super) allow_networks: Option<Vec<String>>,
    pub(super) allow_insecure: Option<bool>,
    pub(super) extra_ca: Option<PathBuf>,
    pub(super) resolve: Option<Vec<String>>,
}

impl SettingsFile {
    /// Reads the file that was named, or `default` if that exists.
    pub(super) fn read(named: Option<&Path>, default: &Path) -> Result<Self> {
        let path = named.unwrap_or(default);
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("in {}", path.display())),
            Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(error)
                .with_context(|| format!("cannot read the settings file {}", path.display())),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }
}

impl fmt::Debug for SettingsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingsFile")
    }
}
