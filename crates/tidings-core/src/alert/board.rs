//! The board that conditions stand on while they hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::alert::{Alert, AlertKind, Condition, Subject};
use crate::clock::{Clock, Timestamp};

/// The most alerts there are at once. Subjects are push services, keys and applications, so there
/// are few; should there be more, what is wrong is known from these.
const MOST_ALERTS: usize = 1000;

/// The conditions that hold at present. Says in the log when one begins, and when it ends.
pub struct AlertBoard {
    clock: Arc<dyn Clock>,
    alerts: Mutex<Alerts>,
}

type Alerts = BTreeMap<(AlertKind, Subject), Standing>;

struct Standing {
    alert: Alert,
    /// It is over then, unless it is said again.
    until: Option<Timestamp>,
}

impl AlertBoard {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            alerts: Mutex::default(),
        }
    }

    /// This condition holds. Saying so again changes what it says, not since when.
    pub fn raise(&self, condition: Condition) {
        self.stand(condition, None);
    }

    /// This condition holds, for so long if it is not said again. For what nobody may be there to
    /// [clear](Self::clear).
    pub fn raise_for(&self, condition: Condition, lasts: Duration) {
        self.stand(condition, Some(self.clock.now().plus(lasts)));
    }

    fn stand(&self, condition: Condition, until: Option<Timestamp>) {
        let key = (condition.kind(), condition.subject());
        let mut alerts = self.lock();
        if let Some(known) = alerts.get_mut(&key) {
            known.alert.condition = condition;
            known.until = until;
            return;
        }
        if alerts.len() >= MOST_ALERTS {
            return;
        }
        let since = condition.since().unwrap_or_else(|| self.clock.now());
        tell_beginning(&condition);
        let alert = Alert { since, condition };
        alerts.insert(key, Standing { alert, until });
    }

    /// This condition does not hold any more, if it ever did.
    pub fn clear(&self, kind: AlertKind, subject: &Subject) {
        let ended = self.lock().remove(&(kind, subject.clone()));
        if let Some(ended) = ended {
            self.tell_end(&ended.alert);
        }
    }

    /// Of this kind these hold, and no others.
    pub fn replace(&self, kind: AlertKind, conditions: Vec<Condition>) {
        let holding: Vec<_> = conditions.iter().map(Condition::subject).collect();
        let ended: Vec<_> = self
            .lock()
            .keys()
            .filter(|(known, subject)| *known == kind && !holding.contains(subject))
            .cloned()
            .collect();
        for (kind, subject) in ended {
            self.clear(kind, &subject);
        }
        for condition in conditions {
            self.raise(condition);
        }
    }

    /// What holds at present, the oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        let alerts = self.lock();
        let alerts = alerts.values().map(|standing| standing.alert.clone());
        let mut alerts: Vec<_> = alerts.collect();
        alerts.sort_by_key(|alert| alert.since);
        alerts
    }

    /// How many alerts there are of a kind.
    pub fn count(&self, kind: AlertKind) -> usize {
        let alerts = self.lock();
        alerts.keys().filter(|(known, _)| *known == kind).count()
    }

    /// What holds at present.
    fn lock(&self) -> MutexGuard<'_, Alerts> {
        let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        if alerts.values().any(|standing| standing.until.is_some()) {
            let now = self.clock.now();
            let over = |standing: &mut Standing| standing.until.is_some_and(|until| until <= now);
            for (_, ended) in alerts.extract_if(.., |_, standing| over(standing)) {
                self.tell_end(&ended.alert);
            }
        }
        alerts
    }

    fn tell_end(&self, alert: &Alert) {
        let lasted = self.clock.now().since(alert.since);
        let duration_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            alert = alert.condition.kind().as_str(),
            duration_ms,
            "over after {} s: {}",
            lasted.as_secs(),
            alert.condition.text()
        );
    }
}

fn tell_beginning(condition: &Condition) {
    let kind = condition.kind();
    let (alert, text, remedy) = (kind.as_str(), condition.text(), condition.remedy());
    if kind.is_urgent() {
        tracing::error!(alert, "{text}. {remedy}");
    } else {
        tracing::warn!(alert, "{text}. {remedy}");
    }
}

