//! Accepted is durable: what a server that is killed has promised, the next one keeps.

use std::collections::BTreeMap;

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::{
    sandbox::{Sandbox, message_id},
    tidings::{AT_ONCE, Counts, Registered, Settings, Tidings},
    wait::until,
};

const SUBSCRIPTIONS: usize = 2_000;
const DIRECT: usize = 40;

/// Of the direct messages, so many are answered before the kill …
const DIRECT_ANSWERED: usize = 8;

/// … and of the broadcast so many: taken, answered with 410, and answered with 400.
const ANSWERED: usize = 600;
const GONE: usize = 4;
const REFUSED: usize = 4;

/// All deliveries of the test, and those whose outcome is recorded at the kill.
const DELIVERIES: usize = SUBSCRIPTIONS + DIRECT;
const RECORDED: usize = DIRECT_ANSWERED + ANSWERED + GONE + REFUSED;

/// Withheld answers for which the kill waits: more than one connection carries.
const UNDER_WAY: u64 = 110;

#[tokio::test]
async fn after_a_sigkill_everything_arrives_and_nothing_recorded_is_posted_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start_with(&["--service", "mozilla=127.0.0.1:0"]).await?;
    let settings = Settings::below(folder.path()).believe(&sandbox).await?;

    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox
        .subscriptions_at(SUBSCRIPTIONS, "mozilla", &key)
        .await?;
    let everybody = tidings.register_all(&subscriptions).await?;
    let sent = Sent::until_part_is_recorded(&tidings, &sandbox, &everybody).await?;
    tidings.kill();
    let before = sandbox
        .stats_until("the end of all connections", |stats| {
            stats["in_flight"] == 0
        })
        .await?;
    check_that_most_is_unanswered(&before)?;
    let got_before = Got::by_all(&sandbox, &everybody).await?;

    sandbox.be_honest().await?;
    let tidings = Tidings::start(&settings).await?;
    sent.check_that_all_is_done(&tidings).await?;
    let after = sandbox.stats().await?;
    let unanswered = number(&before, "vanished");
    let posted = number(&after, "posts") - number(&before, "posts");
    let repeated = number(&after, "duplicates");
    eprintln!(
        "{DELIVERIES} deliveries. At the SIGKILL: {RECORDED} recorded, {unanswered} posted and \
         unanswered, the others not posted. After the restart: {posted} posted, {repeated} of \
         them once more",
    );
    assert_eq!(posted, u64::try_from(DELIVERIES - RECORDED)?);
    // What was on its way when the server was killed did not come whole.
    assert!((1..=unanswered).contains(&repeated), "{repeated}");
    let got_after = Got::by_all(&sandbox, &everybody).await?;
    sent.check_what_arrived(&got_before, &got_after);

    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

