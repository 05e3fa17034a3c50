//! One tab of the browser.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Firefox;
use crate::wait::until;

/// Finds an element, also in shadow trees.
const FIND: &str = "(selector) => selector.split(' >> ').reduce(
    (root, part) => (root?.shadowRoot ?? root)?.querySelector(part), document)";

/// A tab. It stays open when this is dropped.
pub(crate) struct Page<'a> {
    firefox: &'a Firefox,
    context: String,
}

/// A notification on the screen, as `ServiceWorkerRegistration.getNotifications()` tells it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Notification {
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) data: Value,
}

impl<'a> Page<'a> {
    pub(super) fn new(firefox: &'a Firefox, context: &str) -> Self {
        Self {
            firefox,
            context: context.to_owned(),
        }
    }

    /// Loads `url` and waits until it has loaded.
    pub(crate) async fn navigate(&self, url: &str) -> Result<()> {
        let parameters = json!({"context": self.context, "url": url, "wait": "complete"});
        self.firefox
            .call("browsingContext.navigate", parameters)
            .await
            .map(drop)
    }

    /// Calls a JavaScript function in the page, waits for its promise and takes the result as JSON.
    pub(crate) async fn evaluate(&self, function: &str) -> Result<Value> {
        self.firefox
            .evaluate(&self.context, function, &json!([]))
            .await
    }

    /// Waits until a JavaScript function in the page returns what `expected` accepts.
    pub(crate) async fn wait_until(
        &self,
        what: &str,
        function: &str,
        expected: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let found = until(what, async || self.evaluate(function).await, expected).await;
        match found {
            Ok(value) => Ok(value),
            Err(error) => {
                let shot = self.screenshot("failure").await?;
                Err(error.context(format!("the page looked like {}", shot.display())))
            }
        }
    }

    /// Clicks the middle of an element with the mouse, which is a gesture of the user to the page.
    /// Waits until it can be seen; `HOST >> SELECTOR` is one in the shadow tree of another.
    pub(crate) async fn click(&self, selector: &str) -> Result<()> {
        self.wait_until_visible(selector).await?;
        let find = json!({
            "functionDeclaration": FIND,
            "arguments": [{"type": "string", "value": selector}],
            "awaitPromise": false,
            "target": {"context": self.context},
        });
        let found = self.firefox.call("script.callFunction", find).await?;
        let element = found["result"]["sharedId"]
            .as_str()
            .with_context(|| format!("the page has no element {selector}"))?;
        let click = json!({
            "context": self.context,
            "actions": [{
                "type": "pointer",
                "id": "mouse",
                "actions": [
                    {
                        "type": "pointerMove",
                        "x": 0,
                        "y": 0,
                        "origin": {"type": "element", "element": {"sharedId": element}},
                    },
                    {"type": "pointerDown", "button": 0},
                    {"type": "pointerUp", "button": 0},
                ],
            }],
        });
        self.firefox
            .call("input.performActions", click)
            .await
            .map(drop)
    }

    /// Waits until one notification with this title is on the screen.
    pub(crate) async fn wait_for_notification(&self, title: &str) -> Result<Notification> {
        let what = format!("a notification {title:?}");
        let with_title = |shown: &Notification| shown.title == title;
        let shown = async || self.notifications().await;
        let mut shown = until(&what, shown, |all| all.iter().any(with_title)).await?;
        shown.retain(with_title);
        match shown.as_slice() {
            [one] => Ok(one.clone()),
            more => bail!("not one notification {title:?} is on the screen: {more:?}"),
        }
    }

    /// Waits until notifications with these titles, in alphabetical order, and no others are on the
    /// screen.
    pub(crate) async fn wait_for_screen_with(&self, titles: &[&str]) -> Result<()> {
        let on_screen = async || {
            let shown = self.notifications().await?.into_iter();
            let mut titles: Vec<_> = shown.map(|notification| notification.title).collect();
            titles.sort();
            Ok(titles)
        };
        let what = format!("the notifications {titles:?} alone");
        until(&what, on_screen, |on_screen| on_screen == titles)
            .await
            .map(drop)
    }

    /// Waits until an element is there and can be seen.
    async fn wait_until_visible(&self, selector: &str) -> Result<()> {
        let visible = format!("() => ({FIND})({})?.checkVisibility()", json!(selector));
        let what = format!("{selector} to be seen");
        self.wait_until(&what, &visible, |visible| *visible == true)
            .await
            .map(drop)
    }

    /// The notifications of this site that are on the screen.
    async fn notifications(&self) -> Result<Vec<Notification>> {
        const NOTIFICATIONS: &str = "async () => {
            const registration = await navigator.serviceWorker.ready;
            const shown = await registration.getNotifications();
            return shown.map(({ title, body, data }) => ({ title, body, data }));
        }";
        serde_json::from_value(self.evaluate(NOTIFICATIONS).await?).context("the notifications")
    }

    /// Writes what the tab shows to a PNG file in the build's folder for test output.
    async fn screenshot(&self, name: &str) -> Result<PathBuf> {
        let parameters = json!({"context": self.context});
        let shot = self
            .firefox
            .call("browsingContext.captureScreenshot", parameters)
            .await?;
        let image = BASE64_STANDARD.decode(shot["data"].as_str().context("no image")?)?;
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("firefox-{name}.png"));
        fs::write(&file, image).with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    }
}
