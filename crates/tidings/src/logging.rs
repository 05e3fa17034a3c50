//! Logs go to stderr.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How to log.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LoggingArgs {
    /// What to log: a level (`error`, `warn`, `info`, `debug`, `trace`) or `tracing` directives
    #[arg(
        long,
        global = true,
        help_heading = "Logging",
        env = "TIDINGS_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log: String,

    /// How to write the log
    #[arg(
        long,
        global = true,
        help_heading = "Logging",
        env = "TIDINGS_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum LogFormat {
    Text,
    Json,
}

pub(crate) fn start(args: &LoggingArgs) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse_lossy(&args.log);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Told of on stderr, which panics where nobody reads that any more: then no log line, and
        // so no part of the server, would come through.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match args.log_format {
        LogFormat::Text => subscriber.with_target(false).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    // Nothing else sets one, so there is nobody to fail against.
    drop(started);
}
