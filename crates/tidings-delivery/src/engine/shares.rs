//! Who may open the next batch at a push service: among applications that all have due ones, the
//! one with the fewest open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_core::application::ApplicationId;
use tidings_core::batch::Lane;
use tidings_core::subscription::PushServiceGroup;
use tokio::sync::Notify;

/// The open batches of all push services.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    lines: Arc<Mutex<HashMap<(PushServiceGroup, Lane), Line>>>,
    /// Told whenever a batch is open no more.
    given_back: Arc<Notify>,
}

/// One push service's batches in one lane.
#[derive(Debug, Default)]
struct Line {
    turns: u64,
    by_application: HashMap<ApplicationId, Share>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    open: usize,
    last_turn: u64,
}

impl Shares {
    pub(super) fn new(given_back: Arc<Notify>) -> Self {
        Self {
            lines: Arc::default(),
            given_back,
        }
    }

    /// How many batches are open at a push service in a lane.
    pub(super) fn open(&self, group: &PushServiceGroup, lane: Lane) -> usize {
        let lines = lock(&self.lines);
        let line = lines.get(&(group.clone(), lane));
        line.map_or(0, |line| {
            line.by_application.values().map(|share| share.open).sum()
        })
    }

    /// Whose turn it is among these applications: the one with the fewest open batches; among
    /// equals, the one whose last turn is longest ago.
    pub(super) fn next(
        &self,
        group: &PushServiceGroup,
        lane: Lane,
        applications: &[ApplicationId],
    ) -> Option<ApplicationId> {
        let mut lines = lock(&self.lines);
        let line = lines.entry((group.clone(), lane)).or_default();
        let share = |app: &ApplicationId| line.by_application.get(app).copied().unwrap_or_default();
        let next = applications.iter().copied().min_by_key(|app| {
            let share = share(app);
            (share.open, share.last_turn)
        })?;
        line.turns += 1;
        line.by_application.entry(next).or_default().last_turn = line.turns;
        Some(next)
    }

    /// A batch was opened. It counts until what is returned is dropped.
    pub(super) fn opened(
        &self,
        group: &PushServiceGroup,
        lane: Lane,
        application: ApplicationId,
    ) -> OpenBatch {
        let key = (group.clone(), lane);
        let mut lines = lock(&self.lines);
        let line = lines.entry(key.clone()).or_default();
        line.by_application.entry(application).or_default().open += 1;
        OpenBatch {
            lines: Arc::clone(&self.lines),
            key,
            application,
            given_back: Arc::clone(&self.given_back),
        }
    }
}

/// Counts as one open batch until it is dropped.
#[derive(Debug)]
pub(super) struct OpenBatch {
    lines: Arc<Mutex<HashMap<(PushServiceGroup, Lane), Line>>>,
    key: (PushServiceGroup, Lane),
    application: ApplicationId,
    given_back: Arc<Notify>,
}

impl Drop for OpenBatch {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.get_mut(&self.key)
            && let Some(share) = line.by_application.get_mut(&self.application)
        {
            share.open = share.open.saturating_sub(1);
        }
        drop(lines);
        self.given_back.notify_one();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> PushServiceGroup {
        PushServiceGroup::from_stored("fcm")
    }

    /// Opens `count` batches one after the other and says whose they are.
    fn open(shares: &Shares, apps: &[ApplicationId], count: usize) -> (Vec<i64>, Vec<OpenBatch>) {
        let mut order = Vec::new();
        let mut open = Vec::new();
        for _ in 0..count {
            let next = shares.next(&group(), Lane::Bulk, apps).unwrap();
            order.push(next.as_i64());
            open.push(shares.opened(&group(), Lane::Bulk, next));
        }
        (order, open)
    }

    #[test]
    fn applications_take_turns() {
        let shares = Shares::default();
        let apps = [1, 2, 3].map(ApplicationId::from_i64);
        let (order, open) = open(&shares, &apps, 7);
        assert_eq!(order, [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(shares.open(&group(), Lane::Bulk), 7);
        assert_eq!(shares.open(&group(), Lane::Direct), 0);
        drop(open);
        assert_eq!(shares.open(&group(), Lane::Bulk), 0);
    }

    #[test]
    fn who_comes_late_catches_up_first() {
        let shares = Shares::default();
        let [first, second] = [1, 2].map(ApplicationId::from_i64);
        let (_, _held) = open(&shares, &[first], 4);
        let (order, _more) = open(&shares, &[first, second], 5);
        assert_eq!(order, [2, 2, 2, 2, 1]);
    }

    #[test]
    fn one_slot_goes_around() {
        let shares = Shares::default();
        let apps = [1, 2, 3].map(ApplicationId::from_i64);
        let order: Vec<i64> = (0..6).flat_map(|_| open(&shares, &apps, 1).0).collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }
}
