//! The command line.

mod bench;
mod keys;
mod subscriptions;
mod tokens;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use tidings_sandbox::{Personality, PlayedService};

use crate::cli::bench::BENCH_HELP;
pub(crate) use crate::cli::bench::{BenchArgs, OtherService};
pub(crate) use crate::cli::keys::{KeysCommand, KeysListArgs, KeysResealArgs};
pub(crate) use crate::cli::subscriptions::SubscriptionsCommand;
pub(crate) use crate::cli::tokens::TokensCommand;
use crate::logging::LoggingArgs;
use crate::settings::{DirectoryArgs, SettingsArgs};

/// A self-hosted Web Push server.
///
/// Start with `tidings demo`: it runs everything on this machine and shows a page to try it on.
/// `tidings serve` is the server for production.
///
/// Exit status: 0 on success, 1 on failure, 2 for a wrong command line.
#[derive(Parser)]
#[command(name = "tidings", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: LoggingArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(Box<SettingsArgs>),
    /// Run the server, a local push service and a page to try them on
    ///
    /// Open the page in your own browser, and notifications take the way through its vendor's push
    /// service; or let this command start a throw-away Firefox that uses the local one instead,
    /// without the internet. What the demo keeps is deleted when it ends.
    Demo(DemoArgs),
    /// Run a local push service to develop and test against
    ///
    /// It speaks RFC 8030 towards servers and Firefox's protocol towards browsers, makes virtual
    /// subscriptions, decrypts what they get, and misbehaves on request: `GET /` on it lists what
    /// it can do. Its state is in memory. It guards nothing, so let it listen on loopback only.
    Sandbox(SandboxArgs),
    /// Send a message through a running server, and print its id
    ///
    /// If the answer gets lost, the request is repeated; its `Idempotency-Key` makes it the same message.
    #[command(after_help = SEND_EXAMPLES)]
    Send(Box<SendArgs>),
    /// Import, export and list the subscriptions of a running server
    #[command(subcommand)]
    Subscriptions(SubscriptionsCommand),
    /// Make, import and export VAPID keys
    #[command(subcommand)]
    Vapid(VapidCommand),
    /// Show and replace the keys that seal the secrets in the database
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make, list and revoke API tokens of a running server
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Measure how fast this machine sends, with a push service and subscribers of its own
    ///
    /// Starts `tidings sandbox` and `tidings serve` as processes on a core each, imports virtual
    /// subscribers and sends all of them one message over TLS, which is encrypted for each and
    /// recorded durably. Nothing leaves this machine. Ctrl-C ends everything that it started.
    #[command(after_help = BENCH_HELP)]
    Bench(Box<BenchArgs>),
    /// Print a script that completes this command line in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

const SEND_EXAMPLES: &str = "\
Examples:
  tidings send --all --title 'We are back' --body 'Thanks for waiting' --wait
  tidings send --user 42 --title 'Your code' --body '123 456' --ttl 5m --urgency high";

/// Where the demo listens, and what it starts.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Where the server listens
    #[arg(long, default_value = "127.0.0.1:8030", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    /// Where the local push service listens
    #[arg(long, default_value = "127.0.0.1:8031", value_name = "ADDRESS")]
    pub(crate) sandbox_listen: SocketAddr,

    /// Start a throw-away Firefox that uses the local push service
    #[arg(long)]
    pub(crate) firefox: bool,
}

/// Where the sandbox listens, and what it speaks.
#[derive(Args, Debug)]
pub(crate) struct SandboxArgs {
    /// Where to listen for HTTP and WebSocket
    #[arg(long, default_value = "127.0.0.1:8031", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    /// Where to listen for HTTPS too, with a certificate authority of its own
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen_tls: Option<SocketAddr>,

    /// Play this push service as well, over TLS at an address of its own; may be repeated
    ///
    /// `PERSONALITY[@HOST]=ADDRESS`, as in `fcm=127.0.0.1:9001` or `plain@push.example=127.0.0.1:0`.
    /// The endpoints have the host of the real push service, so that a server treats it as that
    /// one; what to tell the server is logged, and in `GET /sandbox/services`.
    #[arg(long = "service", value_name = "SERVICE")]
    pub(crate) services: Vec<PlayedService>,

    /// Where to write the certificate authority (PEM), for the server's setting `push.extra_ca`
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Offer HTTP/1.1 only over TLS
    #[arg(long)]
    pub(crate) http1_only: bool,

    /// The host in the endpoints it hands out
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub(crate) public_host: String,

    /// Which push service it plays at these two: fcm, mozilla, apple, wns or plain (RFC 8030)
    #[arg(long, default_value_t, value_name = "NAME")]
    pub(crate) personality: Personality,

    /// Streams that one HTTP/2 connection may have open
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_concurrent_streams: u32,

