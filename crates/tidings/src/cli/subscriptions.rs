//! `tidings subscriptions` on the command line.

use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use tidings_core::subscription::SubscriptionState;

use crate::cli::ServerArgs;

const IMPORT_HELP: &str = "\
Examples:
  tidings subscriptions import subscriptions.ndjson
  psql -Atc 'SELECT subscription FROM push_subscriptions' | tidings subscriptions import -
  jq -c '.[]' subscriptions.json | tidings subscriptions import - --errors refused.ndjson

A line is what a browser gave, as npm's web-push takes it, with what else is known beside it:
  {\"endpoint\": \"https://…\", \"keys\": {\"p256dh\": \"…\", \"auth\": \"…\"}, \"user\": \"42\"}
  {\"subscription\": {\"endpoint\": \"https://…\", \"keys\": {…}}, \"attributes\": {\"plan\": \"pro\"}}
Other members: locale, timezone, encoding, and vapid_key, the id or the public key of the VAPID key it
was made with. Left out, it is the active one. Browsers take only what the key signed that they
subscribed with: before the first import, bring it with `tidings vapid import`, or with its
`--keep-active` if new subscribers shall get another.

Exit status: 0 if the file was read to its end, also if lines were refused (their number is told); 1
if not, or if all lines were refused; 130 if it was interrupted: then the line to go on from is told.
Importing lines again does no harm.";

#[derive(Subcommand)]
pub(crate) enum SubscriptionsCommand {
    /// Bring subscriptions from elsewhere into a running server, one JSON object a line
    ///
    /// Sends the file in parts, says how far it is on standard error, and tries again when the server
    /// cannot be reached for a while. A line that is wrong stops no other; the first 20 are told with
    /// their numbers, and how many more there are for which reason. The scope is `subscriptions:write`.
    #[command(after_help = IMPORT_HELP)]
    Import {
        /// The file; `-` reads standard input
        file: PathBuf,

        /// Begin with this line: where an import before this one ended
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        from_line: u64,

        /// Write why lines were refused to this file, a JSON object for every one, instead of to
        /// standard error; with `--from-line`, behind what is in it
        #[arg(long, value_name = "FILE")]
        errors: Option<PathBuf>,

        #[command(flatten)]
        server: ServerArgs,
    },
    /// Write the subscriptions of a running server, with their keys, to a file that can be imported
    ///
    /// Whoever has the file and the VAPID key can send to these browsers: it is made with mode 0600.
    /// It has its name once it is complete; an export that breaks off or is interrupted leaves no
    /// file, and ends with status 1 or 130. How far it is is said on standard error. The scope is
    /// `subscriptions:export`. With `--json` the count on standard error is JSON, and nothing else is
    /// said there.
    Export {
        /// The file, which must not exist; `-` writes to standard output
        #[arg(default_value = "-")]
        file: PathBuf,

        /// Those in this state
        #[arg(long, default_value = "active", value_parser = states())]
        state: String,

        #[command(flatten)]
        server: ServerArgs,
    },
    /// List subscriptions, newest first: never their keys
    ///
    /// The scope is `subscriptions:read`.
    List {
        /// Only those in this state
        #[arg(long, value_parser = states())]
        state: Option<String>,

        /// Only this person's, by the application's own id
        #[arg(long)]
        user: Option<String>,

        /// How many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,

        #[command(flatten)]
        server: ServerArgs,
    },
}

fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(SubscriptionState::ALL.map(SubscriptionState::as_str))
}
