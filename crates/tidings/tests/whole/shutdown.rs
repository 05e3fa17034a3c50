//! Told to end, a server finishes what is under way, records it, and leaves the rest for the next.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::{
    sandbox::{Sandbox, Scheme},
    tidings::{Counts, Settings, Tidings, terminate},
    wait::DEADLINE,
};

/// How long the push service takes to answer.
const DELAY_MS: u64 = 1_000;

#[tokio::test]
async fn what_is_under_way_at_sigterm_is_finished_and_recorded() -> Result<()> {
    // As many as one of the push services that anybody may name gets at once, when it has answered.
    const AUDIENCE: usize = 12;

    let stopped = StoppedBroadcast::over(Scheme::Https, AUDIENCE, AUDIENCE).await?;
    let stats = &stopped.stats;
    assert_eq!(stats["answers"], json!({"201": 2 * AUDIENCE}));
    assert_eq!(stats["vanished"], 0);
    stopped.check_the_next_server(AUDIENCE).await
}

#[tokio::test]
async fn what_waits_for_a_connection_at_sigterm_is_left_for_the_next_server() -> Result<()> {
    // Over HTTP/1.1, 12 at a time: to finish them all would take longer than a server may take to
    // end, and what was cut off then would be sent twice.
    const AUDIENCE: usize = 300;
    const AT_ONCE: usize = 12;

    let stopped = StoppedBroadcast::over(Scheme::Http, AUDIENCE, AT_ONCE).await?;
    assert_eq!(stopped.stats["vanished"], 0, "some were cut off");
    stopped.check_the_next_server(AUDIENCE).await
}

/// What there is to forget is some seconds of work, in many short transactions.
#[tokio::test]
async fn a_server_does_not_end_its_sweep_before_it_ends() -> Result<()> {
    const ROWS: u32 = 1_000_000;

    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    Tidings::start(&settings).await?.stop().await?;
    let database = settings.data_folder().join("tidings.sqlite3");
    let file = rusqlite::Connection::open(&database)?;
    let sql = "
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
        INSERT INTO answer_slots (application_id, push_service, starts_at, answers, gone)
        SELECT 1, 'fcm', n, 1, 0
        FROM numbers";
    file.execute(sql, [ROWS])?;
    drop(file);
    Tidings::start(&settings).await?.stop().await?;
    let file = rusqlite::Connection::open(&database)?;
    let sql = "SELECT count(*) FROM answer_slots";
    let left: u32 = file.query_row(sql, (), |row| row.get(0))?;
    ensure!(left > 0, "it was not stopped before all was forgotten");
    Ok(())
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_any_more_still_ends_in_order() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let mut server = Command::from(settings.command("serve"))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let log = server.stderr.take().context("no log")?;
    let mut log = BufReader::new(log).lines();
    while let Some(line) = log.next_line().await? {
        if line.contains("listening on") {
            break;
        }
    }
    drop(log);
    terminate(server.id().context("it has ended")?)?;
    let ended = timeout(DEADLINE, server.wait()).await;
    let ended = ended.context("it did not end")??;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

/// A broadcast whose server was told to end in the middle of it. Everybody got one before: a push
/// service that never answered gets less at once.
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
        let first = tidings.notify_all("For everybody, before").await?;
        tidings.wait_until_done(&first).await?;
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
        assert_eq!(stats["posts"], 2 * audience);
        assert_eq!(stats["subscriptions_reached"], audience);
        tidings.stop().await?;
        self.sandbox.end();
        Ok(())
    }
}
