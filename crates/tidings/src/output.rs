//! The one place that writes to the terminal: data to stdout, talk to stderr.

use std::io::{self, Write as _};

use serde_json::Value;

/// Writes one line of data to stdout.
pub(crate) fn data(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Writes a JSON value to stdout, readable.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{value:#}")
}

/// Writes a line of talk to stderr. Nobody to read it is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says why the command failed: what was tried, then the causes, each once.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many errors repeat their cause in their own text.
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    say(&format!("error: {message}"));
}
