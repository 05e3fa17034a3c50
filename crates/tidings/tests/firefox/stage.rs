//! Everything that takes part: a browser, a site that a person visits with it, Tidings, and the
//! push service between them.

use anyhow::{Context, Result, ensure};
use tidings_webpush::VapidKey;

use crate::{
    browser::{Firefox, Page, browsers_are_skipped},
    sender::Sender,
    servers::{Sandbox, Tidings},
    site::{Address, Site},
};

pub(crate) struct Stage {
    pub(crate) firefox: Firefox,
    pub(crate) site: Site,
    pub(crate) tidings: Tidings,
    pub(crate) sandbox: Sandbox,
    vapid_key: VapidKey,
}

impl Stage {
    /// Starts everything; nothing, if there is to be no test in a browser.
    pub(crate) async fn set_up() -> Result<Option<Self>> {
        if browsers_are_skipped() {
            return Ok(None);
        }
        let vapid_key = VapidKey::generate()?;
        let address = Address::reserve().await?;
        let sandbox = Sandbox::start().await?;
        let tidings = Tidings::start(&vapid_key, address.origin()).await?;
        let site = address.serve(tidings.origin());
        let firefox = Firefox::start(&sandbox.websocket_url()).await?;
        Ok(Some(Self {
            firefox,
            site,
            tidings,
            sandbox,
            vapid_key,
        }))
    }

    /// Opens a page of the site, clicks its button and waits until the page says that the browser
    /// is subscribed.
    pub(crate) async fn subscribe(&self, path: &str) -> Result<Page<'_>> {
        const OUTCOME: &str = "() => document.querySelector('#outcome').textContent";
        let page = self.firefox.open(&self.site.url(path)).await?;
        page.click("#subscribe").await?;
        let outcome = page
            .wait_until("what came of the click", OUTCOME, |text| text != "")
            .await?;
        ensure!(outcome == "subscribed", "the page says {outcome}");
        Ok(page)
    }

    /// One who has the keys of the subscription of `page` and those of Tidings.
    pub(crate) async fn sender(&self, page: &Page<'_>) -> Result<Sender> {
        const SUBSCRIPTION: &str = "async () => {
            const { pushManager } = await navigator.serviceWorker.ready;
            return pushManager.getSubscription();
        }";
        let subscription = page.evaluate(SUBSCRIPTION).await?;
        Sender::new(self.vapid_key.clone(), &subscription)
    }

    /// The payload that Firefox decrypted last.
    pub(crate) async fn last_payload(&self) -> Result<String> {
        self.firefox
            .decrypted_pushes()
            .await?
            .pop()
            .context("no push was decrypted")
    }

    /// Ends everything in order; what is dropped without it tells its last words, for the reader of
    /// a failed test.
    pub(crate) async fn take_down(self) -> Result<()> {
        self.firefox.close().await?;
        let failures = self.sandbox.worker_failures().await?;
        ensure!(
            failures.is_empty(),
            "a worker threw at a push: {failures:?}"
        );
        self.tidings.end();
        self.sandbox.end();
        Ok(())
    }
}
