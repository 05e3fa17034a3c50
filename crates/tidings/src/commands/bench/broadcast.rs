//! A message to everybody, watched through the API until its last outcome is recorded.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde_json::json;

use super::instant::{self, between};
use super::server::{self, Message};
use super::{Bench, Stage};
use crate::output;

/// How often it is looked at until its first POST has come and planning is over, and then.
const FIRST_POLL: Duration = Duration::from_millis(5);
const POLL: Duration = Duration::from_millis(100);
const CLOSE_POLL: Duration = Duration::from_millis(20);

/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);

/// How long nothing may happen.
const STALL_LIMIT: Duration = Duration::from_mins(1);

/// How far a broadcast is watched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// Until its last outcome is recorded.
    Done,
    /// Until so many are recorded as accepted.
    Accepted(u64),
}

/// What a broadcast took.
#[derive(Debug)]
pub(super) struct Broadcast {
    pub(super) answered_at: Timestamp,
    pub(super) done_at: Timestamp,
    /// From the request to the 202.
    pub(super) accepting: Duration,
    /// From the 202 until the audience was planned.
    pub(super) planning: Duration,
    /// From the 202 until the push service had the first message.
    pub(super) first_post: Duration,
    /// Processor time of the server's process, from before the request until all was recorded.
    pub(super) server_time: Duration,
    /// The same of the push service.
    pub(super) push_service_time: Duration,
    /// The server's high-water mark of resident memory before it.
    pub(super) peak_before_bytes: u64,
    /// The most that waited in the write-ahead log.
    pub(super) wal_peak_bytes: u64,
    /// The message in the end.
    pub(super) message: Message,
}

impl Broadcast {
    pub(super) fn run(stage: &Stage, bench: &Bench, beginning: &str, goal: Goal) -> Result<Self> {
        let peak_before_bytes = stage.server.process.peak_bytes()?;
        let server_before = stage.server.process.processor_time()?;
        let push_service_before = stage.push_service.process.processor_time()?;
        let message = server::message(&json!({"all": true}), beginning, bench.args.payload);
        let asked = Instant::now();
        let id = stage.server.send(&message)?;
        let answered = Instant::now();
        let answered_at = instant::now();
        let mut watch = Watch {
            stage,
            bench,
            goal,
            answered,
            planning: None,
            first_post: None,
            wal_peak_bytes: 0,
        };
        let message = match watch.until_reached(&id) {
            Ok(message) => message,
            Err(error) if bench.stop.is_cancelled() => return Err(error),
            Err(error) => {
                let failure = format!("did not send everything: {error:#}");
                return Err(stage.server.process.failure(&failure));
            }
        };
        let reached_at = instant::now();
        let server_after = stage.server.process.processor_time()?;
        let push_service_after = stage.push_service.process.processor_time()?;
        let sent = answered.elapsed();
        Ok(Self {
            answered_at,
            done_at: message.done_at.unwrap_or(reached_at),
            accepting: answered - asked,
            planning: watch.planning.unwrap_or(sent),
            first_post: watch.first_post.unwrap_or(sent),
            server_time: server_after.saturating_sub(server_before),
            push_service_time: push_service_after.saturating_sub(push_service_before),
            peak_before_bytes,
            wal_peak_bytes: watch.wal_peak_bytes,
            message,
        })
    }

    /// From the 202 to the last recorded outcome. Instants of the server are whole milliseconds.
    pub(super) fn sending(&self) -> Duration {
        between(self.answered_at, self.done_at).max(Duration::from_millis(1))
    }

    pub(super) fn per_second(&self, messages: u32) -> f64 {
        f64::from(messages) / self.sending().as_secs_f64()
    }

    /// The share of the time in which the push service was busy.
    pub(super) fn push_service_share(&self) -> f64 {
        self.push_service_time.as_secs_f64() / self.sending().as_secs_f64()
    }
}

impl Goal {
    fn is_reached(self, message: &Message) -> bool {
        matches!(self, Self::Accepted(count) if message.counts.accepted >= count)
    }
}

