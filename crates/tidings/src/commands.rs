//! What each command does. One file each.

mod bench;
mod completions;
mod demo;
mod keys;
mod sandbox;
mod send;
mod serve;
mod subscriptions;
mod tokens;
mod vapid;

use anyhow::{Context as _, Result};

use crate::cli::{Cli, Command};

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Serve(settings) => in_runtime(serve::run(*settings)),
        Command::Demo(args) => in_runtime(demo::run(args)),
        Command::Sandbox(args) => in_runtime(sandbox::run(args)),
        Command::Send(args) => send::run(&args),
        Command::Subscriptions(command) => subscriptions::run(command),
        Command::Vapid(command) => vapid::run(command),
        Command::Keys(command) => keys::run(command),
        Command::Tokens(command) => tokens::run(command),
        Command::Bench(args) => in_runtime(bench::run(*args)),
        Command::Completions { shell } => completions::run(shell),
    }
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}
