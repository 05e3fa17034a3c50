//! Messages to single subscribers while a broadcast runs: how long each takes to the push service.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Stage;
use super::broadcast::Broadcast;
use super::instant::{self, between, milliseconds};
use super::server::{self, Server};

/// How many different subscribers get them: few enough to register one by one.
const RECIPIENTS: u32 = 100;

/// Requests that may be under way at once, so that a slow one does not make the next ones late.
const SENDERS: usize = 8;

/// One that is asked for later than this counts from when it should have been.
const LATE: Duration = Duration::from_millis(100);

/// If more than one in a hundred is asked for later than this, whoever reads the figures has to know.
const REMARKABLY_LATE: Duration = Duration::from_millis(20);

/// How long after a request the push service is asked for it, so that asking does not hinder.
const ASK_AFTER: Duration = Duration::from_millis(250);

/// How long the push service may not have it.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);

/// A subscriber that the server knows by an id, and the push service by a token.
pub(super) struct Recipient {
    id: String,
    token: String,
}

/// How many are sent, and over which time.
pub(super) struct Plan {
    pub(super) count: u32,
    pub(super) payload: u32,
    pub(super) over: Duration,
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    asked: Asked,
    /// When the push service had it.
    received_at: Timestamp,
}

/// When a message should have been asked for, and when it was.
#[derive(Debug, Clone, Copy)]
struct Asked {
    due_at: Timestamp,
    at: Timestamp,
}

/// What direct messages took.
#[derive(Debug)]
pub(super) struct DirectMessages {
    /// From request to POST, in order.
    latencies: Vec<Duration>,
    /// How many were really asked for before the broadcast was done.
    pub(super) during_broadcast: usize,
    /// How many were asked for remarkably late, and how late the last of all was.
    pub(super) late: usize,
    pub(super) latest: Duration,
    pub(super) broadcast: Duration,
}

/// Registers the first subscribers of a file one by one, as many as are needed.
pub(super) fn register(server: &Server, file: &Path, messages: u32) -> Result<Vec<Recipient>> {
    let lines = BufReader::new(File::open(file)?).lines();
    let wanted = usize::try_from(messages.min(RECIPIENTS))?;
    lines
        .take(wanted)
        .map(|line| {
            let subscription: Value = serde_json::from_str(&line?)?;
            let token = subscription
                .get("endpoint")
                .and_then(Value::as_str)
                .and_then(|endpoint| endpoint.rsplit('/').next())
                .context("the push service made a subscription without endpoint")?
                .to_owned();
            let id = server.register(&subscription)?;
            Ok(Recipient { id, token })
        })
        .collect()
}

/// How many of the messages reach subscribers that decrypt.
pub(super) fn decrypted(plan: &Plan, recipients: usize, decrypt_one_in: u64) -> u64 {
    let recipients = u64::try_from(recipients).unwrap_or(u64::MAX).max(1);
    let to_decrypting = (0..u64::from(plan.count))
        .filter(|number| (number % recipients).is_multiple_of(decrypt_one_in));
    to_decrypting.map(|_| 1).sum()
}

/// Sends them all, evenly, and asks the push service when it had each.
pub(super) fn send(
    stage: &Stage,
    plan: &Plan,
    recipients: &[Recipient],
    stop: &CancellationToken,
) -> Result<Vec<Sent>> {
    let work = Work {
        stage,
        plan,
        recipients,
        stop,
        begun: Instant::now(),
        next: AtomicU32::new(0),
        waiting: Mutex::default(),
    };
    thread::scope(|threads| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| threads.spawn(|| work.ask_server()))
            .collect();
        let collected = work.collect();
        if collected.is_err() {
            // Whoever has not begun need not.
            work.next.store(plan.count, Ordering::Relaxed);
        }
        for sender in senders {
            sender
                .join()
                .map_err(|_| anyhow!("a thread that sends direct messages broke off"))??;
        }
        collected
    })
}

