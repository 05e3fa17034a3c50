//! The pruning guard: when so many subscriptions are said to be gone that it is not believed.
//!
//! A tombstone ends a subscription, and push services have said "gone" by mistake to whole
//! populations. So the answers of each application's subscriptions at each push service are
//! counted. While too many of them say gone, nobody is buried: who is said to be gone becomes
//! *suspect*, is sent nothing, and waits for an operator or for time to confirm it. Sending to
//! everybody else goes on.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long one count of answers lasts, and so how exact [`HOUR`] is.
pub const SLOT: Duration = Duration::from_mins(5);

/// The time in which a wave is looked for. What was buried in the same time before it is suspect too,
/// and it is over when it was not seen for as long.
pub const HOUR: Duration = Duration::from_hours(1);

/// How far the history reaches that a wave is measured by.
pub const HISTORY: Duration = Duration::from_hours(30 * 24);

/// A suspect that nobody restored for so long is gone.
pub const SUSPECT_FOR: Duration = Duration::from_hours(7 * 24);

/// Fewer are never a wave.
const LEAST_GONE: u64 = 50;

/// A smaller part of an hour's answers is never a wave: one in so many.
const LEAST_SHARE: u64 = 20;

/// A wave is so many times what is usual.
const TIMES_THE_USUAL: u64 = 10;

/// Without a history it is one in so many.
const SHARE_WITHOUT_HISTORY: u64 = 5;

/// Fewer answers are no history: they say nothing about what is usual.
const LEAST_HISTORY: u64 = 1000;

/// How many answers a push service gave that tell whether a subscription is alive, and how many of
/// them said that it is gone.
///
/// A 429 or a 503 tells nothing, nor does silence: they would only hide a wave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GoneShare {
    /// All of them: accepted, refused, gone.
    pub answers: u64,
    /// 404 and 410.
    pub gone: u64,
}

/// Whether the answers of the last hour are a wave, by those of the 30 days before it.
pub fn is_wave(hour: GoneShare, history: GoneShare) -> bool {
    let at_least_one_in = |parts| hour.gone.saturating_mul(parts) >= hour.answers;
    if hour.gone < LEAST_GONE || !at_least_one_in(LEAST_SHARE) {
        return false;
    }
    if history.answers < LEAST_HISTORY {
        return at_least_one_in(SHARE_WITHOUT_HISTORY);
    }
    let product = |a, b| u128::from(a) * u128::from(b);
    product(hour.gone, history.answers)
        >= product(history.gone, hour.answers) * u128::from(TIMES_THE_USUAL)
}

/// The beginning of the slot that an instant is in.
pub fn slot_of(at: Timestamp) -> Timestamp {
    let slot = i64::try_from(SLOT.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis() - at.as_millis().rem_euclid(slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn share(gone: u64, answers: u64) -> GoneShare {
        GoneShare { answers, gone }
    }

    #[test]
    fn a_wave_is_many_a_good_part_and_far_more_than_usual() {
        struct Case {
            name: &'static str,
            hour: GoneShare,
            history: GoneShare,
            is_wave: bool,
        }
        const CASES: &[Case] = &[
            Case {
                name: "nothing happened",
                hour: share(0, 0),
                history: share(0, 0),
                is_wave: false,
            },
            Case {
                name: "too few, though all",
                hour: share(49, 49),
                history: share(0, 1_000_000),
                is_wave: false,
            },
            Case {
                name: "as many as it takes",
                hour: share(50, 50),
                history: share(0, 1_000_000),
                is_wave: true,
            },
            Case {
                name: "one in twenty",
                hour: share(50, 1000),
                history: share(0, 1_000_000),
                is_wave: true,
            },
            Case {
                name: "a little less than one in twenty",
                hour: share(50, 1001),
                history: share(0, 1_000_000),
                is_wave: false,
            },
            Case {
                name: "ten times the usual",
                hour: share(1000, 10_000),
                history: share(10_000, 1_000_000),
                is_wave: true,
            },
            Case {
                name: "a little less than ten times the usual",
                hour: share(999, 10_000),
                history: share(10_000, 1_000_000),
                is_wave: false,
            },
            Case {
                name: "without history one in five",
                hour: share(200, 1000),
                history: share(0, 0),
                is_wave: true,
            },
            Case {
                name: "without history less than one in five",
                hour: share(199, 1000),
                history: share(0, 0),
                is_wave: false,
            },
            Case {
                name: "a history too short to be one",
                hour: share(199, 1000),
                history: share(0, 999),
                is_wave: false,
            },
            Case {
                name: "a history just long enough",
                hour: share(199, 1000),
                history: share(0, 1000),
                is_wave: true,
            },
            Case {
                name: "numbers beyond reason",
                hour: share(u64::MAX, u64::MAX),
                history: share(1, u64::MAX),
                is_wave: true,
            },
        ];
        for case in CASES {
            assert_eq!(
                is_wave(case.hour, case.history),
                case.is_wave,
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn a_slot_begins_every_five_minutes() {
        let at = |milliseconds| slot_of(Timestamp::from_millis(milliseconds)).as_millis();
        assert_eq!(
            [at(0), at(299_999), at(300_000), at(-1)],
            [0, 0, 300_000, -300_000]
        );
    }
}
