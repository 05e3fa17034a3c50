//! `tidings subscriptions`.

mod export;
mod import;
mod list;

use anyhow::Result;

use crate::cli::SubscriptionsCommand;

pub(super) fn run(command: SubscriptionsCommand) -> Result<()> {
    match command {
        SubscriptionsCommand::Import {
            file,
            from_line,
            errors,
            server,
        } => import::run(&file, from_line, errors.as_deref(), &server),
        SubscriptionsCommand::Export {
            file,
            state,
            server,
        } => export::run(&file, &state, &server),
        SubscriptionsCommand::List {
            state,
            user,
            limit,
            server,
        } => list::run(state.as_deref(), user.as_deref(), limit, &server),
    }
}
