//! What the engine counts. Labels are of closed sets, so there are few numbers however many
//! origins, keys and applications there are.

use std::sync::atomic::{AtomicU64, Ordering};

use tidings_webpush::{Answer, PushService};

use crate::batch::Lane;
use crate::delivery::{Outcome, OutcomeKind};

/// How a request to a push service ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerClass {
    /// The push service took the message.
    Accepted,
    /// It took it and threw it away.
    Dropped,
    /// The subscription is gone.
    Gone,
    /// The message is too large.
    TooLarge,
    /// The message is refused.
    MessageRefused,
    /// The VAPID key or token is refused.
    KeyRefused,
    /// Too many messages.
    SlowDown,
    /// The push service is not well.
    Unwell,
    /// No connection came about.
    Unreachable,
    /// A request was begun, and nobody answered.
    Unanswered,
}

impl AnswerClass {
    /// All classes.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Dropped,
        Self::Gone,
        Self::TooLarge,
        Self::MessageRefused,
        Self::KeyRefused,
        Self::SlowDown,
        Self::Unwell,
        Self::Unreachable,
        Self::Unanswered,
    ];

    /// The class of an answer.
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Accepted { .. } => Self::Accepted,
            Answer::Dropped { .. } => Self::Dropped,
            Answer::Gone => Self::Gone,
            Answer::TooLarge => Self::TooLarge,
            Answer::MessageRefused => Self::MessageRefused,
            Answer::KeyRefused => Self::KeyRefused,
            Answer::SlowDown { .. } => Self::SlowDown,
            // An answer this version does not know is one of an unwell push service, as in `decide`.
            _ => Self::Unwell,
        }
    }

    /// The class's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dropped => "dropped",
            Self::Gone => "gone",
            Self::TooLarge => "too_large",
            Self::MessageRefused => "message_refused",
            Self::KeyRefused => "key_refused",
            Self::SlowDown => "slow_down",
            Self::Unwell => "unwell",
            Self::Unreachable => "unreachable",
            Self::Unanswered => "unanswered",
        }
    }
}

const SERVICES: usize = PushService::ALL.len();
const CLASSES: usize = AnswerClass::ALL.len();
const LANES: usize = Lane::ALL.len();

/// The names of outcomes, each at its [`place`].
const OUTCOMES: [&str; 7] = [
    "accepted",
    "gone",
    "refused",
    "expired",
    "ended",
    "cancelled",
    "retrying",
];

const fn place(kind: OutcomeKind) -> usize {
    match kind {
        OutcomeKind::Accepted => 0,
        OutcomeKind::Gone => 1,
        OutcomeKind::Refused => 2,
        OutcomeKind::Expired => 3,
        OutcomeKind::Ended => 4,
        OutcomeKind::Cancelled => 5,
        OutcomeKind::Retrying { .. } => 6,
    }
}

/// Counters and gauges. Cheap to change from many threads at once; each number is exact, two of
/// them read one after the other need not belong to one instant.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: [[AtomicU64; CLASSES]; SERVICES],
    under_way: [[AtomicU64; LANES]; SERVICES],
    limits: [[AtomicU64; LANES]; SERVICES],
    claimed: [[AtomicU64; LANES]; SERVICES],
    recorded: [AtomicU64; OUTCOMES.len()],
    record_failures: AtomicU64,
}

impl Metrics {
    /// A request ended.
    pub fn answered(&self, service: PushService, class: AnswerClass) {
        add(cell(&self.answers, service, class as usize), 1);
    }

    /// So many deliveries are under way, of so many that may be.
    pub fn load(&self, service: PushService, lane: Lane, under_way: usize, limit: usize) {
        let under_way = u64::try_from(under_way).unwrap_or(u64::MAX);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        set(cell(&self.under_way, service, lane as usize), under_way);
        set(cell(&self.limits, service, lane as usize), limit);
    }

    /// Batches were claimed.
    pub fn claimed(&self, service: PushService, lane: Lane, batches: usize) {
        let batches = u64::try_from(batches).unwrap_or(u64::MAX);
        add(cell(&self.claimed, service, lane as usize), batches);
    }

