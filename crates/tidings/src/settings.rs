//! Settings: defaults, then the file, then the environment, then flags.

mod file;
mod limits;
mod sealing;
mod users;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use ipnet::IpNet;
use tidings_core::application::PageOrigin;
use tidings_http::{AdminToken, RateLimitSettings, TrustedProxies};
use tidings_webpush::{Contact, HostPattern, VapidKey};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::settings::file::SettingsFile;
use crate::settings::limits::LimitArgs;
pub(crate) use crate::settings::sealing::{
    ConfiguredKeys, DirectoryArgs, DirectorySettings, read_key_file,
};
pub(crate) use crate::settings::users::UserSettings;

/// Where `tidings serve` looks for a settings file if none is named.
const DEFAULT_FILE: &str = "tidings.toml";

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8030);

/// Run the server. Every setting can also stand in the settings file; `docs/api.md` explains each.
#[derive(Args, Clone, Default)]
pub(crate) struct SettingsArgs {
    #[command(flatten)]
    directory: DirectoryArgs,

    /// Where to listen [default: 127.0.0.1:8030]
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// Reserved for PostgreSQL; this version keeps everything in the data directory
    #[arg(long, env = "TIDINGS_DATABASE_URL", value_name = "URL", hide = true)]
    database_url: Option<String>,

    /// Reserved for several machines; this version runs on one
    #[arg(long, env = "TIDINGS_NATS_URL", value_name = "URL", hide = true)]
    nats_url: Option<String>,

    /// How browsers reach this server [default: from the listening address]
    #[arg(long, env = "TIDINGS_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,

    /// Networks of reverse proxies that are believed about whose request it is (`X-Forwarded-For`)
    #[arg(
        long,
        env = "TIDINGS_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    trusted_proxies: Option<Vec<String>>,

    /// The admin token: any text of 32 characters or more
    #[arg(
        long,
        env = "TIDINGS_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    admin_token: Option<String>,

    /// A file that holds the admin token [default: made in the data directory]
    #[arg(long, env = "TIDINGS_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// A private VAPID key to import and hand out to pages: PEM, DER, base64url or JWK
    #[arg(long, env = "TIDINGS_VAPID_KEY_FILE", value_name = "FILE")]
    vapid_key_file: Option<PathBuf>,

    /// Where push services can reach you: `mailto:…` or `https://…` (VAPID `sub`)
    #[arg(long, env = "TIDINGS_CONTACT", value_name = "URI")]
    contact: Option<String>,

    /// Further hosts that endpoints may have: `push.example.org`, `*.example.org`, `host:port`, `*`
    #[arg(
        long,
        env = "TIDINGS_PUSH_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    push_hosts: Option<Vec<String>>,

    /// Networks outside the public internet that may be connected to
    #[arg(
        long,
        env = "TIDINGS_PUSH_ALLOW_NETWORKS",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    push_allow_networks: Option<Vec<String>>,

    /// Take `http:` endpoints inside those networks
    #[arg(
        long,
        env = "TIDINGS_PUSH_ALLOW_INSECURE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    push_allow_insecure: Option<bool>,

    /// Further certificate authorities for push services (PEM)
    #[arg(long, env = "TIDINGS_PUSH_EXTRA_CA", value_name = "FILE")]
    push_extra_ca: Option<PathBuf>,

    /// Addresses to take for push services' names, for tests: `fcm.googleapis.com=127.0.0.1`
    #[arg(
        long,
        env = "TIDINGS_PUSH_RESOLVE",
        value_delimiter = ',',
        value_name = "HOST=ADDRESS"
    )]
    push_resolve: Option<Vec<String>>,

    /// Origins of pages that may subscribe, besides the server's own
    #[arg(
        long,
        env = "TIDINGS_CORS_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    cors_origins: Option<Vec<String>>,

    /// Whether a page alone is believed about `user`: `proved` or `trusted` [default: proved]
    #[arg(long, env = "TIDINGS_PAGE_USERS", value_name = "HOW")]
    page_users: Option<String>,

    /// What user tokens with HS256 are signed with: any text of 32 octets or more
    #[arg(
        long,
        env = "TIDINGS_USER_TOKEN_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    user_token_secret: Option<String>,

    /// A file that holds that secret
    #[arg(long, env = "TIDINGS_USER_TOKEN_SECRET_FILE", value_name = "FILE")]
    user_token_secret_file: Option<PathBuf>,

    /// Public keys for user tokens with `ES256` or `EdDSA`: PEM, JWK or JWK set
    #[arg(
        long,
        env = "TIDINGS_USER_TOKEN_KEYS",
        value_delimiter = ',',
        value_name = "FILE"
    )]
    user_token_keys: Option<Vec<PathBuf>>,

    /// How many active subscriptions a user may have [default: 50]
    #[arg(
        long,
        env = "TIDINGS_MAX_SUBSCRIPTIONS_PER_USER",
        value_name = "NUMBER"
    )]
    max_subscriptions_per_user: Option<u32>,

    /// Serve `/demo`, a page to try everything on
    #[arg(
        long,
        env = "TIDINGS_DEMO",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    demo: Option<bool>,

    #[command(flatten)]
    limits: LimitArgs,
}

