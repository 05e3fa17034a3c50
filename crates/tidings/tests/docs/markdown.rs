//! Reading a page.

use std::fs;

use anyhow::{Context, Result, ensure};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::{
    root,
    step::{Place, Step},
};

/// What a page says that a machine can check.
#[derive(Default)]
pub(crate) struct Page {
    /// What is run, in the order in which a reader runs it.
    pub(crate) steps: Vec<(Place, Step)>,
    /// Where links and pictures point to.
    pub(crate) links: Vec<(Place, String)>,
    /// The anchors of its headings.
    pub(crate) anchors: Vec<String>,
}

impl Page {
    /// Reads the page at this path from the top of the repository.
    pub(crate) fn read(path: &str) -> Result<Self> {
        let text = fs::read_to_string(root().join(path)).with_context(|| path.to_owned())?;
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &str, text: &str) -> Result<Self> {
        let mut page = Self::default();
        let mut block: Option<(Place, String, String)> = None;
        let mut heading: Option<String> = None;
        // What a reader has read since the last block.
        let mut prose = String::new();
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            let place = || Place::new(path, text, range.start);
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match kind {
                        CodeBlockKind::Fenced(info) => info.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    block = Some((place(), info, String::new()));
                }
                Event::End(TagEnd::CodeBlock) => {
                    if let Some((place, info, text)) = block.take() {
                        let step = Step::of_block(&info, text).with_context(|| place.clone())?;
                        check_that_the_name_is_told(step.as_ref(), &prose)
                            .with_context(|| place.clone())?;
                        prose.clear();
                        page.steps.extend(step.map(|step| (place, step)));
                    }
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    let step = Step::of_comment(&html).with_context(place)?;
                    page.steps.extend(step.map(|step| (place(), step)));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((place(), dest_url.into_string()));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.extend(heading.take().as_deref().map(anchor));
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some((_, _, text)) = &mut block {
                        text.push_str(&part);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    } else {
                        prose.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        Ok(page)
    }
}

/// What stands in the fence is not shown to readers, so they would not know how to name the file.
fn check_that_the_name_is_told(step: Option<&Step>, prose: &str) -> Result<()> {
    match step {
        Some(Step::Save(name, _)) => {
            ensure!(
                prose.contains(name),
                "the words before it do not name {name}"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The anchor that mdBook and GitHub give a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            other => other.is_alphanumeric().then_some(other),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_no_rule_runs_is_an_error_that_says_where() {
        for block in [
            "```\nx\n```",
            "```rust\nx\n```",
            "    indented\n",
            "```json\n{}\n```",
        ] {
            let page = format!("# A page\n\n{block}\n");
            let error = format!("{:#}", Page::parse("page.md", &page).err().unwrap());
            assert!(error.contains("page.md:3"), "{block}: {error}");
        }
    }

    #[test]
    fn what_is_not_run_says_why() {
        assert!(Page::parse("page.md", "```sh not-run:\nx\n```").is_err());
        let page = Page::parse("page.md", "```sh not-run: it takes a day\nx\n```").unwrap();
        assert!(page.steps.is_empty());
    }

    #[test]
    fn no_step_in_a_comment_is_overlooked() {
        for comment in [
            "<!-- browser: text #state\n= x -->",
            "<!-- browser: hover #state -->",
            "<!--\nstop: tidings serve -->",
        ] {
            assert!(Page::parse("page.md", comment).is_err(), "{comment}");
        }
        let page = Page::parse("page.md", "<!-- ANCHOR: here\n-->").unwrap();
        assert!(page.steps.is_empty());
    }

    #[test]
    fn the_name_of_a_file_is_told_in_words() {
        let block = "```js push.js\nx\n```";
        assert!(Page::parse("page.md", &format!("Save this:\n\n{block}")).is_err());
        assert!(Page::parse("page.md", &format!("Save as `push.js`:\n\n{block}")).is_ok());
    }

    #[test]
    fn anchors_are_those_of_the_book() {
        let page = Page::parse("page.md", "## `GET|POST` the key: what's *there*, 1.2").unwrap();
        assert_eq!(page.anchors, ["getpost-the-key-whats-there-12"]);
    }
}
