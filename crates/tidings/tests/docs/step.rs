//! What the blocks of a page mean.
//!
//! The first word of a fence is its language, the rest says what is done with the block:
//!
//! | fence | meaning |
//! |---|---|
//! | `sh` | bash runs it, in the terminal of the chapter: variables and folders stay |
//! | `sh keeps-running` | the same in a second terminal; it goes on, as a server does |
//! | `sh again` | the same, repeated until it prints what the next block says |
//! | `python`, `js node` | that interpreter runs it |
//! | `js in-page` | runs in the page that is open in Firefox, with `tidings`, if the page has it |
//! | *language* `NAME.EXT` | is saved under this name, which the words before must tell and a step use |
//! | `toml NAME.EXT` | also, the server is started with it |
//! | `text output` | what the step before printed, `…` standing for anything |
//! | `json answer` | what the step before printed, compared as JSON |
//! | `text diagram` | a picture; only a person can check it |
//! | … `not-run: reason` | is not run, for a reason |
//!
//! Comments of the form `<!-- browser: … -->` are what a person does in the browser meanwhile; see
//! [`BrowserStep`]. `<!-- stop: COMMAND -->` is Ctrl+C where that command runs; a server that is
//! started again is ended before without it.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};

/// A line of a page.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: String,
    line: usize,
}

/// One thing to do or to compare.
#[derive(Debug)]
pub(crate) enum Step {
    /// Run it and wait for its end.
    Run(Language, String),
    /// Run it until it prints what the next step says.
    Again(String),
    /// Start it and go on.
    KeepRunning(String),
    /// End what began with this command.
    Stop(String),
    /// Save it under this name.
    Save(String, String),
    /// Compare with what the step before printed.
    Output(String),
    /// Compare, as JSON, with what the step before printed.
    Answer(String),
    /// Run it in the page that is open.
    Page(String),
    /// Do this in the browser.
    Browser(BrowserStep),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    Shell,
    Python,
    Node,
}

/// What a person does in the browser, or sees there.
#[derive(Debug)]
pub(crate) enum BrowserStep {
    /// `open URL`
    Open(String),
    /// `click SELECTOR`
    Click(String),
    /// `text SELECTOR = TEXT`: waits until the element has this text.
    Text(String, String),
    /// `notification TITLE = BODY`: waits until it is on the screen.
    Notification(String, String),
    /// `click-notification TITLE`
    ClickNotification(String),
    /// `tab URL`: waits until a tab shows it.
    Tab(String),
    /// `new-worker`: the browser looks whether there is a new version of the site's worker.
    NewWorker,
}

impl Step {
    /// The step that a fenced block with this `info` is; none, if nothing is to be done.
    pub(crate) fn of_block(info: &str, text: String) -> Result<Option<Self>> {
        let (language, role) = info.split_once(' ').unwrap_or((info, ""));
        if let Some(reason) = role.strip_prefix("not-run:") {
            ensure!(!reason.trim().is_empty(), "say why it is not run");
            return Ok(None);
        }
        let is_file_name = role.contains('.') && !role.contains(' ');
        Ok(Some(match (language, role) {
            ("text", "diagram") => return Ok(None),
            ("sh", "") => Self::Run(Language::Shell, text),
            ("sh", "again") => Self::Again(text),
            ("sh", "keeps-running") => Self::KeepRunning(text),
            ("python", "") => Self::Run(Language::Python, text),
            ("js", "node") => Self::Run(Language::Node, text),
            ("js", "in-page") => Self::Page(text),
            ("text", "output") => Self::Output(text),
            ("json", "answer") => Self::Answer(text),
            (_, name) if is_file_name => Self::Save(name.to_owned(), text),
            _ => bail!(
                "no rule runs a block of `{info}`: see the table in {}",
                file!()
            ),
        }))
    }

    /// The step that an HTML comment is; none, if it is an ordinary one.
    pub(crate) fn of_comment(html: &str) -> Result<Option<Self>> {
        let comment = html.trim().strip_prefix("<!--");
        let Some(comment) = comment.and_then(|rest| rest.strip_suffix("-->")) else {
            let is_meant = html.contains("browser:") || html.contains("stop:");
            ensure!(!is_meant, "`{html}` is no comment of one line");
            return Ok(None);
        };
        if let Some(command) = comment.trim().strip_prefix("stop:") {
            return Ok(Some(Self::Stop(command.trim().to_owned())));
        }
        let Some(step) = comment.trim().strip_prefix("browser:") else {
            return Ok(None);
        };
        BrowserStep::parse(step.trim()).map(Self::Browser).map(Some)
    }
}

impl BrowserStep {
    fn parse(text: &str) -> Result<Self> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let object = rest.to_owned();
        let pair = || {
            let (object, value) = rest.split_once(" = ").context("` = ` is missing")?;
            anyhow::Ok((object.to_owned(), value.to_owned()))
        };
        Ok(match verb {
            "open" => Self::Open(object),
            "click" => Self::Click(object),
            "text" => {
                let (selector, text) = pair()?;
                Self::Text(selector, text)
            }
            "notification" => {
                let (title, body) = pair()?;
                Self::Notification(title, body)
            }
            "click-notification" => Self::ClickNotification(object),
            "tab" => Self::Tab(object),
            "new-worker" => Self::NewWorker,
            _ => bail!("the browser cannot `{text}`"),
        })
    }
}

impl Place {
    /// The line at an offset of the text of a page.
    pub(crate) fn new(path: &str, text: &str, offset: usize) -> Self {
        let before = text.as_bytes().iter().take(offset);
        Self {
            path: path.to_owned(),
            line: 1 + before.filter(|octet| **octet == b'\n').count(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.path, self.line)
    }
}