/// All settings, read and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) sealing_keys: Option<ConfiguredKeys>,
    pub(crate) public_url: Option<Url>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) admin_token: Option<AdminToken>,
    pub(crate) vapid_key: Option<VapidKey>,
    pub(crate) contact: Option<Contact>,
    pub(crate) push: PushSettings,
    pub(crate) cors_origins: Vec<PageOrigin>,
    pub(crate) users: UserSettings,
    pub(crate) demo: bool,
    pub(crate) limits: RateLimitSettings,
}

/// Which push services may be reached, and how.
#[derive(Debug, Default)]
pub(crate) struct PushSettings {
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) allow_networks: Vec<IpNet>,
    pub(crate) allow_insecure: bool,
    pub(crate) extra_ca: Option<PathBuf>,
    /// Names that are not looked up, each with an address.
    pub(crate) resolve: Vec<(String, IpAddr)>,
}

impl Settings {
    /// Reads the settings of `tidings serve`.
    pub(crate) fn read(args: SettingsArgs) -> Result<Self> {
        let file = SettingsFile::read(args.directory.config.as_deref(), Path::new(DEFAULT_FILE))?;
        Self::merge(args, file)
    }

    fn merge(args: SettingsArgs, mut file: SettingsFile) -> Result<Self> {
        let directory = DirectorySettings::merge(args.directory, &mut file)?;
        refuse_reserved(
            args.database_url.or(file.database_url).as_deref(),
            args.nats_url.or(file.nats_url).as_deref(),
        )?;
        let admin_token = secret(
            "admin_token",
            args.admin_token.or(file.admin_token),
            args.admin_token_file.or(file.admin_token_file),
        )?;
        let user_token_secret = secret(
            "user_token_secret",
            args.user_token_secret.or(file.user_token_secret),
            args.user_token_secret_file.or(file.user_token_secret_file),
        )?
        .map(Zeroizing::new);
        let user_token_keys = args.user_token_keys.or(file.user_token_keys);
        Ok(Self {
            listen: args.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            data_dir: directory.data_dir,
            sealing_keys: directory.sealing_keys,
            public_url: args
                .public_url
                .or(file.public_url)
                .map(|text| public_url(&text))
                .transpose()?,
            trusted_proxies: TrustedProxies::new(each(
                args.trusted_proxies.or(file.trusted_proxies),
                "trusted_proxies",
                network,
            )?),
            admin_token: admin_token
                .map(|text| AdminToken::parse(&text).context("setting admin_token"))
                .transpose()?,
            vapid_key: args
                .vapid_key_file
                .or(file.vapid_key_file)
                .map(|path| read_vapid_key(&path))
                .transpose()?,
            contact: args
                .contact
                .or(file.contact)
                .map(|text| contact(&text))
                .transpose()?,
            push: PushSettings {
                hosts: each(args.push_hosts.or(file.push.hosts), "push.hosts", |text| {
                    Ok(HostPattern::parse(text)?)
                })?,
                allow_networks: each(
                    args.push_allow_networks.or(file.push.allow_networks),
                    "push.allow_networks",
                    network,
                )?,
                allow_insecure: args
                    .push_allow_insecure
                    .or(file.push.allow_insecure)
                    .unwrap_or_default(),
                extra_ca: args.push_extra_ca.or(file.push.extra_ca),
                resolve: each(
                    args.push_resolve.or(file.push.resolve),
                    "push.resolve",
                    resolve,
                )?,
            },
            cors_origins: each(
                args.cors_origins.or(file.cors_origins),
                "cors_origins",
                origin,
            )?,
            users: UserSettings {
                page_users: users::page_users(args.page_users.or(file.page_users).as_deref())?,
                token_keys: users::token_keys(
                    user_token_secret.as_deref().map(String::as_str),
                    &user_token_keys.unwrap_or_default(),
                )?,
                max_subscriptions: users::max_subscriptions(
                    args.max_subscriptions_per_user
                        .or(file.max_subscriptions_per_user),
                )?,
            },
            demo: args.demo.or(file.demo).unwrap_or_default(),
            limits: limits::merge(&args.limits, &file.limits),
        })
    }
}

