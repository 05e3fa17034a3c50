//! The documentation, played: every example in it is run, and what it says that one sees is
//! compared with what there is to see.
//!
//! `step.rs` says how a fenced block becomes a step. A block without a rule fails the test of its
//! chapter, so nothing escapes.

#![expect(
    clippy::print_stderr,
    reason = "so a test speaks to the one who reads of its failure"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

#[path = "../support/bidi.rs"]
mod bidi;
#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/browser.rs"]
#[expect(dead_code, reason = "the tests in Firefox do more with it")]
mod browser;
mod expected;
mod links;
mod markdown;
mod player;
mod ports;
#[path = "../support/process.rs"]
mod process;
mod shell;
mod step;
#[path = "../support/wait.rs"]
mod wait;

/// A test of its own for each chapter, and the list of all that have one.
macro_rules! chapters {
    ($($name:ident: $path:literal,)+) => {
        const PLAYED: &[&str] = &[$($path),+];

        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                player::play($path).await
            }
        )+
    };
}

chapters! {
    readme: "README.md",
    contributing: "CONTRIBUTING.md",
    api: "docs/api.md",
    benchmarks: "docs/benchmarks.md",
    back_end: "docs/back-end.md",
    errors: "docs/errors.md",
    from_the_article: "docs/from-the-article.md",
    page: "docs/page.md",
    quick_start: "docs/quick-start.md",
    sandbox_in_ci: "docs/sandbox-in-ci.md",
    security: "docs/security.md",
    settings: "docs/settings.md",
}

#[test]
fn every_page_with_an_example_is_played() -> Result<()> {
    let with_examples = pages()?
        .into_iter()
        .filter_map(|page| match markdown::Page::read(&page) {
            Ok(read) => (!read.steps.is_empty()).then_some(Ok(page)),
            Err(error) => Some(Err(error)),
        })
        .collect::<Result<Vec<_>>>()?;
    let forgotten: Vec<_> = with_examples
        .iter()
        .filter(|page| !PLAYED.contains(&page.as_str()))
        .collect();
    assert!(
        forgotten.is_empty(),
        "add to `chapters!` in {}: {forgotten:?}",
        file!()
    );
    assert!(with_examples.len() > 1, "no page has an example any more");
    Ok(())
}

/// The top of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page that is written for people, by its path from the top of the repository.
fn pages() -> Result<Vec<String>> {
    let mut pages = Vec::new();
    for folder in ["", "docs/", "docs/decisions/"] {
        for entry in fs::read_dir(root().join(folder)).context(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension() == Some("md".as_ref()) {
                pages.push(format!("{folder}{name}"));
            }
        }
    }
    pages.sort();
    Ok(pages)
}