    /// Outcomes were recorded.
    pub fn recorded(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            add(self.recorded.get(place(outcome.kind)), 1);
        }
    }

    /// Outcomes could not be recorded; it is tried again.
    pub fn record_failed(&self) {
        add(Some(&self.record_failures), 1);
    }

    /// How many requests to this push service ended so.
    pub fn answers(&self, service: PushService, class: AnswerClass) -> u64 {
        get(cell(&self.answers, service, class as usize))
    }

    /// How many deliveries are under way.
    pub fn under_way(&self, service: PushService, lane: Lane) -> u64 {
        get(cell(&self.under_way, service, lane as usize))
    }

    /// How many deliveries may be under way; 0 as long as nobody said.
    pub fn limit(&self, service: PushService, lane: Lane) -> u64 {
        get(cell(&self.limits, service, lane as usize))
    }

    /// How many batches were claimed.
    pub fn batches_claimed(&self, service: PushService, lane: Lane) -> u64 {
        get(cell(&self.claimed, service, lane as usize))
    }

    /// How many outcomes were recorded, by their name.
    pub fn outcomes_recorded(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.recorded.iter().map(|count| get(Some(count)));
        OUTCOMES.into_iter().zip(counts)
    }

    /// How often outcomes could not be recorded.
    pub fn record_failures(&self) -> u64 {
        get(Some(&self.record_failures))
    }
}

/// The number of a push service and something else.
fn cell<const N: usize>(
    table: &[[AtomicU64; N]; SERVICES],
    service: PushService,
    column: usize,
) -> Option<&AtomicU64> {
    let row = PushService::ALL.iter().position(|it| *it == service)?;
    table.get(row)?.get(column)
}

fn add(cell: Option<&AtomicU64>, number: u64) {
    if let Some(cell) = cell {
        cell.fetch_add(number, Ordering::Relaxed);
    }
}

fn set(cell: Option<&AtomicU64>, number: u64) {
    if let Some(cell) = cell {
        cell.store(number, Ordering::Relaxed);
    }
}

fn get(cell: Option<&AtomicU64>) -> u64 {
    cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Position;
    use crate::clock::Timestamp;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let metrics = Metrics::default();
        let mut expected = 0;
        for service in PushService::ALL {
            for class in AnswerClass::ALL {
                expected += 1;
                (0..expected).for_each(|_| metrics.answered(service, class));
            }
            for lane in Lane::ALL {
                expected += 1;
                let number = usize::try_from(expected).unwrap();
                metrics.load(service, lane, number, 2 * number);
                metrics.claimed(service, lane, 3 * number);
            }
        }
        let mut expected = 0;
        for service in PushService::ALL {
            for class in AnswerClass::ALL {
                expected += 1;
                assert_eq!(metrics.answers(service, class), expected);
            }
            for lane in Lane::ALL {
                expected += 1;
                assert_eq!(metrics.under_way(service, lane), expected);
                assert_eq!(metrics.limit(service, lane), 2 * expected);
                assert_eq!(metrics.batches_claimed(service, lane), 3 * expected);
            }
        }
    }

    #[test]
    fn outcomes_are_counted_under_the_name_they_have_everywhere() {
        let metrics = Metrics::default();
        let next_attempt_at = Timestamp::from_millis(1);
        let kinds = [
            OutcomeKind::Accepted,
            OutcomeKind::Gone,
            OutcomeKind::Refused,
            OutcomeKind::Expired,
            OutcomeKind::Ended,
            OutcomeKind::Cancelled,
            OutcomeKind::Retrying { next_attempt_at },
        ];
        for (number, kind) in (1_usize..).zip(kinds) {
            let outcome = Outcome {
                position: Position(0),
                subscription: None,
                kind,
                attempt: 1,
                last_answer: None,
            };
            metrics.recorded(&vec![outcome; number]);
        }
        let counted: Vec<_> = metrics.outcomes_recorded().collect();
        let expected: Vec<_> = kinds
            .map(OutcomeKind::as_str)
            .into_iter()
            .zip(1..)
            .collect();
        assert_eq!(counted, expected);
    }

    #[test]
    fn answers_have_a_class() {
        let retry_after = None;
        for (answer, class) in [
            (Answer::Gone, AnswerClass::Gone),
            (Answer::KeyRefused, AnswerClass::KeyRefused),
            (Answer::SlowDown { retry_after }, AnswerClass::SlowDown),
            (Answer::Unwell { retry_after }, AnswerClass::Unwell),
        ] {
            assert_eq!(AnswerClass::of(&answer), class);
        }
    }
}