/// Reads a private VAPID key in any form users have.
pub(crate) fn read_vapid_key(path: &Path) -> Result<VapidKey> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    VapidKey::from_key_file(&file)
        .with_context(|| format!("{} holds no VAPID key that can be used", path.display()))
}

fn refuse_reserved(database_url: Option<&str>, nats_url: Option<&str>) -> Result<()> {
    if database_url.is_some() {
        bail!(
            "setting database_url: this version keeps everything in SQLite in the data directory; \
             leave the setting out"
        );
    }
    if nats_url.is_some() {
        bail!("setting nats_url: this version runs on one machine; leave the setting out");
    }
    Ok(())
}

/// A secret that was given directly or as a file, not both.
fn secret(name: &str, text: Option<String>, file: Option<PathBuf>) -> Result<Option<String>> {
    match (text, file) {
        (Some(_), Some(_)) => bail!("give {name} or {name}_file, not both"),
        (Some(text), None) => Ok(Some(text)),
        (None, Some(path)) => std::fs::read_to_string(&path)
            .map(|text| Some(text.trim().to_owned()))
            .with_context(|| format!("cannot read {} (setting {name}_file)", path.display())),
        (None, None) => Ok(None),
    }
}

fn each<T>(
    texts: Option<Vec<String>>,
    name: &str,
    read: impl Fn(&str) -> Result<T>,
) -> Result<Vec<T>> {
    texts
        .unwrap_or_default()
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .map(|text| read(text).with_context(|| format!("setting {name}: `{text}`")))
        .collect()
}