    /// Of the virtual user agents one in N decrypts what it gets, always the same ones; 1: all of
    /// them, which costs more than everything else that a message does here
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) decrypt_one_in: NonZeroU32,

    /// How it misbehaves from the start: a file with what `PUT /sandbox/behaviour` takes
    ///
    /// For example `[{"delay_ms":{"p50_ms":50,"p99_ms":400},"continue":true},
    /// {"probability":0.1,"status":429,"retry_after":"2"}, {"probability":0.02,"reset":true},
    /// {"share":0.01,"status":410}]`.
    #[arg(long, value_name = "FILE")]
    pub(crate) behaviour: Option<PathBuf>,

    /// What chance follows from: with the same number, the same virtual user agents meet the same
    /// faults [default: another number each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How many messages of each subscription can be looked at afterwards; 0 keeps none, which is
    /// faster
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) keep_messages: usize,

    /// Of these keep only messages with a topic: so a few among a million can be looked at
    #[arg(long)]
    pub(crate) keep_with_topic_only: bool,
}

/// How to reach a running server.
#[derive(Args)]
pub(crate) struct ServerArgs {
    /// The server's URL
    #[arg(long, env = "TIDINGS_URL", default_value = "http://127.0.0.1:8030", value_parser = parse_url)]
    pub(crate) url: String,

    /// An API token; without one, the file `admin-token` in the data directory is read
    #[arg(long, env = "TIDINGS_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// The server's data directory, if it is on this machine
    #[arg(
        long,
        env = "TIDINGS_DATA_DIR",
        default_value = "./tidings-data",
        value_name = "FOLDER"
    )]
    pub(crate) data_dir: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whatever else is wrong with it is told when it is used.
fn parse_url(text: &str) -> Result<String, &'static str> {
    let has_scheme = ["http://", "https://"].iter().any(|scheme| {
        let beginning = text.get(..scheme.len());
        beginning.is_some_and(|it| it.eq_ignore_ascii_case(scheme))
    });
    if has_scheme {
        Ok(text.to_owned())
    } else {
        Err("it must begin with http:// or https://")
    }
}

/// What to send, to whom, and how.
#[derive(Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) audience: AudienceArgs,

    #[command(flatten)]
    pub(crate) content: ContentArgs,

    /// How long it may take to arrive: `90s`, `4h`, `2d` [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub(crate) ttl: Option<String>,

    /// very-low, low, normal or high
    #[arg(long)]
    pub(crate) urgency: Option<String>,

    /// Replace an undelivered message with the same topic
    #[arg(long)]
    pub(crate) topic: Option<String>,

    /// Wait until every outcome is known, and print the counts (scope `messages:read`)
    ///
    /// The id is printed before, with `--json` on standard error. The message goes on whatever becomes
    /// of this command: a server that cannot be reached for a while is asked again, and who interrupts
    /// it (exit status 130) is told where to ask.
    #[arg(long)]
    pub(crate) wait: bool,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Who gets it: one of these, or several.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct AudienceArgs {
    /// Everybody
    #[arg(long)]
    pub(crate) all: bool,

    /// A person, by the application's own id
    #[arg(long = "user", value_name = "USER")]
    pub(crate) users: Vec<String>,

    /// A subscription, by its id
    #[arg(long = "subscription", value_name = "ID")]
    pub(crate) subscriptions: Vec<String>,
}

/// What they get.
#[derive(Args, Debug)]
pub(crate) struct ContentArgs {
    /// The notification's title
    #[arg(long, required_unless_present_any = ["notification", "data"])]
    pub(crate) title: Option<String>,

    /// The notification's text
    #[arg(long, requires = "title")]
    pub(crate) body: Option<String>,

    /// What a click opens
    #[arg(long, requires = "title", value_name = "URL")]
    pub(crate) navigate: Option<String>,

    /// The notification's icon
    #[arg(long, requires = "title", value_name = "URL")]
    pub(crate) icon: Option<String>,

    /// The whole notification as JSON, instead of its parts
    #[arg(long, conflicts_with_all = ["title", "data"], value_name = "JSON")]
    pub(crate) notification: Option<String>,

    /// Any JSON for the site's own service worker, instead of a notification
    #[arg(long, conflicts_with = "title", value_name = "JSON")]
    pub(crate) data: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum VapidCommand {
    /// Make a key pair and print it; no server is asked
    Generate {
        /// Write the private key to this file (PEM, mode 0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,

        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Import a private key into a running server and hand it out to pages from then on
    ///
    /// Takes what `openssl ecparam -name prime256v1 -genkey -noout` writes, PKCS#8 PEM, DER,
    /// base64url of the 32 octets (`web-push generate-vapid-keys`) and JWK. Subscriptions made with
    /// another key keep it.
    Import {
        /// The file; `-` reads standard input
        file: PathBuf,

        /// Only sign with it for its own subscriptions; pages keep getting the active key
        #[arg(long)]
        keep_active: bool,

        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print a private key of a data directory as PEM; the server may be running
    Export {
        /// The key's id [default: the active one]
        #[arg(long, value_name = "ID")]
        key: Option<String>,

        #[command(flatten)]
        directory: DirectoryArgs,

        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
