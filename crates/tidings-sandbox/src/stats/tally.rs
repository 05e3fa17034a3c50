use std::sync::Arc;

use http::StatusCode;

use super::Stats;
use crate::connections::{Connection, Protocol};

/// One POST, counted from its first octet to its answer.
///
/// A tally that is dropped without answer or reset stands for a client that went away: the
/// server drops the handler of a request whose connection or stream ended.
pub(crate) struct Tally {
    stats: Arc<Stats>,
    connection: Arc<Connection>,
    protocol: Protocol,
    on_connection: u64,
    progress: Progress,
}

#[derive(PartialEq, Eq)]
enum Progress {
    Arriving,
    Received,
    Withheld,
    Done,
}

impl Tally {
    pub(super) fn begin(
        stats: Arc<Stats>,
        connection: Arc<Connection>,
        protocol: Protocol,
    ) -> Self {
        let on_connection = connection.begin_post();
        stats.in_flight.increment();
        Self {
            stats,
            connection,
            protocol,
            on_connection,
            progress: Progress::Arriving,
        }
    }

    /// The how manieth POST of its connection it is, in the order in which they began.
    pub(crate) fn on_connection(&self) -> u64 {
        self.on_connection
    }

    /// The request was read to its end.
    pub(crate) fn received(&mut self) {
        self.stats.received.increment();
        if let Some(counter) = self.stats.protocol_counter(self.protocol) {
            counter.increment();
        }
        self.progress = Progress::Received;
    }

    /// The answer is being held.
    pub(crate) fn withheld(&mut self) {
        self.stats.withheld_now.increment();
        self.stats.withheld_total.increment();
        self.progress = Progress::Withheld;
    }

    /// The answer may go again.
    pub(crate) fn released(&mut self) {
        self.stats.withheld_now.decrement();
        self.progress = Progress::Received;
    }

    /// The answer was given to the connection.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.stats.answered.increment();
        if let Some(counter) = self.stats.answer_counter(status) {
            counter.increment();
        }
        self.progress = Progress::Done;
    }

    /// The stream was reset on purpose.
    pub(crate) fn reset(mut self) {
        self.stats.resets.increment();
        self.progress = Progress::Done;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.connection.end_post();
        self.stats.in_flight.decrement();
        if self.progress == Progress::Withheld {
            self.stats.withheld_now.decrement();
        }
        if matches!(self.progress, Progress::Received | Progress::Withheld) {
            self.stats.vanished.increment();
        }
    }
}