/// A message that the server took.
struct Waiting<'a> {
    recipient: &'a Recipient,
    topic: String,
    asked: Asked,
    answered: Instant,
}

struct Work<'a> {
    stage: &'a Stage,
    plan: &'a Plan,
    recipients: &'a [Recipient],
    stop: &'a CancellationToken,
    begun: Instant,
    next: AtomicU32,
    waiting: Mutex<VecDeque<Waiting<'a>>>,
}

impl<'a> Work<'a> {
    /// Sends one after the other when its turn has come, until all were sent.
    fn ask_server(&self) -> Result<()> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.plan.count || self.stop.is_cancelled() {
                return Ok(());
            }
            let slot = self
                .plan
                .over
                .mul_f64(f64::from(number) / f64::from(self.plan.count));
            thread::sleep(slot.saturating_sub(self.begun.elapsed()));
            if let Err(error) = self.ask_for(number, slot) {
                // So that nobody waits for it.
                self.next.store(self.plan.count, Ordering::Relaxed);
                return Err(error);
            }
        }
    }

    fn ask_for(&self, number: u32, slot: Duration) -> Result<()> {
        let place = usize::try_from(number)? % self.recipients.len().max(1);
        let recipient = self
            .recipients
            .get(place)
            .context("there is no recipient")?;
        let topic = format!("direct{number:06}");
        let audience = json!({"subscriptions": [recipient.id]});
        let mut message = server::message(&audience, &topic, self.plan.payload);
        if let Some(members) = message.as_object_mut() {
            members.insert("topic".to_owned(), topic.as_str().into());
            members.insert("urgency".to_owned(), "high".into());
        }
        let late = self.begun.elapsed().saturating_sub(slot);
        let at = instant::now();
        let asked = Asked {
            due_at: at - late,
            at,
        };
        self.stage.server.send(&message)?;
        self.waiting().push_back(Waiting {
            recipient,
            topic,
            asked,
            answered: Instant::now(),
        });
        Ok(())
    }

    /// Asks the push service for each.
    fn collect(&self) -> Result<Vec<Sent>> {
        let count = usize::try_from(self.plan.count)?;
        let mut sent = Vec::with_capacity(count);
        let mut progress = Instant::now();
        while sent.len() < count {
            if self.stop.is_cancelled() {
                bail!("stopped");
            }
            let Some(waiting) = self.first_of_age() else {
                if progress.elapsed() > GIVE_UP_AFTER {
                    bail!(
                        "only {} of {count} direct messages could be sent",
                        sent.len()
                    );
                }
                thread::sleep(ASK_AFTER / 10);
                continue;
            };
            let push_service = &self.stage.push_service;
            match push_service.received_at(&waiting.recipient.token, &waiting.topic)? {
                Some(received_at) => {
                    progress = Instant::now();
                    sent.push(Sent {
                        asked: waiting.asked,
                        received_at,
                    });
                }
                None if waiting.answered.elapsed() > GIVE_UP_AFTER => {
                    bail!(
                        "the push service never got a direct message ({}), or has forgotten it: \
                         take less --direct, or more --subscribers",
                        waiting.topic
                    )
                }
                None => self.waiting().push_back(waiting),
            }
        }
        Ok(sent)
    }

    fn first_of_age(&self) -> Option<Waiting<'a>> {
        let mut waiting = self.waiting();
        let of_age = waiting.front()?.answered.elapsed() >= ASK_AFTER;
        of_age.then(|| waiting.pop_front()).flatten()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting<'a>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn late(&self) -> Duration {
        between(self.due_at, self.at)
    }
}

impl Sent {
    fn latency(&self) -> Duration {
        let from = if self.asked.late() > LATE {
            self.asked.due_at
        } else {
            self.asked.at
        };
        between(from, self.received_at)
    }
}