fn public_url(text: &str) -> Result<Url> {
    let url = Url::parse(text).with_context(|| format!("setting public_url: `{text}`"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty(),
        "setting public_url: `{text}` is not an http or https URL without query, fragment and user"
    );
    Ok(url)
}

fn contact(text: &str) -> Result<Contact> {
    Contact::parse(text).with_context(|| format!("setting contact: `{text}`"))
}

fn network(text: &str) -> Result<IpNet> {
    text.parse()
        .context("this must be a network like 127.0.0.0/8 or fd00::/8")
}

/// A name and the address to take for it.
fn resolve(text: &str) -> Result<(String, IpAddr)> {
    let (host, address) = text
        .split_once('=')
        .context("this must be like fcm.googleapis.com=127.0.0.1")?;
    let Ok(Host::Domain(name)) = Host::parse(host) else {
        bail!("`{host}` is not a host name (without port): addresses are not looked up");
    };
    let address = address
        .trim_matches(['[', ']'])
        .parse()
        .with_context(|| format!("`{address}` is not an address (without port)"))?;
    Ok((name, address))
}

fn origin(text: &str) -> Result<PageOrigin> {
    PageOrigin::parse(text).context("this must be an origin like https://example.org, without path")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(args: SettingsArgs, toml: &str) -> Result<Settings> {
        Settings::merge(args, SettingsFile::parse(toml)?)
    }

    #[test]
    fn flags_and_environment_win_over_the_file() {
        let file = "listen = '127.0.0.1:1'\ndemo = true\n[push]\nallow_insecure = true";
        let only_file = merged(SettingsArgs::default(), file).unwrap();
        assert_eq!(only_file.listen.port(), 1);
        assert!(only_file.demo && only_file.push.allow_insecure);
        let args = SettingsArgs {
            listen: Some("127.0.0.1:2".parse().unwrap()),
            demo: Some(false),
            ..SettingsArgs::default()
        };
        let both = merged(args, file).unwrap();
        assert_eq!(both.listen.port(), 2);
        assert!(!both.demo && both.push.allow_insecure);
    }

    #[test]
    fn a_bad_value_names_its_setting() {
        for (toml, name) in [
            ("public_url = 'ftp://x'", "public_url"),
            ("cors_origins = ['https://example.org/app']", "cors_origins"),
            ("page_users = 'all'", "page_users"),
            ("user_token_secret = 'short'", "user_token_secret"),
            (
                "user_token_secret_file = '/nowhere'",
                "user_token_secret_file",
            ),
            (
                "user_token_keys = ['/nowhere']",
                "user_token_keys: /nowhere",
            ),
            (
                "max_subscriptions_per_user = 0",
                "max_subscriptions_per_user",
            ),
            ("contact = 'mailto:me@localhost'", "contact"),
            ("sealing_key = 'short'", "sealing_key"),
            ("admin_token = 'short'", "admin_token"),
            ("database_url = 'postgres://x'", "database_url"),
            ("nats_url = 'nats://x'", "nats_url"),
            (
                "[push]\nallow_networks = ['127.0.0.1/99']",
                "push.allow_networks",
            ),
            ("trusted_proxies = ['127.0.0.1']", "trusted_proxies"),
            ("trusted_proxies = ['proxy.example/8']", "trusted_proxies"),
            ("[push]\nresolve = ['fcm.googleapis.com']", "push.resolve"),
            (
                "[push]\nresolve = ['fcm.googleapis.com:1=127.0.0.1']",
                "push.resolve",
            ),
            (
                "[push]\nresolve = ['a.example=127.0.0.1:9001']",
                "push.resolve",
            ),
            ("[push]\nresolve = ['127.0.0.1=::1']", "push.resolve"),
            ("[push]\nhosts = ['https://push.example.org']", "push.hosts"),
        ] {
            let error = merged(SettingsArgs::default(), toml).unwrap_err();
            assert!(error.to_string().contains(name), "{toml}: {error:#}");
        }
    }

    #[test]
    fn names_lead_where_the_setting_says() {
        let toml = "[push]\nresolve = ['Push.Example=127.0.0.1', 'push.example=[::1]']";
        let settings = merged(SettingsArgs::default(), toml).unwrap();
        let expected = ["127.0.0.1", "::1"].map(|text| {
            let address: IpAddr = text.parse().unwrap();
            ("push.example".to_owned(), address)
        });
        assert_eq!(settings.push.resolve, expected);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_known_ones() {
        let error = SettingsFile::parse("lisen = '127.0.0.1:1'").unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("lisen") && text.contains("listen"), "{text}");
    }

    #[test]
    fn user_tokens_are_checked_with_the_secret_and_every_key_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let pair = VapidKey::generate().unwrap();
        let pem = write("public.pem", pair.public_key().to_spki_pem().as_bytes());
        let jwk = write("public.jwk", pair.public_key().to_jwk().as_bytes());
        let secret = write("secret", b"a text of at least thirty-two octets\n");
        let toml =
            format!("user_token_secret_file = {secret:?}\nuser_token_keys = [{pem:?}, {jwk:?}]");
        let settings = merged(SettingsArgs::default(), &toml).unwrap();
        let kept = format!("{:?}", settings.users.token_keys);
        assert_eq!(
            kept,
            "UserTokenKeys([UserTokenKey(HS256), UserTokenKey(ES256), UserTokenKey(ES256)])"
        );

        let private = write("private.pem", pair.to_pkcs8_pem().as_bytes());
        let huge = write("huge.pem", &vec![b' '; 65_537]);
        for (path, why) in [(private, "private key"), (huge, "more than 65536 octets")] {
            let toml = format!("user_token_keys = [{path:?}]");
            let error = merged(SettingsArgs::default(), &toml).unwrap_err();
            let text = format!("{error:#}");
            assert!(
                text.contains("setting user_token_keys") && text.contains(why),
                "{text}"
            );
        }
    }

    #[test]
    fn a_secret_comes_from_one_place() {
        let toml = "admin_token = 'x'\nadmin_token_file = 'y'";
        let error = merged(SettingsArgs::default(), toml).unwrap_err();
        assert!(error.to_string().contains("not both"));
    }
}
