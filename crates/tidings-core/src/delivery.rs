//! Deliveries: one message for one subscription. What to do after an attempt, decided purely.

use std::time::Duration;

use tidings_webpush::{Answer, PushService, Topic};

use crate::batch::Position;
use crate::clock::Timestamp;
use crate::id::{MessageId, SubscriptionId};
use crate::message::MessageOptions;

/// How long and how often to try again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// The unit of the exponential delay.
    pub base: Duration,
    /// No delay of our own is longer.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            longest: Duration::from_mins(5),
        }
    }
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttemptResult {
    /// The push service answered.
    Answered(Answer),
    /// It did not: connection errors, timeouts, resets. The message may have arrived all the same.
    Unanswered,
}

/// What follows from an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// The push service took it.
    Accepted,
    /// The subscription is gone: it becomes a tombstone.
    Gone,
    /// Refused for good, this delivery only.
    Refused,
    /// Try again, not before this instant.
    RetryAt(Timestamp),
    /// There is no attempt left before the deadline.
    Expired,
}

/// One attempt and what bounds the next.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it ended.
    pub ended_at: Timestamp,
    /// After this instant nobody wants the message any more.
    pub deadline: Timestamp,
    /// Uniform random bits for the jitter.
    pub jitter: u64,
}

/// What to do after an attempt. Only [`Answer::Gone`] ends a subscription.
pub fn decide(result: &AttemptResult, attempt: Attempt, policy: &RetryPolicy) -> Disposition {
    let told = match result {
        AttemptResult::Answered(answer) => match answer {
            Answer::Accepted { .. } => return Disposition::Accepted,
            Answer::Gone => return Disposition::Gone,
            Answer::TooLarge | Answer::MessageRefused | Answer::KeyRefused => {
                return Disposition::Refused;
            }
            Answer::Dropped { retry_after }
            | Answer::SlowDown { retry_after }
            | Answer::Unwell { retry_after } => *retry_after,
            // An answer this version does not know is treated like an unwell push service.
            _ => None,
        },
        AttemptResult::Unanswered => None,
    };
    let delay = told.unwrap_or_else(|| backoff(attempt, policy));
    let next = attempt.ended_at.plus(delay);
    if next < attempt.deadline {
        Disposition::RetryAt(next)
    } else {
        Disposition::Expired
    }
}

/// Full jitter: uniform between nothing and `base × 2^number`, at most `longest`.
fn backoff(attempt: Attempt, policy: &RetryPolicy) -> Duration {
    let factor = 1_u32.checked_shl(attempt.number).unwrap_or(u32::MAX);
    let bound = policy.base.saturating_mul(factor).min(policy.longest);
    let bound = u64::try_from(bound.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    Duration::from_millis(attempt.jitter % bound)
}

/// How long after its due instant a message with TTL 0 may still get its one attempt.
const IMMEDIATE_GRACE: Duration = Duration::from_mins(1);

/// The instant from which on nothing is tried again. With TTL 0 that is the due instant itself: now
/// or never, so there is one attempt.
pub fn deadline(due_at: Timestamp, options: &MessageOptions) -> Timestamp {
    due_at.plus(options.ttl)
}

/// The TTL to send with an attempt: what is left of the message's. `None` once there is nothing.
pub fn remaining_ttl(
    due_at: Timestamp,
    options: &MessageOptions,
    now: Timestamp,
) -> Option<Duration> {
    if options.ttl.is_zero() {
        return (now < due_at.plus(IMMEDIATE_GRACE)).then_some(Duration::ZERO);
    }
    let deadline = deadline(due_at, options);
    if now >= deadline {
        return None;
    }
    let left = deadline.since(now).as_secs().max(1);
    Some(Duration::from_secs(left).min(options.ttl))
}

/// The topic to send: the caller's, or one of the message's own where replacing an undelivered
/// copy costs nothing, so that a repeated POST is not stored twice (`docs/decisions`).
///
/// Not at FCM, which keeps only four collapse keys for a device, and not at WNS, whose treatment of
/// `Topic` is not documented.
pub fn topic_for(
    service: PushService,
    message: MessageId,
    options: &MessageOptions,
) -> Option<Topic> {
    use base64::Engine as _;
    if options.topic.is_some() {
        return options.topic.clone();
    }
    match service {
        PushService::Fcm | PushService::Wns => None,
        _ => {
            let own = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(message.as_bytes());
            Topic::parse(&own).ok()
        }
    }
}

/// What became of one delivery in a pass over its batch, to be recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Which member of the batch.
    pub position: Position,
    /// Its subscription, if there still is one.
    pub subscription: Option<SubscriptionId>,
    /// What became of it.
    pub kind: OutcomeKind,
    /// The number of the attempt; 0 where none was made.
    pub attempt: u32,
    /// What the push service said, for operators.
    pub last_answer: Option<LastAnswer>,
}

