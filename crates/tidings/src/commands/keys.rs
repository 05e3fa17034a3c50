//! `tidings keys`.

mod list;
mod reseal;

use anyhow::Result;

use crate::cli::KeysCommand;
use crate::commands::in_runtime;

pub(super) fn run(command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::List(args) => list::run(args),
        KeysCommand::Reseal(args) => in_runtime(reseal::run(args)),
    }
}
