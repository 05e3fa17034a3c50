//! Playing a chapter from its beginning to its end, as a reader would.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    binary,
    browser::{Firefox, Page, browsers_are_skipped},
    expected::{compare_json, compare_text},
    markdown,
    ports::Ports,
    process::Process,
    shell::Shell,
    step::{BrowserStep, Language, Step},
    wait::until,
};

/// What a server prints when it takes requests: Tidings and its sandbox, Python's web server.
const READY: [&str; 2] = ["listening on http://", "Serving HTTP on"];

/// What every problem document of Tidings holds.
const PROBLEM: &str = "urn:tidings:problem:";

/// What the server and the SDK look for without being told.
const DEFAULT_FILES: [&str; 2] = ["tidings.toml", "tidings-sw.js"];

/// Has `tidings serve` use the push service of the Firefox of these tests.
const FOR_FIREFOX: &[(&str, &str)] = &[
    ("TIDINGS_PUSH_ALLOW_NETWORKS", "127.0.0.0/8"),
    ("TIDINGS_PUSH_ALLOW_INSECURE", "true"),
];

/// Plays the page at this path from the top of the repository.
pub(crate) async fn play(path: &str) -> Result<()> {
    let steps = markdown::Page::read(path)?.steps;
    let needs_browser = steps
        .iter()
        .any(|(_, step)| matches!(step, Step::Browser(_)));
    if needs_browser && browsers_are_skipped() {
        return Ok(());
    }
    check_that_files_are_used(&steps)?;
    let ports = Ports::choose()?;
    let browser = if needs_browser {
        Some(Browser::start().await?)
    } else {
        None
    };
    let variables = if needs_browser { FOR_FIREFOX } else { &[] };
    let mut player = Player {
        shell: Shell::open(&ports, variables).await?,
        ports,
        page: None,
        printed: Printed::Nothing,
    };
    let mut steps = steps.iter().peekable();
    while let Some((place, step)) = steps.next() {
        let next = steps.peek().map(|(_, step)| step);
        player
            .take(step, next, browser.as_ref())
            .await
            .with_context(|| place.clone())?;
    }
    player.shell.close().await?;
    match browser {
        Some(browser) => browser.end().await,
        None => Ok(()),
    }
}

/// A file that no later step names is one that a reader cannot know what to do with.
fn check_that_files_are_used(steps: &[(crate::step::Place, Step)]) -> Result<()> {
    for (index, (place, step)) in steps.iter().enumerate() {
        let Step::Save(name, _) = step else { continue };
        let (_, file_name) = name.rsplit_once('/').unwrap_or(("", name));
        let is_used = steps.iter().enumerate().any(|(other, (_, step))| {
            let text = match step {
                Step::Run(_, text)
                | Step::Again(text)
                | Step::KeepRunning(text)
                | Step::Page(text)
                | Step::Save(_, text) => text,
                Step::Browser(BrowserStep::Open(url)) => {
                    let opened = if url.ends_with('/') {
                        "index.html"
                    } else {
                        url
                    };
                    return opened.ends_with(file_name);
                }
                _ => return false,
            };
            other != index && text.contains(file_name)
        });
        let is_settings = is_settings(name);
        let is_default = DEFAULT_FILES.iter().any(|file| name.ends_with(file));
        ensure!(
            is_used || is_default || is_settings,
            "{place}: no step uses {name}"
        );
    }
    Ok(())
}

/// Whether the server must start with this file.
fn is_settings(name: &str) -> bool {
    Path::new(name).extension() == Some("toml".as_ref())
}

struct Player<'a> {
    shell: Shell,
    ports: Ports,
    page: Option<Page<'a>>,
    printed: Printed,
}

/// Where what the last step printed is.
enum Printed {
    Nothing,
    /// It has ended.
    Whole(String),
    /// It goes on; this is its step.
    Growing(String),
}