impl fmt::Debug for AlertBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertBoard")
            .field("alerts", &self.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use tidings_webpush::PushService;

    use super::*;
    use crate::application::ApplicationName;
    use crate::id::VapidKeyId;

    /// Each look is one second after the one before.
    struct Ticking(AtomicI64);

    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1000 * self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    fn board() -> AlertBoard {
        AlertBoard::new(Arc::new(Ticking(AtomicI64::new(1))))
    }

    fn unreachable(push_service: PushService) -> Condition {
        Condition::PushServiceUnreachable { push_service }
    }

    fn wave(push_service: PushService, subscriptions: u64) -> Condition {
        Condition::SuspectedWave {
            push_service,
            application: ApplicationName::parse("default").unwrap(),
            subscriptions,
            since: Timestamp::from_millis(5),
        }
    }

    #[test]
    fn a_condition_stands_once_and_since_it_began() {
        let board = board();
        let failing = |error: &str| Condition::OutcomesNotRecorded {
            error: error.to_owned(),
        };
        board.raise(failing("disk full"));
        board.raise(unreachable(PushService::Fcm));
        board.raise(failing("database is locked"));
        let alerts = board.alerts();
        let since: Vec<_> = alerts.iter().map(|alert| alert.since.as_millis()).collect();
        assert_eq!(since, [1000, 2000]);
        assert_eq!(alerts[0].condition, failing("database is locked"));
        assert_eq!(board.count(AlertKind::OutcomesNotRecorded), 1);
        board.clear(AlertKind::OutcomesNotRecorded, &Subject::default());
        assert_eq!(board.alerts().len(), 1);
        board.raise(failing("disk full"));
        assert_eq!(board.alerts()[1].since.as_millis(), 4000, "it began anew");
    }

    #[test]
    fn conditions_about_different_things_stand_side_by_side() {
        let board = board();
        let key = |number| VapidKeyId::from_bytes([number; 16]);
        let paused = |push_service, vapid_key| Condition::KeyPaused {
            push_service,
            vapid_key,
        };
        let fcm = PushService::Fcm;
        board.raise(paused(fcm, key(1)));
        board.raise(paused(fcm, key(2)));
        board.raise(paused(PushService::Mozilla, key(1)));
        board.raise(unreachable(fcm));
        assert_eq!(board.count(AlertKind::KeyPaused), 3);
        board.clear(AlertKind::KeyPaused, &paused(fcm, key(1)).subject());
        assert_eq!(board.count(AlertKind::KeyPaused), 2);
        assert_eq!(board.count(AlertKind::PushServiceUnreachable), 1);
    }

    #[test]
    fn what_a_source_does_not_name_any_more_is_over() {
        let board = board();
        board.raise(unreachable(PushService::Fcm));
        board.replace(
            AlertKind::SuspectedWave,
            vec![wave(PushService::Fcm, 50), wave(PushService::Mozilla, 60)],
        );
        board.replace(AlertKind::SuspectedWave, vec![wave(PushService::Fcm, 70)]);
        let alerts = board.alerts();
        assert_eq!(alerts.len(), 2);
        assert_eq!(alerts[0].condition, wave(PushService::Fcm, 70));
        assert_eq!(alerts[0].since.as_millis(), 5, "the store knows since when");
    }

    #[test]
    fn what_is_said_for_a_while_is_over_then_unless_it_is_said_again() {
        let board = board();
        let fcm = || unreachable(PushService::Fcm);
        let lasts = Duration::from_secs(10);
        board.raise_for(fcm(), lasts);
        for _ in 0..20 {
            board.raise_for(fcm(), lasts);
            assert_eq!(board.alerts().len(), 1);
        }
        // Each look is a second.
        let left = std::iter::repeat_with(|| board.count(AlertKind::PushServiceUnreachable));
        assert_eq!(left.take_while(|count| *count == 1).count(), 7);
        board.raise_for(fcm(), lasts);
        board.raise(fcm());
        let left = (0..20).map(|_| board.count(AlertKind::PushServiceUnreachable));
        assert_eq!(left.sum::<usize>(), 20, "until it is cleared");
    }

    #[test]
    fn there_are_never_alerts_without_end() {
        let board = board();
        for number in 0..2 * MOST_ALERTS {
            let number = u128::try_from(number).unwrap();
            board.raise(Condition::KeyPaused {
                push_service: PushService::Fcm,
                vapid_key: VapidKeyId::from_bytes(number.to_be_bytes()),
            });
        }
        assert_eq!(board.alerts().len(), MOST_ALERTS);
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            AlertKind::ALL.into_iter().map(AlertKind::as_str).collect();
        assert_eq!(names.len(), AlertKind::ALL.len());
    }
}
