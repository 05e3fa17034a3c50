//! The `tidings` command: the server, and what operators and developers do with it.

mod api_client;
mod cli;
mod commands;
mod data_directory;
mod firefox_profile;
mod logging;
mod output;
mod running_server;
mod settings;
mod shutdown;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

/// Gives memory back after a broadcast; the C library's keeps it, and more of it each day
/// (docs/decisions/0009-mimalloc.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.logging);
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}
