//! All faults at once, and a server that is killed in the middle again and again.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    got::{Got, reached, repeated},
    sizes::Sizes,
    stage::{Newcomers, PATIENCE, Stage, endpoints, until_done},
    tidings::{Tidings, notification},
    wait::eventually_within,
};

/// The rule among [`faults`] whose share of the subscriptions is gone.
const GONE_RULE: usize = 1;

/// So many answers at most are lost with a server that is killed, besides those that it waits for.
const UNRECORDED: usize = 256;

/// So many answers more may be on their way to a server that has little of the machine, or wait to be
/// sent again since the kill before: one for each of so many subscribers, at least the first and at most
/// the last.
const ONE_ON_ITS_WAY_IN: usize = 16;
const FEWEST_ON_THEIR_WAY: usize = 256;
const MOST_ON_THEIR_WAY: usize = 4_096;

fn faults() -> Value {
    json!([
        {"delay_ms": {"p50_ms": 20, "p99_ms": 400}, "continue": true},
        {"share": 0.01, "status": 410},
        {"probability": 0.10, "status": 429, "retry_after": "1"},
        {"probability": 0.05, "status": 503},
        {"probability": 0.02, "reset": true},
        {"probability": 0.01, "delay_ms": 3000},
    ])
}

#[tokio::test]
async fn whoever_is_not_gone_gets_the_message_however_often_the_server_is_killed() -> Result<()> {
    let sizes = Sizes::from_environment()?;
    eprintln!("{sizes:?}");
    let stage = Stage::set_up(&sizes).await?;
    let tidings = Tidings::start(&stage.settings).await?;
    let key = tidings.vapid_key().await?;
    let everybody = Newcomers {
        count: sizes.subscribers,
        services: "all",
        key: &key,
        prefix: "everybody",
    };
    stage.subscribe(&tidings, &everybody).await?;
    stage.sandbox.behave(&faults()).await?;

    let began = Instant::now();
    let broadcast = tidings.notify_all("For everybody").await?;
    // They come after the broadcast, so each of them gets one message, and that alone.
    let direct = Newcomers {
        count: (sizes.subscribers / 25).min(2_000),
        services: "all",
        key: &key,
        prefix: "direct",
    };
    stage.subscribe(&tidings, &direct).await?;
    let mut storm = Storm {
        stage,
        broadcast,
        direct,
        sent: Vec::new(),
        kills: Vec::new(),
        on_their_way: (sizes.subscribers / ONE_ON_ITS_WAY_IN)
            .clamp(FEWEST_ON_THEIR_WAY, MOST_ON_THEIR_WAY),
    };
    let tidings = storm.kill_at(tidings, &sizes.kill_points()).await?;
    while storm.send_direct(&tidings).await? {}
    let counts = until_done(&tidings, &storm.broadcast).await?;
    let took = began.elapsed();
    storm.check_direct(&tidings).await?;
    let all = Got::by_all(&storm.stage.sandbox).await?;
    storm.report(&all, took);
    let (everybody, direct) = all.split_at_checked(sizes.subscribers).context("too few")?;
    check_counts(&counts, everybody);
    for got in direct {
        assert_eq!(got.accepted > 0, !got.is_in_share(GONE_RULE), "{got:?}");
    }
    check_tombstones(&tidings, &all).await?;
    storm.check_kills(&all, sizes.restart);
    tidings.stop().await?;
    storm.stage.sandbox.end();
    Ok(())
}

struct Storm<'a> {
    stage: Stage,
    /// The id of the message for everybody.
    broadcast: String,
    /// Each of them is sent one message.
    direct: Newcomers<'a>,
    /// The ids of these messages, so far.
    sent: Vec<String>,
    kills: Vec<Kill>,
    on_their_way: usize,
}

/// What is known of one kill.
struct Kill {
    /// Messages that the push services had taken in.
    accepted: usize,
    /// At how many user agents the broadcast was of which nothing was written down: at least.
    unrecorded: usize,
    /// What they had taken in more than once.
    repeated: usize,
    /// POSTs that came to the push services and were not answered when the server was asked about
    /// for the last time, or came after that.
    in_flight: usize,
    /// How long it took from the start of the next server to its first POST.
    restart: Duration,
}

