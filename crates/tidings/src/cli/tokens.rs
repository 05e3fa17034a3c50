//! `tidings tokens` on the command line.

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use tidings_core::api_token::Scope;
use tidings_core::id::ApiTokenId;

use crate::cli::ServerArgs;

const CREATE_EXAMPLES: &str = "\
Examples:
  tidings tokens create shop --scope messages:send --scope messages:read
  tidings tokens create importer --scope subscriptions:write --expires-in 1h
  tidings tokens create alice --scope admin --expires-in 90d > alice.token

Scopes:
  messages:send        send messages (`tidings send`; with --wait, messages:read as well)
  messages:read        read messages and their counts
  subscriptions:read   read subscriptions; keys and endpoints are never shown
  subscriptions:write  register, import, change, end and restore subscriptions
  subscriptions:export export subscriptions with their keys: what it takes to send to them
  monitoring:read      see how the server is: metrics and alerts
  admin                everything, for every application: tokens and VAPID keys too

A program that shows the token sends it as `Authorization: Bearer tdg_…`; commands of `tidings` take
it from TIDINGS_TOKEN.";

#[derive(Subcommand)]
pub(crate) enum TokensCommand {
    /// Make an API token and print it, this once
    ///
    /// The token goes to standard output, everything else to standard error. The server keeps only
    /// a hash of it: one that is lost cannot be shown again, only replaced.
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// What to call it, to know it again: 1 to 100 characters
        name: String,

        /// What it allows; may be given several times
        #[arg(
            long = "scope",
            required = true,
            value_name = "SCOPE",
            value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)),
            hide_possible_values = true
        )]
        scopes: Vec<String>,

        /// How long it is taken: `90d`, `12h` [default: until it is revoked]
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,

        /// The application it belongs to [default: the one of the token that is used]
        #[arg(long, value_name = "NAME")]
        application: Option<String>,

        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the API tokens, newest first, with when each was used last
    ///
    /// The tokens themselves are not shown: nobody has them but who was given them. Those that were
    /// revoked or expired stay in the list for 30 days. The server's admin token is not in it.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Revoke an API token: the next request that shows it is refused
    Revoke {
        /// The token's id, as `tidings tokens list` shows it: tok_…
        #[arg(value_name = "ID")]
        id: ApiTokenId,

        #[command(flatten)]
        server: ServerArgs,
    },
}
