//! A stock Firefox, headless, with a profile of its own, driven over `WebDriver BiDi`.

use std::{env, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

pub(crate) use page::Page;

use crate::{
    bidi::Session,
    process::Process,
    wait::{eventually, eventually_within},
};

#[path = "browser/page.rs"]
mod page;
#[path = "browser/preferences.rs"]
mod preferences;

const PROGRAM: &str = "/usr/bin/firefox-esr";

/// From start to a listening driver, and from there to a push client that its push service has
/// greeted: together three seconds, many times that when the machine is busy.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Whether the one who runs the tests said that there is no browser here. Says so loudly.
pub(crate) fn browsers_are_skipped() -> bool {
    let skipped = env::var_os("TIDINGS_SKIP_BROWSERS").is_some_and(|value| value == "1");
    if skipped {
        eprintln!("SKIPPED: nothing was tested in a browser, TIDINGS_SKIP_BROWSERS=1 is set");
    }
    skipped
}

/// A running Firefox. Dropping it ends it and removes its profile.
pub(crate) struct Firefox {
    // In this order: a profile can be removed when nobody writes to it any more.
    session: Mutex<Session>,
    process: Process,
    _profile: TempDir,
    /// The browser's own window, where scripts may do what the browser may.
    window: String,
}

impl Firefox {
    /// Starts Firefox with `push_service`, a `ws:` URL, as its push service, and waits until that
    /// has greeted it.
    ///
    /// No page may subscribe before: Firefox starts its push client when it has nothing else to do,
    /// and a `subscribe()` called earlier is lost, its promise never settles.
    pub(crate) async fn start(push_service: &str) -> Result<Self> {
        let firefox = Self::launch(push_service).await?;
        firefox.wait_until_greeted().await?;
        firefox.watch_pushes().await?;
        Ok(firefox)
    }

    /// The same with a `wss:` URL, whose certificate the authority in `ca_file` has signed.
    pub(crate) async fn start_trusting(ca_file: &Path, push_service: &str) -> Result<Self> {
        // As with the preference in the profile, but there is no preference for an authority.
        const TRUST: &str = "(pem, pushService) => {
            const base64 = pem.replace(/-----[A-Z ]+-----|\\s/g, '');
            Cc['@mozilla.org/security/x509certdb;1']
                .getService(Ci.nsIX509CertDB)
                .addCertFromBase64(base64, 'C,,');
            Services.prefs.setStringPref('dom.push.serverURL', pushService);
        }";
        let pem = fs::read_to_string(ca_file).context("reading the authority's certificate")?;
        let firefox = Self::launch("").await?;
        firefox
            .evaluate(&firefox.window, TRUST, &json!([pem, push_service]))
            .await?;
        firefox.wait_until_greeted().await?;
        firefox.watch_pushes().await?;
        Ok(firefox)
    }

    /// Opens `url` in a new tab and waits until it has loaded.
    pub(crate) async fn open(&self, url: &str) -> Result<Page<'_>> {
        let created = self
            .call("browsingContext.create", json!({"type": "tab"}))
            .await?;
        let context = created["context"].as_str().context("a tab without id")?;
        let page = Page::new(self, context);
        page.navigate(url).await?;
        Ok(page)
    }

    /// Waits for a tab that shows exactly `url`, whoever opened it.
    pub(crate) async fn wait_for_tab(&self, url: &str) -> Result<Page<'_>> {
        let what = format!("a tab with {url}");
        let context = eventually(&what, async || {
            let tree = self
                .call("browsingContext.getTree", json!({"maxDepth": 0}))
                .await?;
            let tabs = tree["contexts"]
                .as_array()
                .context("a tree without contexts")?;
            let tab = tabs.iter().find(|tab| tab["url"] == url);
            Ok(tab
                .and_then(|tab| tab["context"].as_str())
                .map(str::to_owned))
        })
        .await?;
        Ok(Page::new(self, &context))
    }

    /// Clicks the notification that is on the screen with this title.
    pub(crate) async fn click_notification(&self, title: &str) -> Result<()> {
        self.at_notification(title, "onAlertClick").await
    }

    /// Closes the notification that is on the screen with this title, as its cross does.
    pub(crate) async fn dismiss_notification(&self, title: &str) -> Result<()> {
        self.at_notification(title, "onAlertClose").await
    }

    /// The payloads of all pushes that Firefox has decrypted since its start, in this order,
    /// whatever a worker did with them.
    pub(crate) async fn decrypted_pushes(&self) -> Result<Vec<String>> {
        let payloads = self
            .evaluate(&self.window, "() => tidingsPushes", &json!([]))
            .await?;
        serde_json::from_value(payloads).context("the watched pushes")
    }

    /// Ends Firefox in order.
    pub(crate) async fn close(self) -> Result<()> {
        self.call("browser.close", json!({})).await?;
        let status = self.process.wait_for_exit().await?;
        if !status.success() {
            bail!("Firefox ended with {status}");
        }
        Ok(())
    }

    /// Starts Firefox, and the session that drives it.
    async fn launch(push_service: &str) -> Result<Self> {
        if !Path::new(PROGRAM).exists() {
            bail!(
                "{PROGRAM} is missing. Install it (on Debian: apt-get install \
                 --no-install-recommends firefox-esr), or set TIDINGS_SKIP_BROWSERS=1 to do \
                 without the proof in a browser."
            );
        }
        let profile = tempfile::Builder::new()
            .prefix("tidings-firefox-")
            .tempdir()?;
        let preferences = preferences::user_js(push_service);
        fs::write(profile.path().join("user.js"), preferences).context("writing user.js")?;
        let process = Process::spawn(
            "Firefox",
            Command::new(PROGRAM)
                .args(["--headless", "--no-remote", "--profile"])
                .arg(profile.path())
                .args([
                    "--remote-debugging-port",
                    "0",
                    "--remote-allow-system-access",
                ])
                // Nothing of the user who runs the tests is read or written.
                .env("HOME", profile.path())
                .env("MOZ_CRASHREPORTER_DISABLE", "1"),
        )?;
        let address = process
            .wait_for_line("the address of its driver", START_DEADLINE, |line| {
                line.strip_prefix("WebDriver BiDi listening on ")
                    .map(str::to_owned)
            })
            .await?;
        let mut session = Session::begin(&address, process.log()).await?;
        let windows = session
            .call("browsingContext.getTree", json!({"moz:scope": "chrome"}))
            .await;
        let window = windows?["contexts"][0]["context"]
            .as_str()
            .context("Firefox has no window for scripts with system access")?
            .to_owned();
        Ok(Self {
            session: Mutex::new(session),
            process,
            _profile: profile,
            window,
        })
    }

    /// Has a notification do what the mouse would have it do. Firefox draws each as a window here,
    /// and `handler` is what that window calls.
    async fn at_notification(&self, title: &str, handler: &str) -> Result<()> {
        const CALL: &str = "(title, handler) => {
            for (const alert of Services.wm.getEnumerator('alert:alert')) {
                if (alert.document.getElementById('alertTitleLabel').value === title) {
                    alert[handler]();
                    return true;
                }
            }
            return false;
        }";
        let what = format!("the window of a notification {title:?}");
        let arguments = json!([title, handler]);
        eventually(&what, async || {
            let called = self.evaluate(&self.window, CALL, &arguments).await?;
            Ok(called.as_bool().filter(|called| *called))
        })
        .await
        .map(drop)
    }

    async fn wait_until_greeted(&self) -> Result<()> {
        // Firefox keeps the id that the push service's greeting gave it.
        const AGENT_ID: &str = "() => Services.prefs.getStringPref('dom.push.userAgentID', '')";
        let what = "the push service's greeting to Firefox";
        eventually_within(START_DEADLINE, what, async || {
            let id = self.evaluate(&self.window, AGENT_ID, &json!([])).await?;
            Ok(id.as_str().filter(|id| !id.is_empty()).map(drop))
        })
        .await
    }

    async fn watch_pushes(&self) -> Result<()> {
        const WATCH: &str = "() => {
            globalThis.tidingsPushes = [];
            const observe = (push) => {
                const { data } = push.QueryInterface(Ci.nsIPushMessage);
                tidingsPushes.push(data ? data.text() : null);
            };
            Services.obs.addObserver({ observe }, 'push-message');
        }";
        self.evaluate(&self.window, WATCH, &json!([]))
            .await
            .map(drop)
    }

    /// Calls a JavaScript function in a page or window, waits for its promise, if it returns one,
    /// and takes the result as JSON.
    async fn evaluate(&self, context: &str, function: &str, arguments: &Value) -> Result<Value> {
        let called = json!({
            "functionDeclaration": format!(
                "async (json) => JSON.stringify(await ({function})(...JSON.parse(json)) ?? null)"
            ),
            "arguments": [{"type": "string", "value": arguments.to_string()}],
            "awaitPromise": true,
            "target": {"context": context},
        });
        let outcome = self.call("script.callFunction", called).await?;
        if outcome["type"] == "exception" {
            let thrown = outcome["exceptionDetails"]["text"]
                .as_str()
                .unwrap_or("(no text)");
            bail!("{function} threw {thrown}");
        }
        let json = outcome["result"]["value"]
            .as_str()
            .context("a result that is not JSON")?;
        serde_json::from_str(json).context("the result of a script")
    }

    async fn call(&self, method: &str, parameters: Value) -> Result<Value> {
        self.session.lock().await.call(method, parameters).await
    }
}