/// Somebody who looks at a message all the time.
struct Watch<'a> {
    stage: &'a Stage,
    bench: &'a Bench,
    goal: Goal,
    answered: Instant,
    planning: Option<Duration>,
    first_post: Option<Duration>,
    wal_peak_bytes: u64,
}

impl Watch<'_> {
    fn until_reached(&mut self, id: &str) -> Result<Message> {
        let mut told = Instant::now();
        let mut progress = Progress::new(self.answered);
        loop {
            if self.bench.stop.is_cancelled() {
                bail!("stopped");
            }
            let message = self.look(id)?;
            match message.state.as_str() {
                "done" => return Ok(message),
                _ if self.goal.is_reached(&message) => return Ok(message),
                "failed" | "cancelled" => bail!("the message's state is {}", message.state),
                _ => {}
            }
            progress.note(&message)?;
            if told.elapsed() >= TELL {
                told = Instant::now();
                output::say(&progress.in_words(&message));
            }
            thread::sleep(self.pause());
        }
    }

    fn pause(&self) -> Duration {
        match self.goal {
            _ if self.planning.is_none() || self.first_post.is_none() => FIRST_POLL,
            // When the last outcome was recorded is told by the server; when another was, is not.
            Goal::Accepted(_) => CLOSE_POLL,
            Goal::Done => POLL,
        }
    }

    fn look(&mut self, id: &str) -> Result<Message> {
        if self.first_post.is_none() && self.stage.push_service.stats()?.posts > 0 {
            self.first_post = Some(self.answered.elapsed());
        }
        let message = self.stage.server.message(id)?;
        if self.planning.is_none() && message.state != "planning" && message.state != "scheduled" {
            self.planning = Some(self.answered.elapsed());
        }
        self.wal_peak_bytes = self.wal_peak_bytes.max(self.stage.server.wal_bytes());
        Ok(message)
    }
}

/// Whether anything still happens, and how fast.
struct Progress {
    started: Instant,
    final_outcomes: u64,
    planned: u64,
    since: Instant,
}

impl Progress {
    fn new(started: Instant) -> Self {
        Self {
            started,
            final_outcomes: 0,
            planned: 0,
            since: started,
        }
    }

    fn note(&mut self, message: &Message) -> Result<()> {
        let counts = &message.counts;
        let planned = counts.targeted;
        let final_outcomes = planned.saturating_sub(counts.pending + counts.retrying);
        if (planned, final_outcomes) != (self.planned, self.final_outcomes) {
            self.planned = planned;
            self.final_outcomes = final_outcomes;
            self.since = Instant::now();
        } else if self.since.elapsed() > STALL_LIMIT {
            bail!("nothing happened for {} s", STALL_LIMIT.as_secs());
        }
        Ok(())
    }

    fn in_words(&self, message: &Message) -> String {
        let seconds = self.started.elapsed().as_secs().max(1);
        format!(
            "  {} of {} planned, {} a second",
            self.final_outcomes,
            message.counts.targeted,
            self.final_outcomes / seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Broadcast {
        /// One that went well.
        pub(in crate::commands::bench) fn of_500_in_two_seconds(push_service: Duration) -> Self {
            let message = serde_json::from_value(json!({
                "state": "done",
                "counts": {"targeted": 500, "pending": 0, "retrying": 0, "accepted": 500},
                "done_at": "2026-01-01T00:00:02.5Z",
            }));
            let message: Message = message.unwrap();
            Self {
                answered_at: "2026-01-01T00:00:00.5Z".parse().unwrap(),
                done_at: message.done_at.unwrap(),
                accepting: Duration::ZERO,
                planning: Duration::ZERO,
                first_post: Duration::ZERO,
                server_time: Duration::from_secs(1),
                push_service_time: push_service,
                peak_before_bytes: 0,
                wal_peak_bytes: 0,
                message,
            }
        }
    }

    #[test]
    fn throughput_is_from_the_202_to_the_last_outcome() {
        let broadcast = Broadcast::of_500_in_two_seconds(Duration::from_secs(1));
        assert!((broadcast.per_second(500) - 250.0).abs() < 1e-9);
        assert!((broadcast.push_service_share() - 0.5).abs() < 1e-9);
    }
}
