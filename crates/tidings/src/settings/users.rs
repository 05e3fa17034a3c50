//! Settings about the people of the default application.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use tidings_core::application::{DEFAULT_MAX_SUBSCRIPTIONS_PER_USER, PageUsers};
use tidings_core::user_token::{UserTokenKey, UserTokenKeys};

/// Far more than sixteen public keys have, in any form.
const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;

/// Whom pages may name, how they prove it, and how much a person may have.
#[derive(Clone, Debug)]
pub(crate) struct UserSettings {
    pub(crate) page_users: PageUsers,
    pub(crate) token_keys: UserTokenKeys,
    pub(crate) max_subscriptions: NonZeroU32,
}

impl Default for UserSettings {
    fn default() -> Self {
        Self {
            page_users: PageUsers::default(),
            token_keys: UserTokenKeys::default(),
            max_subscriptions: DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
        }
    }
}

pub(super) fn page_users(text: Option<&str>) -> Result<PageUsers> {
    match text {
        None | Some("proved") => Ok(PageUsers::Proved),
        Some("trusted") => Ok(PageUsers::Trusted),
        Some(other) => bail!("setting page_users: `{other}` is neither `proved` nor `trusted`"),
    }
}

pub(super) fn token_keys(secret: Option<&str>, files: &[PathBuf]) -> Result<UserTokenKeys> {
    let mut keys = Vec::new();
    if let Some(secret) = secret {
        keys.push(UserTokenKey::from_secret(secret).context("setting user_token_secret")?);
    }
    for path in files {
        let setting = || format!("setting user_token_keys: {}", path.display());
        keys.extend(read_key_file(path).with_context(setting)?);
    }
    UserTokenKeys::new(keys).context("setting user_token_keys")
}

fn read_key_file(path: &Path) -> Result<Vec<UserTokenKey>> {
    let mut octets = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut octets))
        .context("cannot read the file")?;
    ensure!(
        u64::try_from(octets.len()).unwrap_or(u64::MAX) <= MAX_KEY_FILE_BYTES,
        "the file has more than {MAX_KEY_FILE_BYTES} octets, and public keys are short: give \
         another one"
    );
    Ok(UserTokenKey::from_key_file(&octets)?)
}

pub(super) fn max_subscriptions(given: Option<u32>) -> Result<NonZeroU32> {
    let given = given.unwrap_or(DEFAULT_MAX_SUBSCRIPTIONS_PER_USER.get());
    NonZeroU32::new(given).context(
        "setting max_subscriptions_per_user: with 0 nobody could subscribe; give 1 or more",
    )
}
