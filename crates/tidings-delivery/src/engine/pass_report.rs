//! What a pass over a batch met, for the operator's log: once for each cause, not for each
//! delivery.

use std::collections::BTreeMap;

use tidings_core::batch::Batch;
use tidings_core::delivery::{Outcome, OutcomeKind};

/// Different causes that are told apart in one pass.
const MOST_CAUSES: usize = 20;

#[derive(Default)]
pub(super) struct PassReport {
    met: BTreeMap<Cause, u32>,
    suspected: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Cause {
    kind: &'static str,
    status: Option<u16>,
    reason: String,
}

impl PassReport {
    /// Remembers an outcome that an operator may have to do something about.
    pub(super) fn note(&mut self, outcome: &Outcome) {
        let telling = matches!(
            outcome.kind,
            OutcomeKind::Refused | OutcomeKind::Expired | OutcomeKind::Retrying { .. }
        );
        let Some(answer) = outcome.last_answer.as_ref().filter(|_| telling) else {
            return;
        };
        let cause = Cause {
            kind: outcome.kind.as_str(),
            status: answer.status,
            reason: answer.reason.clone(),
        };
        if self.met.len() < MOST_CAUSES || self.met.contains_key(&cause) {
            *self.met.entry(cause).or_default() += 1;
        }
    }

    /// So many subscriptions became suspects: they were said to be gone in a wave.
    pub(super) fn suspected(&mut self, subscriptions: u32) {
        self.suspected += subscriptions;
    }

    /// Writes what was met to the log.
    pub(super) fn tell(&self, batch: &Batch) {
        if self.suspected > 0 {
            tracing::warn!(
                push_service = %batch.group,
                subscriptions = self.suspected,
                "unusually many subscriptions are said to be gone; they are kept as suspects"
            );
        }
        for (cause, deliveries) in &self.met {
            let status = cause.status.map(i64::from);
            if cause.kind == OutcomeKind::Refused.as_str() {
                tracing::warn!(
                    message.id = %batch.message,
                    push_service = %batch.group,
                    http.status = status,
                    reason = %cause.reason,
                    "{deliveries} deliveries were refused, by the push service or before they were sent"
                );
            } else {
                tracing::info!(
                    message.id = %batch.message,
                    push_service = %batch.group,
                    http.status = status,
                    reason = %cause.reason,
                    "{deliveries} deliveries are {}", cause.kind
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::batch::Position;
    use tidings_core::clock::Timestamp;
    use tidings_core::delivery::LastAnswer;

    use super::*;

    fn outcome(kind: OutcomeKind, reason: &str) -> Outcome {
        let reason = reason.to_owned();
        Outcome {
            position: Position(0),
            subscription: None,
            kind,
            attempt: 1,
            last_answer: Some(LastAnswer {
                status: Some(403),
                reason,
            }),
        }
    }

    #[test]
    fn the_same_cause_is_told_once_and_success_not_at_all() {
        let mut report = PassReport::default();
        for _ in 0..5 {
            report.note(&outcome(OutcomeKind::Refused, "BadJwtToken"));
            report.note(&outcome(OutcomeKind::Accepted, ""));
        }
        let next_attempt_at = Timestamp::from_millis(1);
        report.note(&outcome(
            OutcomeKind::Retrying { next_attempt_at },
            "BadJwtToken",
        ));
        let counts: Vec<u32> = report.met.values().copied().collect();
        assert_eq!(counts, [5, 1]);
    }

    #[test]
    fn causes_without_end_are_not_remembered_without_end() {
        let mut report = PassReport::default();
        for number in 0..1000 {
            report.note(&outcome(OutcomeKind::Refused, &number.to_string()));
        }
        assert_eq!(report.met.len(), MOST_CAUSES);
    }
}