#[tokio::test]
async fn a_message_arrives_whose_server_was_killed_as_soon_as_it_had_accepted_it() -> Result<()> {
    const AUDIENCE: usize = 200;
    const KILLS: usize = 3;

    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start_with(&["--service", "mozilla=127.0.0.1:0"]).await?;
    let settings = Settings::below(folder.path()).believe(&sandbox).await?;
    let mut tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox
        .subscriptions_at(AUDIENCE + KILLS, "mozilla", &key)
        .await?;
    let (first, later) = subscriptions.split_at(AUDIENCE);
    let mut registered = tidings.register_all(first).await?;

    for newcomer in later {
        sandbox.behave(&json!({"withhold": true})).await?;
        // Whoever was registered before the message was accepted gets it, be it by a moment.
        let newcomer = tidings.register(newcomer).await?;
        let direct = tidings.notify(&newcomer, "Only for you").await?;
        let broadcast = tidings.notify_all("For everybody").await?;
        tidings.kill();
        sandbox.be_honest().await?;
        registered.push(newcomer.clone());

        tidings = Tidings::start(&settings).await?;
        let counts = [(&direct, 1), (&broadcast, registered.len())];
        for (message, expected) in counts {
            let counts = tidings.wait_until_done(message).await?;
            assert_eq!(counts, Counts::new(&[("accepted", expected)]));
        }
        for subscription in &registered {
            let got = Got::by(&sandbox, subscription).await?;
            assert_ne!(got.of(&broadcast), [], "a subscription was passed over");
        }
        assert_ne!(Got::by(&sandbox, &newcomer).await?.of(&direct), []);
    }
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

/// What was sent.
struct Sent {
    direct: Vec<String>,
    broadcast: String,
}

impl Sent {
    /// Sends everything, and waits until what is answered is recorded and as much as possible of
    /// the rest is under way.
    async fn until_part_is_recorded(
        tidings: &Tidings,
        sandbox: &Sandbox,
        everybody: &[Registered],
    ) -> Result<Self> {
        sandbox
            .behave(&json!([{"times": DIRECT_ANSWERED}, {"withhold": true}]))
            .await?;
        let mut direct = Vec::new();
        // Those whose turn for the broadcast comes last: none of them is gone by then.
        for registered in everybody.iter().skip(SUBSCRIPTIONS - DIRECT) {
            direct.push(tidings.notify(registered, "Only for you").await?);
        }
        let are_done = async || {
            let messages = direct.iter().map(|message| tidings.message(message));
            let messages = futures_util::future::try_join_all(messages).await?;
            let done = messages.iter().filter(|message| message["state"] == "done");
            Ok(done.count())
        };
        let what = "the first direct messages to be done";
        until(what, are_done, |done| *done == DIRECT_ANSWERED).await?;
        // Else the next rules would answer some of them.
        sandbox
            .stats_until("the other direct messages", |stats| {
                stats["withheld"] == DIRECT - DIRECT_ANSWERED
            })
            .await?;

        sandbox
            .behave(&json!([
                {"status": 410, "times": GONE},
                {"status": 400, "times": REFUSED},
                {"times": ANSWERED},
                {"withhold": true},
            ]))
            .await?;
        let broadcast = tidings.notify_all("For everybody").await?;
        let recorded = Counts::new(&[
            ("accepted", ANSWERED),
            ("gone", GONE),
            ("refused", REFUSED),
            ("pending", SUBSCRIPTIONS - ANSWERED - GONE - REFUSED),
        ]);
        tidings.wait_for_counts(&broadcast, &recorded).await?;
        sandbox
            .stats_until("withheld answers", |stats| {
                number(stats, "withheld") >= UNDER_WAY
            })
            .await?;
        Ok(Self { direct, broadcast })
    }

    async fn check_that_all_is_done(&self, tidings: &Tidings) -> Result<()> {
        for message in &self.direct {
            let counts = tidings.wait_until_done(message).await?;
            assert_eq!(counts, Counts::new(&[("accepted", 1)]));
        }
        let expected = Counts::new(&[
            ("accepted", SUBSCRIPTIONS - GONE - REFUSED),
            ("gone", GONE),
            ("refused", REFUSED),
        ]);
        assert_eq!(tidings.wait_until_done(&self.broadcast).await?, expected);
        Ok(())
    }

    /// Compares what each subscription had got at the kill with what it got in the end.
    fn check_what_arrived(&self, before: &[Got], after: &[Got]) {
        let mut without_broadcast = 0;
        for (index, (before, after)) in before.iter().zip(after).enumerate() {
            let direct = index.checked_sub(SUBSCRIPTIONS - DIRECT);
            let direct = direct.map(|index| &self.direct[index]);
            for message in direct.into_iter().chain([&self.broadcast]) {
                let before = before.of(message);
                assert!(before.len() < 2, "came more than once before the kill");
                // Unanswered counts as not recorded, and is sent again.
                let most = if before == [None] { 2 } else { 1 };
                let got = after.of(message).len();
                assert!(got <= most, "{most} times at most, not {got}");
                if message == &self.broadcast && got == 0 {
                    without_broadcast += 1;
                } else {
                    assert!(got > 0, "subscription {index} lacks a direct message");
                }
            }
        }
        // Those whose push service said so before the kill, and nobody else.
        assert_eq!(without_broadcast, GONE + REFUSED);
    }
}

/// The messages that a subscription got: the answer to each time that each came.
struct Got {
    answers: BTreeMap<String, Vec<Option<u64>>>,
}

impl Got {
    async fn by(sandbox: &Sandbox, registered: &Registered) -> Result<Self> {
        let mut answers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for message in sandbox.messages(&registered.subscription).await? {
            let id = message_id(&message).to_owned();
            answers
                .entry(id)
                .or_default()
                .push(message["answer"].as_u64());
        }
        Ok(Self { answers })
    }

    async fn by_all(sandbox: &Sandbox, everybody: &[Registered]) -> Result<Vec<Self>> {
        stream::iter(everybody)
            .map(|registered| Self::by(sandbox, registered))
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// The answers to one message, null where it was not answered.
    fn of(&self, message: &str) -> &[Option<u64>] {
        self.answers.get(message).map_or(&[], Vec::as_slice)
    }
}

fn check_that_most_is_unanswered(stats: &Value) -> Result<()> {
    let answered = number(stats, "answered");
    assert_eq!(answered, u64::try_from(RECORDED)?);
    assert!(
        number(stats, "vanished") >= UNDER_WAY,
        "too little was under way: {stats:#}"
    );
    let open = u64::try_from(DELIVERIES)? - answered;
    let share = open * 100 / u64::try_from(DELIVERIES)?;
    assert!(share >= 60, "only {share} % were unposted or unanswered");
    Ok(())
}

fn number(stats: &Value, name: &str) -> u64 {
    stats[name].as_u64().unwrap_or_default()
}
