//! A store and the model of it, side by side: each operation is done to both and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::batch::{Batch, BatchId, Lease, LeasedBatch};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{Outcome, OutcomeKind};
use tidings_core::id::MessageId;
use tidings_core::message::{Audience, MessageCounts, MessageState};
use tidings_core::store::{PassEnd, PassTimes, StoreError};
use tidings_core::subscription::{SubscriptionRecord, SubscriptionState};

use crate::harness::Harness;
use crate::world::{World, list_of, outcome, range_of, seqs};

/// An outcome before the present is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Final(OutcomeKind),
    RetryIn(Duration),
}

impl Kind {
    pub(super) const FINAL: [Self; 6] = [
        Self::Final(OutcomeKind::Accepted),
        Self::Final(OutcomeKind::Gone),
        Self::Final(OutcomeKind::Refused),
        Self::Final(OutcomeKind::Expired),
        Self::Final(OutcomeKind::Ended),
        Self::Final(OutcomeKind::Cancelled),
    ];

    fn at(self, now: Timestamp) -> OutcomeKind {
        match self {
            Self::Final(kind) => kind,
            Self::RetryIn(delay) => OutcomeKind::Retrying {
                next_attempt_at: now.plus(delay),
            },
        }
    }
}

/// What the model knows of one delivery. Its subscriber is an index into [`Checked::subscribers`].
struct Delivery {
    subscriber: usize,
    attempts: u32,
    last: Option<OutcomeKind>,
}

impl Delivery {
    fn is_settled(&self) -> bool {
        self.last.is_some_and(OutcomeKind::is_final)
    }

    /// When its next attempt is due; `None` once it is settled.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        match self.last {
            None => Some(now),
            Some(OutcomeKind::Retrying { next_attempt_at }) => Some(next_attempt_at),
            Some(_) => None,
        }
    }
}

/// What the model knows of one batch.
struct BatchModel {
    message: usize,
    /// As it was claimed first, so with nothing settled.
    batch: Option<Batch>,
    id: BatchId,
    not_before: Timestamp,
    deliveries: Vec<Delivery>,
    lease: Option<Lease>,
    former_leases: Vec<Lease>,
    done: bool,
}

impl BatchModel {
    fn end_lease(&mut self) {
        self.former_leases.extend(self.lease.take());
    }
}

/// A store with three batches of two messages, and the model of it.
pub(super) struct Checked<H> {
    world: World<H>,
    subscribers: Vec<SubscriptionRecord>,
    gone: BTreeSet<usize>,
    messages: [MessageId; 2],
    batches: Vec<BatchModel>,
}

impl<H: Harness> Checked<H> {
    /// Twelve subscribers, one message to them in two batches, another one in a single batch.
    pub(super) async fn new() -> Self {
        let world = World::<H>::new().await;
        let subscribers = world.subscribe_many(12).await;
        let all = seqs(&subscribers);
        let first = world.accept(Audience::All).await.id;
        let second = world.accept(Audience::All).await.id;
        let halves = vec![
            world.batch(range_of(&all[..6])),
            world.batch(list_of(&all[6..])),
        ];
        let mut ids = world.cut(first, halves).await;
        ids.extend(world.cut(second, vec![world.batch(range_of(&all))]).await);
        let members = [(0, 0..6), (0, 6..12), (1, 0..12)];
        let batches = members
            .into_iter()
            .zip(ids)
            .map(|((message, members), id)| BatchModel {
                message,
                batch: None,
                id,
                not_before: world.now(),
                deliveries: members
                    .map(|subscriber| Delivery {
                        subscriber,
                        attempts: 0,
                        last: None,
                    })
                    .collect(),
                lease: None,
                former_leases: Vec::new(),
                done: false,
            });
        let batches = batches.collect();
        Self {
            world,
            subscribers,
            gone: BTreeSet::new(),
            messages: [first, second],
            batches,
        }
    }

    pub(super) fn wait(&self, duration: Duration) {
        self.world.wait(duration);
    }