impl<'a> Player<'a> {
    async fn take(
        &mut self,
        step: &Step,
        next: Option<&Step>,
        browser: Option<&'a Browser>,
    ) -> Result<()> {
        match step {
            Step::Run(language, text) => self.run(*language, text, next).await,
            Step::Again(text) => self.run_again(text, next).await,
            Step::KeepRunning(text) => self.keep_running(text).await,
            Step::Stop(command) => {
                let command = self.ports.instead_of_those_in(command);
                self.shell.stop(&command).await
            }
            Step::Save(name, text) => self.save(name, text).await,
            Step::Output(text) => self.compare(&self.ports.instead_of_those_in(text)).await,
            Step::Answer(text) => match &self.printed {
                Printed::Whole(printed) => {
                    compare_json(&self.ports.instead_of_those_in(text), printed)
                }
                _ => anyhow::bail!("nothing was printed that could be the answer"),
            },
            Step::Page(text) => self.run_in_page(text).await,
            Step::Browser(step) => {
                let browser = browser.context("there is no browser")?;
                self.use_browser(step, browser).await
            }
        }
    }

    async fn run(&mut self, language: Language, text: &str, next: Option<&Step>) -> Result<()> {
        let text = self.ports.instead_of_those_in(text);
        let printed = self.shell.run(language, &text).await?;
        let is_compared = matches!(next, Some(Step::Output(_) | Step::Answer(_)));
        ensure!(
            is_compared || !printed.contains(PROBLEM),
            "the page says nothing of a problem:\n{printed}"
        );
        self.printed = Printed::Whole(printed);
        Ok(())
    }

    /// Runs a step, which only asks for something, until the answer is what the page says next.
    async fn run_again(&mut self, text: &str, next: Option<&Step>) -> Result<()> {
        let text = self.ports.instead_of_those_in(text);
        let (expected, compare): (_, fn(&str, &str) -> Result<()>) = match next {
            Some(Step::Output(expected)) => (expected, compare_text),
            Some(Step::Answer(expected)) => (expected, compare_json),
            _ => anyhow::bail!("the page does not say what it prints in the end"),
        };
        let expected = self.ports.instead_of_those_in(expected);
        let shell = &mut self.shell;
        let asked = async || shell.run(Language::Shell, &text).await;
        let fits = |printed: &String| compare(&expected, printed).is_ok();
        let printed = until("an answer as on the page", asked, fits).await?;
        self.printed = Printed::Whole(printed);
        Ok(())
    }

    async fn keep_running(&mut self, text: &str) -> Result<()> {
        let text = self.ports.instead_of_those_in(text);
        self.shell.keep_running(&text).await?;
        self.printed = Printed::Growing(text);
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let is_ready = |printed: &String| READY.iter().any(|ready| printed.contains(ready));
        let printed = async || Ok(self.growing_output());
        until("a server that is ready", printed, is_ready)
            .await
            .map(drop)
    }

    async fn compare(&self, expected: &str) -> Result<()> {
        match &self.printed {
            Printed::Nothing => anyhow::bail!("nothing was printed before"),
            Printed::Whole(printed) => compare_text(expected, printed),
            Printed::Growing(_) => {
                let printed = async || Ok(self.growing_output());
                let fits = |printed: &String| compare_text(expected, printed).is_ok();
                until(expected, printed, fits).await.map(drop)
            }
        }
    }

    fn growing_output(&self) -> String {
        match &self.printed {
            Printed::Growing(command) => self.shell.printed_by(command),
            _ => String::new(),
        }
    }

    /// Saves a file; the server must start with one that holds settings.
    async fn save(&mut self, name: &str, text: &str) -> Result<()> {
        let text = self.ports.instead_of_those_in(text);
        self.shell.save(name, &text).await?;
        if !is_settings(name) {
            return Ok(());
        }
        let serve = format!(
            "unset ${{!TIDINGS_@}}\n\
             export TIDINGS_LISTEN=127.0.0.1:0 TIDINGS_DATA_DIR=$(mktemp -d)\n\
             \"$DOCS_TIDINGS\" serve --config {name}\n"
        );
        self.keep_running(&serve).await?;
        self.shell.stop(&serve).await
    }

