//! Told to end, a server finishes what is under way, records it, and leaves the rest for the next.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    sandbox::{Sandbox, Scheme},
    tidings::{Counts, Settings, Tidings},
};

/// How long the push service takes to answer.
const DELAY_MS: u64 = 1_000;

#[tokio::test]
async fn what_is_under_way_at_sigterm_is_finished_and_recorded() -> Result<()> {
    const AUDIENCE: usize = 100;

    let stopped = StoppedBroadcast::over(Scheme::Https, AUDIENCE, AUDIENCE).await?;
    let stats = &stopped.stats;
    assert_eq!(stats["answers"], json!({"201": AUDIENCE}));
    assert_eq!(stats["vanished"], 0);
    stopped.check_the_next_server(AUDIENCE).await
}

#[tokio::test]
async fn what_waits_for_a_connection_at_sigterm_is_left_for_the_next_server() -> Result<()> {
    // Over HTTP/1.1, 16 at a time: to finish them all would take longer than a server may take to
    // end, and what was cut off then would be sent twice.
    const AUDIENCE: usize = 300;
    const AT_ONCE: usize = 16;

    let stopped = StoppedBroadcast::over(Scheme::Http, AUDIENCE, AT_ONCE).await?;
    assert_eq!(stopped.stats["vanished"], 0, "some were cut off");
    stopped.check_the_next_server(AUDIENCE).await
}

/// A broadcast whose server was told to end in the middle of it.
struct StoppedBroadcast {
    sandbox: Sandbox,
    settings: Settings,
    _folder: tempfile::TempDir,
    message: String,
    /// What the sandbox had counted when the server had ended.
    stats: Value,
}

impl StoppedBroadcast {
    /// Stops the server as soon as so many answers are awaited.
    async fn over(scheme: Scheme, audience: usize, awaited: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let sandbox = Sandbox::start().await?;
        let settings = Settings::below(folder.path())
            .trust(&sandbox)
            .set("TIDINGS_PUSH_ALLOW_INSECURE", "true");
        let tidings = Tidings::start(&settings).await?;
        let key = tidings.vapid_key().await?;
        let subscriptions = sandbox.subscriptions(audience, scheme, &key).await?;
        tidings.register_all(&subscriptions).await?;
        sandbox.behave(&json!({"delay_ms": DELAY_MS})).await?;
        let message = tidings.notify_all("For everybody").await?;
        sandbox
            .stats_until("awaited answers", |stats| stats["in_flight"] == awaited)
            .await?;
        tidings.stop().await?;
        let stats = sandbox.stats().await?;
        Ok(Self {
            sandbox,
            settings,
            _folder: folder,
            message,
            stats,
        })
    }

    /// Checks that the next server completes the broadcast, and that nothing was posted twice.
    async fn check_the_next_server(self, audience: usize) -> Result<()> {
        self.sandbox.be_honest().await?;
        let tidings = Tidings::start(&self.settings).await?;
        let counts = tidings.wait_until_done(&self.message).await?;
        assert_eq!(counts, Counts::new(&[("accepted", audience)]));
        let stats = self.sandbox.stats().await?;
        assert_eq!(stats["posts"], audience);
        assert_eq!(stats["subscriptions_reached"], audience);
        tidings.stop().await?;
        self.sandbox.end();
        Ok(())
    }
}