/// What became of one delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutcomeKind {
    /// Taken by the push service.
    Accepted,
    /// The subscription is gone.
    Gone,
    /// Refused.
    Refused,
    /// Not accepted before the deadline.
    Expired,
    /// The subscription was ended before its turn, or was no longer the named person's.
    Ended,
    /// The message was cancelled before its turn.
    Cancelled,
    /// Not final: there will be another attempt.
    Retrying {
        /// Not before this instant.
        next_attempt_at: Timestamp,
    },
}

impl OutcomeKind {
    /// Whether nothing follows any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Retrying { .. })
    }

    /// The name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
            Self::Retrying { .. } => "retrying",
        }
    }
}

impl From<Disposition> for OutcomeKind {
    fn from(disposition: Disposition) -> Self {
        match disposition {
            Disposition::Accepted => Self::Accepted,
            Disposition::Gone => Self::Gone,
            Disposition::Refused => Self::Refused,
            Disposition::RetryAt(next_attempt_at) => Self::Retrying { next_attempt_at },
            Disposition::Expired => Self::Expired,
        }
    }
}

/// What a push service said, or why it did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastAnswer {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// A short text without secrets, at most 200 characters.
    pub reason: String,
}

/// Characters of [`LastAnswer::reason`].
const MAX_REASON_CHARACTERS: usize = 200;

