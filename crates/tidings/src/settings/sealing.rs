//! Where the data directory is, and the keys that seal it: what `serve` and the commands that work
//! on a data directory have in common.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;
use tidings_core::sealing::SealingKeys;
use zeroize::Zeroizing;

use crate::settings::DEFAULT_FILE;
use crate::settings::file::SettingsFile;

/// A file of keys that is longer is no file of keys.
const LONGEST_KEY_FILE: u64 = 64 * 1024;

#[derive(Args, Clone, Default)]
pub(crate) struct DirectoryArgs {
    /// A settings file [default: tidings.toml in the working directory, if there is one]
    #[arg(long, env = "TIDINGS_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Database, lock, and the sealing keys if none are given [default: ./tidings-data]
    #[arg(long, env = "TIDINGS_DATA_DIR", value_name = "FOLDER")]
    pub(super) data_dir: Option<PathBuf>,

    /// Keys that seal secrets at rest, with commas between them; the first seals, all open. Each
    /// is 32 octets in base64 or hexadecimal digits
    #[arg(
        long,
        env = "TIDINGS_SEALING_KEY",
        hide_env_values = true,
        value_name = "KEYS"
    )]
    pub(super) sealing_key: Option<String>,

    /// A file of sealing keys, one a line [default: `sealing-key`, made in the data directory]
    #[arg(long, env = "TIDINGS_SEALING_KEY_FILE", value_name = "FILE")]
    pub(super) sealing_key_file: Option<PathBuf>,
}

/// A data directory, and the keys that were given for it.
#[derive(Debug)]
pub(crate) struct DirectorySettings {
    pub(crate) data_dir: PathBuf,
    /// None: they are in the data directory.
    pub(crate) sealing_keys: Option<ConfiguredKeys>,
}

/// Sealing keys from outside of the data directory.
#[derive(Debug)]
pub(crate) struct ConfiguredKeys {
    pub(crate) keys: SealingKeys,
    /// The file they are in; none: they are in the setting itself.
    pub(crate) file: Option<PathBuf>,
}

/// In the settings file: a text, or a list of texts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum KeyTexts {
    One(String),
    Several(Vec<String>),
}

impl DirectorySettings {
    /// Reads what commands that work on a data directory need, and nothing else of the settings.
    pub(crate) fn read(args: DirectoryArgs) -> Result<Self> {
        let mut file = SettingsFile::read(args.config.as_deref(), Path::new(DEFAULT_FILE))?;
        Self::merge(args, &mut file)
    }

    pub(super) fn merge(args: DirectoryArgs, file: &mut SettingsFile) -> Result<Self> {
        let keys = args.sealing_key.map(KeyTexts::One);
        let keys = keys.or(file.sealing_key.take());
        let key_file = args.sealing_key_file.or(file.sealing_key_file.take());
        Ok(Self {
            data_dir: args
                .data_dir
                .or(file.data_dir.take())
                .unwrap_or_else(|| "./tidings-data".into()),
            sealing_keys: configured_keys(keys, key_file)?,
        })
    }
}

fn configured_keys(
    texts: Option<KeyTexts>,
    file: Option<PathBuf>,
) -> Result<Option<ConfiguredKeys>> {
    let keys = match (texts, &file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => bail!("give sealing_key or sealing_key_file, not both"),
        (Some(KeyTexts::One(text)), None) => SealingKeys::parse_list(&Zeroizing::new(text)),
        (Some(KeyTexts::Several(texts)), None) => {
            SealingKeys::parse_each(texts.iter().map(String::as_str))
        }
        (None, Some(path)) => {
            let text = read_key_file(path).context("setting sealing_key_file")?;
            let context = || format!("setting sealing_key_file: in {}", path.display());
            let keys = SealingKeys::parse_lines(&text).with_context(context)?;
            return Ok(Some(ConfiguredKeys { keys, file }));
        }
    };
    let keys = keys.context("setting sealing_key")?;
    Ok(Some(ConfiguredKeys { keys, file }))
}

/// Reads a file of keys.
pub(crate) fn read_key_file(path: &Path) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path)
        .and_then(|file| file.take(LONGEST_KEY_FILE + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        read as u64 <= LONGEST_KEY_FILE,
        "{} is longer than {LONGEST_KEY_FILE} octets: that is no file of sealing keys",
        path.display()
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(args: DirectoryArgs, toml: &str) -> Result<DirectorySettings> {
        DirectorySettings::merge(args, &mut SettingsFile::parse(toml)?)
    }

    fn key(octet: u8) -> String {
        format!("{octet:02x}").repeat(32)
    }

    #[test]
    fn several_keys_are_given_in_every_place_for_settings() {
        let (new, old) = (key(2), key(1));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, format!("# new\n{new}\n# old\n{old}\n")).unwrap();
        let from_environment = DirectoryArgs {
            sealing_key: Some(format!("{new},{old}")),
            ..DirectoryArgs::default()
        };
        let from_file = DirectoryArgs {
            sealing_key_file: Some(file),
            ..DirectoryArgs::default()
        };
        let none = DirectoryArgs::default;
        let expected = SealingKeys::parse_list(&format!("{new},{old}")).unwrap();
        for (args, toml) in [
            (from_environment, format!("sealing_key = '{old}'")),
            (none(), format!("sealing_key = '{new},{old}'")),
            (none(), format!("sealing_key = ['{new}', '{old}']")),
            (from_file, String::new()),
        ] {
            let keys = merged(args, &toml).unwrap().sealing_keys.unwrap().keys;
            assert!(keys.ids().eq(expected.ids()), "{toml}");
        }
        assert!(merged(none(), "").unwrap().sealing_keys.is_none());
    }

    #[test]
    fn a_bad_key_is_named_by_its_setting_and_place_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            DirectoryArgs {
                sealing_key_file: Some(path),
                ..DirectoryArgs::default()
            }
        };
        let good = key(1);
        let toml = format!("sealing_key = ['{good}', 'topsecret']");
        let long = "#".repeat(70_000);
        for (args, toml, words) in [
            (
                DirectoryArgs::default(),
                toml.as_str(),
                ["setting sealing_key", "key 2"],
            ),
            (
                DirectoryArgs::default(),
                "sealing_key = []",
                ["sealing_key", "no sealing key"],
            ),
            (
                file("typo", &format!("{good}\ntopsecret")),
                "",
                ["typo", "line 2"],
            ),
            (
                file("gap", &format!("{good}\n\n{}", key(2))),
                "",
                ["gap", "line 2 is empty"],
            ),
            (
                file("twice", &format!("{good}\n{good}")),
                "",
                ["line 2", "line 1"],
            ),
            (file("nothing", ""), "", ["nothing", "no sealing key"]),
            (file("long", &long), "", ["long", "65536"]),
            (
                file("both", &good),
                "sealing_key = 'x'",
                ["sealing_key_file", "not both"],
            ),
        ] {
            let error = format!("{:#}", merged(args, toml).unwrap_err());
            for word in words {
                assert!(error.contains(word), "does not say {word}: {error}");
            }
            assert!(!error.contains("topsecret") && !error.contains(&good));
        }
    }
}