    /// One of the earliest due, or none if nothing is due.
    pub(super) async fn claim(&mut self) {
        let now = self.world.now();
        let claimable =
            |batch: &&BatchModel| !batch.done && batch.lease.is_none() && batch.not_before <= now;
        let earliest = self
            .batches
            .iter()
            .filter(claimable)
            .map(|batch| batch.not_before)
            .min();
        let claimed = self.world.claim(1).await;
        assert_eq!(
            claimed.len(),
            usize::from(earliest.is_some()),
            "is something due?"
        );
        for LeasedBatch { batch, lease } in claimed {
            let model = self.batches.iter_mut().find(|model| model.id == batch.id);
            let model = model.expect("the batch was planned");
            assert!(
                claimable(&&*model),
                "the batch was neither done nor claimed"
            );
            assert_eq!(
                Some(model.not_before),
                earliest,
                "the earliest due goes first"
            );
            let settled = model.deliveries.iter().filter(|d| d.is_settled()).count();
            assert_eq!(usize::try_from(batch.settled.count()), Ok(settled));
            model.batch.get_or_insert(batch);
            model.lease = Some(lease);
        }
    }

    pub(super) async fn load(&self, batch: usize) {
        let model = &self.batches[batch % self.batches.len()];
        let Some(batch) = &model.batch else { return };
        let now = self.world.now();
        let turn = model
            .deliveries
            .iter()
            .filter(|d| d.due(now).is_some_and(|due| due <= now));
        let expected: Vec<_> = turn
            .map(|delivery| {
                let id = self.subscribers[delivery.subscriber].id;
                let target = (!self.gone.contains(&delivery.subscriber)).then_some(id);
                (
                    self.outcome(batch, delivery, OutcomeKind::Ended).position,
                    delivery.attempts,
                    target,
                )
            })
            .collect();
        // What is settled is the worker's to leave out; here it does so by the model.
        let unsettled = model
            .deliveries
            .iter()
            .filter(|delivery| !delivery.is_settled());
        let positions =
            unsettled.map(|delivery| self.outcome(batch, delivery, OutcomeKind::Ended).position);
        let loaded = self
            .world
            .store()
            .load_members(batch, positions.collect(), now)
            .await
            .unwrap();
        let mut waiting = loaded.waiting;
        waiting.sort_unstable();
        let later = model.deliveries.iter().filter_map(|delivery| {
            let due = delivery.due(now).filter(|due| *due > now)?;
            let outcome = self.outcome(batch, delivery, OutcomeKind::Ended);
            Some((outcome.position, due))
        });
        assert_eq!(waiting, later.collect::<Vec<_>>());
        let mut loaded: Vec<_> = loaded
            .turn
            .iter()
            .map(|m| {
                (
                    m.position,
                    m.attempts,
                    m.target.as_ref().map(|target| target.id),
                )
            })
            .collect();
        loaded.sort_by_key(|(position, ..)| *position);
        assert_eq!(loaded, expected);
    }

    pub(super) async fn record(&mut self, batch: usize, outcomes: &[(usize, Kind)]) {
        let index = batch % self.batches.len();
        let (Some(lease), outcomes) = self.prepare(index, outcomes) else {
            return;
        };
        self.world
            .store()
            .record(&lease, outcomes.clone(), self.world.now())
            .await
            .unwrap();
        for outcome in outcomes {
            self.apply(index, &outcome);
        }
    }

    pub(super) async fn record_late(&mut self, batch: usize, outcomes: &[(usize, Kind)]) {
        let index = batch % self.batches.len();
        let (_, outcomes) = self.prepare(index, outcomes);
        for lease in &self.batches[index].former_leases {
            let now = self.world.now();
            let recorded = self
                .world
                .store()
                .record(lease, outcomes.clone(), now)
                .await;
            assert!(
                matches!(recorded, Err(StoreError::LeaseLost)),
                "{recorded:?}"
            );
        }
    }

    /// The current lease, and the outcomes as a worker would tell them, each delivery once.
    fn prepare(&self, index: usize, chosen: &[(usize, Kind)]) -> (Option<Lease>, Vec<Outcome>) {
        let model = &self.batches[index];
        let Some(batch) = &model.batch else {
            return (None, Vec::new());
        };
        let chosen: BTreeMap<usize, Kind> = chosen
            .iter()
            .map(|(n, kind)| (n % model.deliveries.len(), *kind))
            .collect();
        let outcomes = chosen
            .into_iter()
            .map(|(n, kind)| self.outcome(batch, &model.deliveries[n], kind.at(self.world.now())));
        (model.lease.clone(), outcomes.collect())
    }

    fn outcome(&self, batch: &Batch, delivery: &Delivery, kind: OutcomeKind) -> Outcome {
        outcome(
            batch,
            &self.subscribers[delivery.subscriber],
            kind,
            delivery.attempts + 1,
        )
    }