impl LastAnswer {
    /// There was no answer, for this reason. It is cut: a stranger's certificate can be quoted in it.
    pub fn none(reason: &str) -> Self {
        Self {
            status: None,
            reason: reason.chars().take(MAX_REASON_CHARACTERS).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_webpush::Urgency;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

    fn attempt(number: u32, left: Duration) -> Attempt {
        Attempt {
            number,
            ended_at: NOW,
            deadline: NOW.plus(left),
            jitter: u64::MAX,
        }
    }

    fn options(ttl: Duration) -> MessageOptions {
        MessageOptions {
            ttl,
            urgency: Urgency::Normal,
            topic: None,
        }
    }

    #[test]
    fn each_answer_has_its_disposition() {
        let retry = Disposition::RetryAt(NOW.plus(Duration::from_secs(7)));
        let after = Some(Duration::from_secs(7));
        let cases = [
            (
                "accepted",
                Answer::Accepted {
                    message_resource: None,
                },
                Disposition::Accepted,
            ),
            ("gone", Answer::Gone, Disposition::Gone),
            ("too large", Answer::TooLarge, Disposition::Refused),
            (
                "message refused",
                Answer::MessageRefused,
                Disposition::Refused,
            ),
            ("key refused", Answer::KeyRefused, Disposition::Refused),
            ("dropped", Answer::Dropped { retry_after: after }, retry),
            ("slow down", Answer::SlowDown { retry_after: after }, retry),
            ("unwell", Answer::Unwell { retry_after: after }, retry),
        ];
        for (name, answer, expected) in cases {
            let left = Duration::from_hours(1);
            let result = AttemptResult::Answered(answer);
            let decided = decide(&result, attempt(1, left), &RetryPolicy::default());
            assert_eq!(decided, expected, "{name}");
        }
    }

    #[test]
    fn an_attempt_after_the_deadline_is_not_planned() {
        let after = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            AttemptResult::Answered(Answer::SlowDown { retry_after })
        };
        let soon = attempt(1, Duration::from_secs(10));
        let policy = RetryPolicy::default();
        assert!(matches!(
            decide(&after(9), soon, &policy),
            Disposition::RetryAt(_)
        ));
        assert_eq!(decide(&after(10), soon, &policy), Disposition::Expired);
    }

    #[test]
    fn own_delays_are_jittered_doubled_and_bounded() {
        let policy = RetryPolicy::default();
        for number in 1..40 {
            let bound = Duration::from_secs(1 << number.min(20)).min(policy.longest);
            for jitter in [0, 1, 12_345_678_901, u64::MAX] {
                let delay = backoff(
                    Attempt {
                        jitter,
                        ..attempt(number, Duration::ZERO)
                    },
                    &policy,
                );
                assert!(delay <= bound, "attempt {number}: {delay:?}");
            }
            let exact = u64::try_from(bound.as_millis()).unwrap();
            let longest = Attempt {
                jitter: exact,
                ..attempt(number, Duration::ZERO)
            };
            assert_eq!(
                backoff(longest, &policy),
                bound,
                "attempt {number} reaches its bound"
            );
        }
    }

    #[test]
    fn the_ttl_that_is_sent_shrinks_to_the_deadline() {
        let ttl = options(Duration::from_mins(1));
        assert_eq!(remaining_ttl(NOW, &ttl, NOW), Some(Duration::from_mins(1)));
        let later = |milliseconds| NOW.plus(Duration::from_millis(milliseconds));
        assert_eq!(
            remaining_ttl(NOW, &ttl, later(59_500)),
            Some(Duration::from_secs(1))
        );
        assert_eq!(remaining_ttl(NOW, &ttl, later(60_000)), None);
        let clock_went_back = NOW.minus(Duration::from_hours(1));
        assert_eq!(
            remaining_ttl(NOW, &ttl, clock_went_back),
            Some(Duration::from_mins(1))
        );
    }

    #[test]
    fn ttl_zero_gets_one_attempt() {
        let now_or_never = options(Duration::ZERO);
        assert_eq!(remaining_ttl(NOW, &now_or_never, NOW), Some(Duration::ZERO));
        assert_eq!(
            remaining_ttl(NOW, &now_or_never, NOW.plus(IMMEDIATE_GRACE)),
            None
        );
        let soon_after = NOW.plus(Duration::from_millis(5));
        let failed = Attempt {
            ended_at: soon_after,
            deadline: deadline(NOW, &now_or_never),
            jitter: 0,
            number: 1,
        };
        let decided = decide(&AttemptResult::Unanswered, failed, &RetryPolicy::default());
        assert_eq!(decided, Disposition::Expired);
    }

    #[test]
    fn a_reason_is_short_whoever_wrote_it() {
        let names_of_a_certificate = "é.example ".repeat(2000);
        let answer = LastAnswer::none(&names_of_a_certificate);
        assert_eq!(answer.reason.chars().count(), 200);
        assert_eq!(LastAnswer::none("short").reason, "short");
    }

    #[test]
    fn an_own_topic_is_given_where_it_costs_nothing() {
        use tidings_webpush::SystemRandomness;
        let message = MessageId::new(NOW, &SystemRandomness);
        let none = options(Duration::from_mins(1));
        let own = topic_for(PushService::Mozilla, message, &none).unwrap();
        assert_eq!(own.as_str().len(), 22);
        assert_eq!(topic_for(PushService::Mozilla, message, &none), Some(own));
        assert_eq!(topic_for(PushService::Fcm, message, &none), None);
        let callers = MessageOptions {
            topic: Some(Topic::parse("news").unwrap()),
            ..none
        };
        assert_eq!(
            topic_for(PushService::Fcm, message, &callers),
            callers.topic
        );
    }
}
