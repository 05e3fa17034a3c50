//! Other people's senders, from their own keys to the screen, over TLS all the way.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    browser::{Firefox, Page, browsers_are_skipped},
    other_senders::{KeyMaker, KeyPair, Peers, Push, Sender},
    servers::Sandbox,
    site::{Address, Site},
};

#[tokio::test]
async fn what_the_command_web_push_sends_is_shown() -> Result<()> {
    is_shown(Sender::WebPushCommand, KeyMaker::WebPush).await
}

#[tokio::test]
async fn what_the_command_pywebpush_sends_is_shown() -> Result<()> {
    is_shown(Sender::PywebpushCommand, KeyMaker::PyVapid).await
}

#[tokio::test]
async fn what_the_library_pywebpush_sends_is_shown() -> Result<()> {
    is_shown(Sender::PywebpushLibrary, KeyMaker::Tidings).await
}

/// With a key of `maker`, in both encodings.
async fn is_shown(sender: Sender, maker: KeyMaker) -> Result<()> {
    let Some(stage) = Stage::set_up().await? else {
        return Ok(());
    };
    let key = stage.peers.make_key(maker).await?;
    let page = stage.open(&key).await?;
    let subscription = stage.subscribe(&page).await?;
    let endpoint = subscription["endpoint"].as_str().context("no endpoint")?;
    assert!(endpoint.starts_with("https://"), "{endpoint}");

    let mut sent = Vec::new();
    for encoding in ["aes128gcm", "aesgcm"] {
        let notification = json!({
            "title": format!("Rye in {encoding}"),
            "body": "Zwölf Brote — 🍞",
            "requireInteraction": true,
        });
        let payload = json!({"notification": notification}).to_string();
        let push = Push {
            subscription: &subscription,
            key: &key,
            encoding,
            payload: &payload,
        };
        stage.peers.send(sender, &push).await?;
        let title = notification["title"].as_str().context("no title")?;
        let shown = page.wait_for_notification(title).await?;
        assert_eq!(shown.body, "Zwölf Brote — 🍞");
        sent.push(payload);
    }
    assert_eq!(stage.firefox.decrypted_pushes().await?, sent);
    stage.sandbox.wait_for_acks(100, 2).await?;
    stage.take_down().await
}

/// All who take part where there is no Tidings server.
struct Stage {
    firefox: Firefox,
    site: Site,
    sandbox: Sandbox,
    peers: Peers,
}

impl Stage {
    /// Starts everything; nothing, if there is to be no such test.
    async fn set_up() -> Result<Option<Self>> {
        if browsers_are_skipped() {
            return Ok(None);
        }
        let sandbox = Sandbox::start().await?;
        let Some(peers) = Peers::find(Some(sandbox.ca_file()))? else {
            return Ok(None);
        };
        let site = Address::reserve().await?.serve("");
        let url = sandbox.secure_websocket_url();
        let firefox = Firefox::start_trusting(&sandbox.ca_file(), &url).await?;
        Ok(Some(Self {
            firefox,
            site,
            sandbox,
            peers,
        }))
    }

    /// Opens the page that subscribes with a key.
    async fn open(&self, key: &KeyPair) -> Result<Page<'_>> {
        let url = self.site.url("/any-server");
        self.firefox.open(&format!("{url}#{}", key.public)).await
    }

    /// Clicks the page's button and takes the subscription that it shows.
    async fn subscribe(&self, page: &Page<'_>) -> Result<Value> {
        const OUTCOME: &str =
            "() => JSON.parse(document.querySelector('#outcome').textContent || 'null')";
        page.click("#subscribe").await?;
        page.wait_until("a subscription", OUTCOME, |outcome| !outcome.is_null())
            .await
    }

    async fn take_down(self) -> Result<()> {
        self.firefox.close().await?;
        self.sandbox.end();
        Ok(())
    }
}
