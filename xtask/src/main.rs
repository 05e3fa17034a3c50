//! Chores of the Tidings workspace: `cargo run -p xtask -- <chore>`.

mod seeded_faults;
mod tidy;

use std::env;
use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "usage: cargo run -p xtask -- <chore>

chores:
  seeded-faults  break copies of the store and see that the conformance suite notices
  tidy           check crate edges, sizes and names of files, silenced lints, open ends";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["seeded-faults"] => seeded_faults::run(),
        ["tidy"] => tidy::run(),
        _ => bail!("{USAGE}"),
    }
}