    fn apply(&mut self, index: usize, outcome: &Outcome) {
        let subscribers = &self.subscribers;
        let mut deliveries = self.batches[index].deliveries.iter_mut();
        let delivery = deliveries
            .find(|delivery| Some(subscribers[delivery.subscriber].id) == outcome.subscription)
            .expect("the outcome is one of the batch");
        if delivery.is_settled() {
            return;
        }
        delivery.last = Some(outcome.kind);
        delivery.attempts = outcome.attempt;
        if outcome.kind == OutcomeKind::Gone {
            self.gone.insert(delivery.subscriber);
        }
    }

    pub(super) async fn finish(&mut self, batch: usize) {
        let index = batch % self.batches.len();
        let Some(lease) = self.batches[index].lease.clone() else {
            return;
        };
        let now = self.world.now();
        let end = self
            .world
            .store()
            .finish_pass(&lease, PassTimes::at(now))
            .await
            .unwrap();
        let earliest = self.batches[index]
            .deliveries
            .iter()
            .filter_map(|d| d.due(now))
            .min();
        let model = &mut self.batches[index];
        model.end_lease();
        model.done = earliest.is_none();
        let message = model.message;
        let message_done = self.is_done(message);
        match (end, earliest) {
            (PassEnd::Done { message_done: told }, None) => assert_eq!(told, message_done),
            (PassEnd::Again { not_before }, Some(earliest)) => {
                // What was due before is due at once, whichever instant says so.
                assert_eq!(not_before.max(now), earliest.max(now));
                self.batches[index].not_before = not_before;
            }
            (end, earliest) => panic!("{end:?}, while the next attempt is due at {earliest:?}"),
        }
    }

    fn is_done(&self, message: usize) -> bool {
        self.batches
            .iter()
            .filter(|batch| batch.message == message)
            .all(|batch| batch.done)
    }

    pub(super) async fn release(&mut self, batch: usize) {
        let index = batch % self.batches.len();
        let Some(lease) = self.batches[index].lease.clone() else {
            return;
        };
        self.world.store().release(&lease).await.unwrap();
        self.batches[index].end_lease();
    }

    pub(super) async fn renew(&self, batch: usize) {
        let model = &self.batches[batch % self.batches.len()];
        for former in &model.former_leases {
            assert!(!self.world.store().renew(former).await.unwrap());
        }
        if let Some(lease) = &model.lease {
            assert!(self.world.store().renew(lease).await.unwrap());
        }
    }

    pub(super) async fn lose_leases(&mut self) {
        self.world.harness.lose_leases().await;
        self.batches.iter_mut().for_each(BatchModel::end_lease);
    }

    /// Every count of both messages, their states, and who is gone.
    pub(super) async fn compare_counts(&self) {
        for (index, id) in self.messages.iter().enumerate() {
            let message = self.world.message(*id).await;
            assert_eq!(message.counts, self.counts(index));
            let state = if self.is_done(index) {
                MessageState::Done
            } else {
                MessageState::Sending
            };
            assert_eq!(message.state, state);
        }
    }

    fn counts(&self, message: usize) -> MessageCounts {
        let mut counts = MessageCounts::default();
        let batches = self.batches.iter().filter(|batch| batch.message == message);
        for delivery in batches.flat_map(|batch| &batch.deliveries) {
            counts.targeted += 1;
            match delivery.last {
                None => {}
                Some(OutcomeKind::Retrying { .. }) => counts.retrying += 1,
                Some(OutcomeKind::Accepted) => counts.accepted += 1,
                Some(OutcomeKind::Gone) => counts.gone += 1,
                Some(OutcomeKind::Refused) => counts.refused += 1,
                Some(OutcomeKind::Expired) => counts.expired += 1,
                Some(OutcomeKind::Ended) => counts.ended += 1,
                Some(OutcomeKind::Cancelled) => counts.cancelled += 1,
            }
        }
        counts
    }

    /// However it was left: all of it can still be finished.
    pub(super) async fn run_to_the_end(mut self) {
        self.lose_leases().await;
        self.wait(Duration::from_hours(1));
        while !(self.is_done(0) && self.is_done(1)) {
            self.claim().await;
            let claimed = self.batches.iter().position(|batch| batch.lease.is_some());
            let claimed = claimed.expect("what is not done and not claimed is due");
            let rest: Vec<_> = (0..12)
                .map(|n| (n, Kind::Final(OutcomeKind::Accepted)))
                .collect();
            self.load(claimed).await;
            self.record(claimed, &rest).await;
            self.finish(claimed).await;
            self.compare_counts().await;
        }
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            let gone = self.world.state_of(subscriber).await == SubscriptionState::Gone;
            assert_eq!(gone, self.gone.contains(&index));
        }
    }
}