    /// Runs JavaScript in the page that is open, and waits until it is through.
    async fn run_in_page(&self, text: &str) -> Result<()> {
        const STATE: &str = "() => [globalThis.docsEnded, globalThis.docsFailed]";
        let page = self.page.as_ref().context("no page is open")?;
        let text = self.ports.instead_of_those_in(text);
        let module = json!(format!("{text}\n;globalThis.docsEnded = true;"));
        let start = format!(
            "() => {{
                globalThis.docsEnded = false;
                globalThis.docsFailed = null;
                const failed = (event) => globalThis.docsFailed ??= String(event.reason ?? event.message);
                addEventListener('error', failed);
                addEventListener('unhandledrejection', failed);
                const script = document.createElement('script');
                script.type = 'module';
                script.textContent = {module};
                document.body.append(script);
            }}"
        );
        page.evaluate(&start).await?;
        let ended = |state: &Value| state[0] == true || !state[1].is_null();
        let state = page
            .wait_until("the end of the script", STATE, ended)
            .await?;
        ensure!(state[1].is_null(), "the script failed: {}", state[1]);
        Ok(())
    }

    async fn use_browser(&mut self, step: &BrowserStep, browser: &'a Browser) -> Result<()> {
        if let BrowserStep::Open(url) = step {
            let url = self.ports.instead_of_those_in(url);
            self.page = Some(browser.firefox.open(&url).await?);
            return Ok(());
        }
        let page = self.page.as_ref().context("no page is open")?;
        match step {
            BrowserStep::Open(_) => Ok(()),
            BrowserStep::Click(selector) => page.click(selector).await,
            BrowserStep::Text(selector, text) => {
                let selector = json!(selector);
                let shown = format!("() => document.querySelector({selector})?.textContent.trim()");
                let what = format!("{selector} to say {text:?}");
                page.wait_until(&what, &shown, |shown| shown == text.as_str())
                    .await
                    .map(drop)
            }
            BrowserStep::Notification(title, body) => {
                let shown = page.wait_for_notification(title).await?;
                ensure!(shown.body == *body, "it says {:?}", shown.body);
                Ok(())
            }
            BrowserStep::ClickNotification(title) => {
                browser.firefox.click_notification(title).await
            }
            BrowserStep::Tab(url) => {
                let url = self.ports.instead_of_those_in(url);
                browser.firefox.wait_for_tab(&url).await.map(drop)
            }
            BrowserStep::NewWorker => page.evaluate(NEW_WORKER).await.map(drop),
        }
    }
}

/// As a visit to the site does once a day; waits until the new one has taken over.
const NEW_WORKER: &str = "async () => {
    const registration = await navigator.serviceWorker.ready;
    await registration.update();
    const worker = registration.installing ?? registration.waiting;
    // It may have taken over already; what the page shows next tells.
    while (worker && worker.state !== 'activated') {
        await new Promise((resolve) => worker.addEventListener('statechange', resolve, { once: true }));
    }
}";

/// A Firefox whose push service is on this machine.
struct Browser {
    firefox: Firefox,
    sandbox: Process,
}

impl Browser {
    async fn start() -> Result<Self> {
        let mut command = binary::command("sandbox");
        command.args(["--listen", "127.0.0.1:0"]);
        let sandbox = Process::spawn("the sandbox", &mut command)?;
        let origin = binary::wait_for_origin(&sandbox, "http").await?;
        let websocket = format!("{}/", origin.replacen("http", "ws", 1));
        let firefox = Firefox::start(&websocket).await?;
        Ok(Self { firefox, sandbox })
    }

    async fn end(self) -> Result<()> {
        self.firefox.close().await?;
        self.sandbox.kill();
        Ok(())
    }
}
