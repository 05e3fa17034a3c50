//! A database that cannot be written to, for a while: because there is no room, or because another
//! process has it locked. What was answered meanwhile is neither lost nor sent again.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    got::{Got, reached, repeated},
    sizes::Sizes,
    stage::{Newcomers, Stage, until_done},
    tidings::{Settings, Tidings, notification},
    wait::{eventually, until},
};

const SUBSCRIBERS: usize = 2_000;

/// Answers that wait when the trouble begins.
const UNDER_WAY: u64 = 60;

#[tokio::test]
async fn while_there_is_no_room_nothing_is_lost_or_sent_twice() -> Result<()> {
    let middle = Middle::of_a_broadcast().await?;
    middle.limit_files("0")?;
    middle.go_on_until_it_complains().await?;
    middle.limit_files("unlimited")?;
    middle.check_that_all_have_it_once().await
}

#[tokio::test]
async fn while_another_process_locks_the_database_nothing_is_lost_or_sent_twice() -> Result<()> {
    let middle = Middle::of_a_broadcast().await?;
    let file = middle.stage.settings.data_folder().join("tidings.sqlite3");
    let other = rusqlite::Connection::open(file)?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    middle.go_on_until_it_complains().await?;
    other.execute_batch("ROLLBACK")?;
    middle.check_that_all_have_it_once().await
}

/// A broadcast of which many POSTs wait for their answers.
struct Middle {
    stage: Stage,
    tidings: Tidings,
    broadcast: String,
}

impl Middle {
    async fn of_a_broadcast() -> Result<Self> {
        let stage = Stage::set_up(&Sizes::from_environment()?).await?;
        let tidings = start(&stage.settings).await?;
        let newcomers = Newcomers {
            count: SUBSCRIBERS,
            services: "all",
            key: &tidings.vapid_key().await?,
            prefix: "everybody",
        };
        stage.subscribe(&tidings, &newcomers).await?;
        stage.sandbox.behave(&json!({"withhold": true})).await?;
        let broadcast = tidings.notify_all("For everybody").await?;
        stage
            .sandbox
            .stats_until("withheld answers", |stats| {
                stats["withheld"].as_u64() >= Some(UNDER_WAY)
            })
            .await?;
        Ok(Self {
            stage,
            tidings,
            broadcast,
        })
    }

    /// Lets the server write files up to this size from now on, as if the disk had no more room.
    fn limit_files(&self, size: &str) -> Result<()> {
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", self.tidings.process.id()))
            .arg(format!("--fsize={size}:unlimited"))
            .status()
            .context("prlimit, of util-linux")?;
        ensure!(status.success(), "prlimit ended with {status}");
        Ok(())
    }

    /// Lets the answers go, and waits until the server says what is wrong, wherever it is asked.
    async fn go_on_until_it_complains(&self) -> Result<()> {
        self.stage.sandbox.be_honest().await?;
        let log = self.tidings.log();
        let complaint = eventually("a complaint in the log", async || {
            let lines = log.lines();
            let complaint = |line: &&String| line.contains("cannot be written to the database");
            Ok(lines.iter().find(complaint).cloned())
        })
        .await?;
        eprintln!("{complaint}");
        let ready = async || self.status(Method::GET, "/readyz").await;
        let not_now = |status: &StatusCode| *status == StatusCode::SERVICE_UNAVAILABLE;
        until("/readyz to be 503", ready, not_now).await?;
        self.until_alert(true).await?;
        // Nobody is told that a message is accepted which is not.
        let send = self.status(Method::POST, "/v1/messages").await?;
        ensure!(!send.is_success(), "accepted: {send}");
        let got = Got::by_all(&self.stage.sandbox).await?;
        assert!(reached(&got) < SUBSCRIBERS, "sending went on regardless");
        Ok(())
    }

    /// Waits until `/v1/alerts` says that nothing can be written, or no longer says it.
    async fn until_alert(&self, expected: bool) -> Result<()> {
        let is_told = async || {
            let alerts = self.tidings.api().get("/v1/alerts").await?;
            let mut alerts = alerts["items"].as_array().into_iter().flatten();
            Ok(alerts.any(|alert| alert["kind"] == "outcomes_not_recorded"))
        };
        let what = format!("an alert: {expected}");
        until(&what, is_told, |told| *told == expected).await?;
        Ok(())
    }

    async fn status(&self, method: Method, path: &str) -> Result<StatusCode> {
        let message = notification(&json!({"users": ["everybody-0"]}), "For you");
        let body = (method == Method::POST).then_some(&message);
        Ok(self.tidings.api().ask(method, path, body).await?.status())
    }

    async fn check_that_all_have_it_once(self) -> Result<()> {
        let counts = until_done(&self.tidings, &self.broadcast).await?;
        assert_eq!(counts["accepted"], SUBSCRIBERS, "{counts}");
        let got = Got::by_all(&self.stage.sandbox).await?;
        assert_eq!((reached(&got), repeated(&got)), (SUBSCRIBERS, 0));
        self.until_alert(false).await?;
        self.tidings.stop().await?;
        self.stage.sandbox.end();
        Ok(())
    }
}

/// Starts the server with the signal ignored that ends whoever writes past the limit for files.
async fn start(settings: &Settings) -> Result<Tidings> {
    let serve = settings.command("serve");
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(serve.get_program())
        .args(serve.get_args());
    if let Some(folder) = serve.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Tidings::run(settings, &mut command).await
}