impl Storm<'_> {
    /// Kills the server whenever so many messages were taken in, and starts another one.
    async fn kill_at(&mut self, mut tidings: Tidings, points: &[usize]) -> Result<Tidings> {
        for point in points {
            while self.accepted().await? < *point {
                self.send_direct(&tidings).await?;
            }
            tidings = self.kill(tidings).await?;
        }
        Ok(tidings)
    }

    async fn kill(&mut self, tidings: Tidings) -> Result<Tidings> {
        let before = self.stage.sandbox.stats().await?;
        // Asked for later: what is written down in between makes the difference only smaller.
        let counts = tidings.message(&self.broadcast).await?["counts"].take();
        tidings.kill();
        let quiet = |stats: &Value| stats["in_flight"] == 0;
        let what = "the end of all connections";
        let after = self.stage.sandbox.stats_until(what, quiet).await?;
        let began = Instant::now();
        let tidings = Tidings::start(&self.stage.settings).await?;
        eventually_within(PATIENCE, "the first POST after the start", async || {
            let now = self.stage.sandbox.stats().await?;
            Ok((number(&now, "posts") > number(&after, "posts")).then_some(()))
        })
        .await?;
        let posts_since = number(&after, "posts") - number(&before, "posts");
        self.kills.push(Kill {
            accepted: number(&after, "accepted"),
            unrecorded: number(&before, "subscriptions_reached")
                .saturating_sub(self.sent.len() + number(&counts, "accepted")),
            repeated: number(&after, "accepted") - number(&after, "subscriptions_reached"),
            in_flight: number(&before, "in_flight") + posts_since,
            restart: began.elapsed(),
        });
        Ok(tidings)
    }

    async fn accepted(&self) -> Result<usize> {
        Ok(number(&self.stage.sandbox.stats().await?, "accepted"))
    }

    /// Sends the next direct message; false if there is nobody left.
    async fn send_direct(&mut self, tidings: &Tidings) -> Result<bool> {
        let next = self.sent.len();
        if next >= self.direct.count {
            return Ok(false);
        }
        let audience = json!({"users": [self.direct.user(next)]});
        let message = notification(&audience, "Only for you");
        self.sent.push(tidings.send(&message).await?);
        Ok(true)
    }

    /// Each direct message is for one person, who got it unless the subscription is gone.
    async fn check_direct(&self, tidings: &Tidings) -> Result<()> {
        for message in &self.sent {
            let counts = until_done(tidings, message).await?;
            let ended = number(&counts, "accepted") + number(&counts, "gone");
            assert_eq!((number(&counts, "targeted"), ended), (1, 1), "{counts}");
        }
        Ok(())
    }

    /// What the kills up to each one led to: what was taken in more than once until the next one,
    /// and what that may be. Not by single kills: what one of them cost may come again only after
    /// the next.
    fn consequences(&self, all: &[Got]) -> impl Iterator<Item = (&Kill, usize, usize)> {
        let later = self.kills.iter().skip(1).map(|kill| kill.repeated);
        let later = later.chain([repeated(all)]);
        let most = self.kills.iter().scan(0, |most, kill| {
            *most += kill.in_flight + UNRECORDED;
            Some(*most)
        });
        let kills = self.kills.iter().zip(later).zip(most);
        kills.map(|((kill, repeated), most)| (kill, repeated, most))
    }

    /// What is answered is soon written down, what was is not sent again, and the next server goes on
    /// in time.
    fn check_kills(&self, all: &[Got], limit: Option<Duration>) {
        let most_unrecorded = |kill: &Kill| kill.in_flight + UNRECORDED + self.on_their_way;
        let tells = |kill: &Kill| kill.accepted > most_unrecorded(kill);
        assert!(
            self.kills.iter().any(tells),
            "every kill came so early that all might have been lost: take more subscribers"
        );
        for (number, (kill, repeated, most)) in (1..).zip(self.consequences(all)) {
            let (unrecorded, at_most) = (kill.unrecorded, most_unrecorded(kill));
            assert!(
                unrecorded <= at_most,
                "{unrecorded} were not written down at kill {number}, not {at_most} at most"
            );
            assert!(
                repeated <= most,
                "{repeated} came again until the kill after kill {number}, not {most} at most"
            );
            let restart = kill.restart;
            assert!(
                limit.is_none_or(|limit| restart <= limit),
                "the first POST after kill {number} came {restart:.1?} after the start"
            );
        }
    }

    fn report(&self, all: &[Got], took: Duration) {
        for (number, (kill, repeated, most)) in (1..).zip(self.consequences(all)) {
            let Kill {
                accepted,
                unrecorded,
                in_flight,
                restart,
                ..
            } = kill;
            eprintln!(
                "kill {number}: at {accepted} taken in, {in_flight} in flight, {unrecorded} not \
                 written down; {repeated} came again so far (at most {most}); first POST \
                 {restart:.1?} after the start",
            );
        }
        eprintln!(
            "{} of {} user agents got it, {} messages more than once, {} direct messages, in \
             {took:.1?}",
            reached(all),
            all.len(),
            repeated(all),
            self.sent.len(),
        );
    }
}

/// The message's counts are those of the sandbox: distinct user agents that took it in, and those
/// that are gone.
fn check_counts(counts: &Value, audience: &[Got]) {
    let is_gone = |got: &&Got| got.is_in_share(GONE_RULE);
    let gone = audience.iter().filter(is_gone).count();
    assert!(gone > 0, "nobody is gone, so nothing is seen of it");
    for got in audience {
        let should = !got.is_in_share(GONE_RULE);
        assert_eq!(got.accepted > 0, should, "{got:?}");
    }
    let expected = json!({"targeted": audience.len(), "accepted": reached(audience), "gone": gone});
    for (name, count) in counts.as_object().into_iter().flatten() {
        let expected = expected[name].as_u64().unwrap_or_default();
        let is_about_browsers = ["shown", "clicked", "dismissed"].contains(&name.as_str());
        assert!(
            is_about_browsers || count.as_u64() == Some(expected),
            "{name}: {counts}, the sandbox has {expected}"
        );
    }
}

/// Those that are gone, and only they, are tombstones; or suspects, where they were too many.
async fn check_tombstones(tidings: &Tidings, all: &[Got]) -> Result<()> {
    let is_gone = |got: &&Got| got.is_in_share(GONE_RULE);
    let expected: BTreeSet<_> = all
        .iter()
        .filter(is_gone)
        .map(|got| got.endpoint.clone())
        .collect();
    let gone = endpoints(tidings, "gone").await?;
    let suspect = endpoints(tidings, "suspect").await?;
    eprintln!(
        "{} are gone: {} tombstones, {} suspects",
        expected.len(),
        gone.len(),
        suspect.len()
    );
    let buried: BTreeSet<_> = gone.into_iter().chain(suspect).collect();
    assert!(buried == expected, "{buried:?} instead of {expected:?}");
    Ok(())
}

pub(crate) fn number(object: &Value, name: &str) -> usize {
    let number = object[name].as_u64().unwrap_or_default();
    usize::try_from(number).unwrap_or(usize::MAX)
}
