//! `tidings keys`: its arguments, and what its help teaches.

use clap::{Args, Subcommand};

use crate::settings::DirectoryArgs;

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Show the sealing keys, and how many values need each; the server may be running
    ///
    /// Keys are named by their short ids, which are no secret. A key that no value needs can be
    /// taken out; backups that were made before still need it.
    List(KeysListArgs),
    /// Seal every secret in the database anew with the first sealing key
    ///
    /// The server must be stopped. It can be broken off at any time, be it by a power failure, and
    /// run again. Of what the old key sealed nothing is left in the data directory in the end;
    /// backups that were made before still need the old key.
    #[command(after_long_help = PROCEDURES)]
    Reseal(KeysResealArgs),
}

#[derive(Args)]
pub(crate) struct KeysListArgs {
    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct KeysResealArgs {
    /// Make a new key first, and take the old ones out of the data directory's file in the end
    #[arg(long)]
    pub(crate) new: bool,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const PROCEDURES: &str = "\
To replace the key, if it is in the file `sealing-key` of the data directory:
  1. Stop the server.
  2. tidings keys reseal --new
  3. Start the server.

If it is in the environment (TIDINGS_SEALING_KEY), in a settings file (`sealing_key`), or in a file
of your own (`sealing_key_file`):
  1. Make a key: openssl rand -base64 32
  2. Put it in front of the old one, which stays: TIDINGS_SEALING_KEY=NEW,OLD
     (in a settings file: sealing_key = [\"NEW\", \"OLD\"]; in a file of keys: a line of its own, the
     first one).
  3. Stop the server.
  4. tidings keys reseal
  5. Take the old key out, and start the server.

Between the steps a server with both keys can run as long as you like: it seals with the new one.
`tidings keys list` shows which key is still needed.";
