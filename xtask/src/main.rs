//! Chores of the Tidings workspace: `cargo run -p xtask -- <chore>`.

mod seeded_faults;

use std::env;
use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "usage: cargo run -p xtask -- <chore>

chores:
  seeded-faults  break copies of the store and see that the conformance suite notices";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["seeded-faults"] => seeded_faults::run(),
        _ => bail!("{USAGE}"),
    }
}