impl DirectMessages {
    pub(super) fn new(sent: &[Sent], broadcast: &Broadcast) -> Self {
        let mut latencies: Vec<_> = sent.iter().map(Sent::latency).collect();
        latencies.sort_unstable();
        let during = sent.iter().filter(|sent| sent.asked.at < broadcast.done_at);
        let late = || sent.iter().map(|sent| sent.asked.late());
        Self {
            latencies,
            during_broadcast: during.count(),
            late: late().filter(|late| *late > REMARKABLY_LATE).count(),
            latest: late().max().unwrap_or_default(),
            broadcast: broadcast.sending(),
        }
    }

    /// What has to be known if this command could not keep its own pace.
    pub(super) fn remark(&self) -> Option<String> {
        (self.late * 100 > self.count()).then(|| {
            format!(
                "this command was late itself in asking for {} of {} direct messages, by {:.0} ms at \
                 most, and where that was more than {} ms it is part of their latency: take less \
                 --direct, or more --subscribers",
                self.late,
                self.count(),
                milliseconds(self.latest),
                LATE.as_millis(),
            )
        })
    }

    pub(super) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that so many of a hundred did not exceed (nearest rank).
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        let place = rank.saturating_sub(1);
        self.latencies.get(place).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let direct = |count: u64| DirectMessages {
            latencies: (1..=count).map(Duration::from_millis).collect(),
            during_broadcast: 0,
            late: 0,
            latest: Duration::ZERO,
            broadcast: Duration::ZERO,
        };
        let of = |count, percent| direct(count).percentile(percent).as_millis();
        assert_eq!(
            [of(500, 50), of(500, 99), of(500, 100), of(1, 50), of(3, 50)],
            [250, 495, 500, 1, 2]
        );
        assert_eq!(of(0, 99), 0);
    }

    /// A hundred, of which some are asked for so late that the broadcast is done by then, or a
    /// little late.
    fn direct_of_which(late: usize, by: Duration) -> DirectMessages {
        let broadcast = Broadcast::of_500_in_two_seconds(Duration::ZERO);
        let due_at = broadcast.done_at - Duration::from_millis(500);
        let sent = (0..100).map(|number| {
            let late = if number < late { by } else { Duration::ZERO };
            let at = due_at + late;
            Sent {
                asked: Asked { due_at, at },
                received_at: at + Duration::from_millis(10),
            }
        });
        DirectMessages::new(&sent.collect::<Vec<_>>(), &broadcast)
    }

    #[test]
    fn what_is_asked_for_after_a_broadcast_is_not_during_it() {
        let direct = direct_of_which(30, Duration::from_millis(600));
        assert_eq!(direct.during_broadcast, 70);
        assert_eq!(direct.percentile(50).as_millis(), 10);
        let most = direct.percentile(100).as_millis();
        assert_eq!(most, 610, "who is late counts from when it was due");
    }

    #[test]
    fn a_command_that_is_late_itself_says_so() {
        let remark = direct_of_which(2, Duration::from_millis(600))
            .remark()
            .unwrap();
        assert!(
            remark.contains("for 2 of 100 direct messages, by 600 ms"),
            "{remark}"
        );
        let a_little = direct_of_which(2, Duration::from_millis(50));
        assert_eq!(a_little.percentile(100).as_millis(), 10);
        assert!(
            a_little.remark().is_some(),
            "although it is no part of any latency"
        );
        for (late, by) in [(1, 600), (100, 15)] {
            let direct = direct_of_which(late, Duration::from_millis(by));
            assert_eq!(direct.remark(), None, "{late} by {by} ms");
        }
    }

    #[test]
    fn messages_to_subscribers_that_decrypt_are_counted() {
        let plan = |count| Plan {
            count,
            payload: 200,
            over: Duration::ZERO,
        };
        // Of a hundred recipients the first decrypts, and gets every hundredth message.
        assert_eq!(decrypted(&plan(500), 100, 100), 5);
        assert_eq!(decrypted(&plan(501), 100, 100), 6);
        assert_eq!(decrypted(&plan(5), 5, 1), 5);
        // Numbers 0 and 2 of three recipients, twice each, and number 0 once more.
        assert_eq!(decrypted(&plan(7), 3, 2), 5);
    }
}
