//! No link of the pages leads nowhere.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;

use crate::{markdown::Page, pages, root};

const SUMMARY: &str = "docs/SUMMARY.md";

#[test]
fn every_link_leads_to_a_page_and_a_heading_that_exist() -> Result<()> {
    let read = pages()?.into_iter().map(|path| {
        let page = Page::read(&path)?;
        Ok((path, page))
    });
    let pages: BTreeMap<String, Page> = read.collect::<Result<_>>()?;
    let broken: Vec<_> = pages
        .iter()
        .flat_map(|(path, page)| page.links.iter().map(move |link| (path, link)))
        .filter_map(|(path, (place, link))| {
            let fault = fault_of(path, link, &pages)?;
            Some(format!("{place}: {link} {fault}"))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn the_summary_of_the_book_lists_every_chapter_once() -> Result<()> {
    let listed = Page::read(SUMMARY)?.links.into_iter();
    let mut listed: Vec<_> = listed.map(|(_, link)| format!("docs/{link}")).collect();
    listed.sort();
    let chapters: Vec<_> = pages()?
        .into_iter()
        .filter(|path| path.starts_with("docs/") && path != SUMMARY)
        .collect();
    assert_eq!(listed, chapters);
    Ok(())
}

/// What is wrong with a link of the page at `path`, if anything.
fn fault_of(path: &str, link: &str, pages: &BTreeMap<String, Page>) -> Option<&'static str> {
    if link.starts_with("https://") || link.starts_with("http://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        path.to_owned()
    } else {
        normalised(Path::new(path).parent()?.join(file).to_str()?)
    };
    if path.starts_with("docs/") && !target.starts_with("docs/") {
        return Some("leaves the book: what is above `docs/` is not in it");
    }
    if !root().join(&target).exists() {
        return Some("is not there");
    }
    let is_known = |page: &Page| page.anchors.iter().any(|known| known == anchor);
    if !anchor.is_empty() && !pages.get(&target).is_some_and(is_known) {
        return Some("has no such heading");
    }
    None
}

/// The path without `..`.
fn normalised(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found() -> Result<()> {
        let here = Page::parse("docs/here.md", "# A heading")?;
        let pages = BTreeMap::from([("docs/api.md".to_owned(), here)]);
        for (link, is_sound) in [
            ("api.md", true),
            ("api.md#a-heading", true),
            ("../docs/api.md", true),
            ("https://example.org/none", true),
            ("api.md#another", false),
            ("nowhere.md", false),
            ("../README.md", false),
        ] {
            let fault = fault_of("docs/page.md", link, &pages);
            assert_eq!(fault.is_none(), is_sound, "{link}: {fault:?}");
        }
        Ok(())
    }
}
