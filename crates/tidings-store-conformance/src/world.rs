//! What every case starts with, and the steps that most of them take.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::application::{ApplicationId, ApplicationName};
use tidings_core::batch::{
    Batch, BatchId, Bitmap, Lane, Lease, LeasedBatch, NewBatch, Position, Selection, Seq,
};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{Outcome, OutcomeKind};
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::message::{Audience, MessageCounts, MessageRecord, NewMessage, Plan};
use tidings_core::store::{
    Accepted, Claim, LoadedMember, NewSubscription, PlanRound, PlannedStep, Registration, Store,
    Sweep,
};
use tidings_core::subscription::{PushServiceGroup, SubscriptionRecord, SubscriptionState};
use tidings_core::vapid_key::VapidKeyState;
use tidings_testkit::Entities;
use tidings_webpush::PushService;
use tokio::task::JoinSet;

use crate::harness::Harness;

/// A fresh store with one active VAPID key, and everything to fill it with.
pub(crate) struct World<H> {
    pub(crate) harness: H,
    pub(crate) entities: Entities,
    /// The active VAPID key of [`ApplicationId::DEFAULT`].
    pub(crate) key: VapidKeyId,
}

/// The push service of all subscriptions that do not say otherwise.
pub(crate) fn mozilla() -> PushServiceGroup {
    PushServiceGroup::of_service(PushService::Mozilla)
}

pub(crate) fn seqs(subscribers: &[SubscriptionRecord]) -> Vec<Seq> {
    subscribers
        .iter()
        .map(|subscriber| subscriber.seq)
        .collect()
}

/// A window's worth of seqs, as broadcasts select.
pub(crate) fn range_of(seqs: &[Seq]) -> Selection {
    let offset = |seq: Seq| {
        seq.offset_from(seqs[0])
            .expect("seqs of one window, rising")
    };
    let mut members = Bitmap::new(offset(seqs[seqs.len() - 1]) + 1);
    for seq in seqs {
        members.set(offset(*seq));
    }
    Selection::Range {
        first: seqs[0],
        members,
    }
}

/// A short list, as messages to people select.
pub(crate) fn list_of(seqs: &[Seq]) -> Selection {
    Selection::Members(seqs.to_vec())
}

/// A final outcome or another, as a store is told of it.
pub(crate) fn outcome(
    batch: &Batch,
    subscriber: &SubscriptionRecord,
    kind: OutcomeKind,
    attempt: u32,
) -> Outcome {
    let position = (0..batch.selection.span())
        .map(Position)
        .find(|position| batch.selection.seq_at(*position) == Some(subscriber.seq))
        .expect("the subscriber is a member of the batch");
    Outcome {
        position,
        subscription: Some(subscriber.id),
        kind,
        attempt,
        last_answer: None,
    }
}

/// Every member of a batch was accepted at the first attempt.
pub(crate) fn all_accepted(batch: &Batch) -> Vec<Outcome> {
    let members = batch.selection.unsettled(&batch.settled);
    let accepted = members.map(|(position, _)| Outcome {
        position,
        subscription: None,
        kind: OutcomeKind::Accepted,
        attempt: 1,
        last_answer: None,
    });
    accepted.collect()
}

/// Runs tasks on several threads, all at once. Their results come in the order of their ends.
pub(crate) async fn at_once<F>(tasks: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tasks.into_iter().collect::<JoinSet<_>>().join_all().await
}

impl<H: Harness> World<H> {
    pub(crate) async fn new() -> Self {
        let harness = H::new().await;
        let entities = Entities::default();
        let key = entities.new_vapid_key(VapidKeyState::Active);
        let key = harness.store().add_vapid_key(key).await.unwrap().id;
        Self {
            harness,
            entities,
            key,
        }
    }

    /// Another application with an active VAPID key of its own.
    pub(crate) async fn add_application(&mut self) -> (ApplicationId, VapidKeyId) {
        let name = ApplicationName::parse("another").expect("a plain name");
        let application = self.harness.add_application(&name).await;
        let key = self.entities.new_vapid_key(VapidKeyState::Active);
        let key = tidings_core::store::NewVapidKey { application, ..key };
        (
            application,
            self.store().add_vapid_key(key).await.unwrap().id,
        )
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.harness.store()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.entities.now()
    }

    pub(crate) fn wait(&self, duration: Duration) -> Timestamp {
        self.entities.clock.advance(duration)
    }

    /// A registration, a millisecond after whatever was before it.
    pub(crate) async fn register(&self, new: NewSubscription) -> SubscriptionRecord {
        let registered = self.store().register(new).await.unwrap();
        self.wait(Duration::from_millis(1));
        match registered {
            Registration::Created(record) | Registration::Updated(record) => record,
            other => panic!("the registration is taken, not {other:?}"),
        }
    }

    pub(crate) async fn subscribe(&self) -> SubscriptionRecord {
        self.register(self.entities.new_subscription(self.key))
            .await
    }

    pub(crate) async fn subscribe_many(&self, count: usize) -> Vec<SubscriptionRecord> {
        let mut subscribers = Vec::with_capacity(count);
        for _ in 0..count {
            subscribers.push(self.subscribe().await);
        }
        subscribers
    }

    /// Registers so many at once. They come in no particular order.
    pub(crate) async fn subscribe_at_once(&self, count: usize) -> Vec<SubscriptionRecord> {
        let registrations = (0..count).map(|_| {
            let store = self.store();
            let new = self.entities.new_subscription(self.key);
            async move { store.register(new).await.unwrap() }
        });
        let created = at_once(registrations)
            .await
            .into_iter()
            .map(|registered| match registered {
                Registration::Created(record) => record,
                other => panic!("a new endpoint is created, not {other:?}"),
            });
        created.collect()
    }

    /// Forgets tombstones that ended before this instant, and nothing else.
    pub(crate) fn tombstones_before(&self, before: Timestamp) -> Sweep {
        let never = Timestamp::from_millis(0);
        Sweep {
            now: self.now(),
            tombstones_before: before,
            idempotency_keys_before: never,
            suspects_before: never,
            answers_before: never,
            fold_before: never,
            messages_before: never,
        }
    }

    pub(crate) async fn subscription(&self, id: SubscriptionId) -> SubscriptionRecord {
        let found = self
            .store()
            .subscription(ApplicationId::DEFAULT, id)
            .await
            .unwrap();
        found.expect("the subscription is known")
    }

    pub(crate) async fn state_of(&self, subscriber: &SubscriptionRecord) -> SubscriptionState {
        self.subscription(subscriber.id).await.state
    }

    pub(crate) async fn end(&self, subscriber: &SubscriptionRecord) {
        let (app, id) = (subscriber.application, subscriber.id);
        assert!(
            self.store()
                .end_subscription(app, id, self.now())
                .await
                .unwrap()
        );
    }

    /// Accepts a message, a millisecond after whatever was before it.
    pub(crate) async fn accept(&self, audience: Audience) -> MessageRecord {
        self.accept_new(self.entities.new_message(audience)).await
    }

    pub(crate) async fn accept_new(&self, new: NewMessage) -> MessageRecord {
        let accepted = self.store().accept(new, None).await.unwrap();
        self.wait(Duration::from_millis(1));
        match accepted {
            Accepted::New(record) => record,
            other => panic!("a message without an idempotency key is new, not {other:?}"),
        }
    }

    pub(crate) async fn message(&self, id: MessageId) -> MessageRecord {
        let found = self
            .store()
            .message(ApplicationId::DEFAULT, id)
            .await
            .unwrap();
        found.expect("the message is known")
    }

    pub(crate) async fn counts(&self, id: MessageId) -> MessageCounts {
        self.message(id).await.counts
    }

    /// A batch of the default push service that is due at once.
    pub(crate) fn batch(&self, selection: Selection) -> NewBatch {
        NewBatch {
            group: mozilla(),
            due_at: self.now(),
            selection,
        }
    }

    /// The only step of a message's plan.
    pub(crate) fn whole_plan(&self, message: MessageId, batches: Vec<NewBatch>) -> PlannedStep {
        PlannedStep {
            message,
            from: Seq::ZERO,
            to: Seq::ZERO,
            batches,
            complete: true,
            now: self.now(),
        }
    }

    /// Plans a message in one step with these batches.
    pub(crate) async fn cut(&self, message: MessageId, batches: Vec<NewBatch>) -> Vec<BatchId> {
        let step = self.whole_plan(message, batches);
        self.store()
            .add_planned(step)
            .await
            .unwrap()
            .expect("nobody else planned it")
    }

    /// What a planner asks for that nobody had a turn of yet.
    pub(crate) fn a_round(&self) -> PlanRound {
        PlanRound {
            now: self.now(),
            after: ApplicationId::from_i64(0),
            direct: 8,
            bulk: 8,
        }
    }

    /// The message that is to be planned first.
    pub(crate) async fn next_plan(&self) -> Option<Plan> {
        let plans = self.store().next_plans(self.a_round()).await.unwrap();
        plans.into_iter().next()
    }

    /// A claim with a new token on the default push service's broadcasts.
    pub(crate) fn a_claim(&self, limit: u16) -> Claim {
        Claim {
            application: ApplicationId::DEFAULT,
            group: mozilla(),
            lane: Lane::Bulk,
            limit,
            token: self.entities.randomness.octets(),
            now: self.now(),
        }
    }

    pub(crate) async fn claim(&self, limit: u16) -> Vec<LeasedBatch> {
        self.store().claim_due(self.a_claim(limit)).await.unwrap()
    }

    /// Like [`Self::sending`], for many.
    pub(crate) async fn sending_at_once(&self, count: usize) -> Sending {
        let mut subscribers = self.subscribe_at_once(count).await;
        subscribers.sort_by_key(|subscriber| subscriber.seq);
        self.sending_to(subscribers, range_of).await
    }

    /// A broadcast to `count` new subscriptions whose one batch is claimed.
    pub(crate) async fn sending(&self, count: usize) -> Sending {
        self.sending_as(count, range_of).await
    }

    pub(crate) async fn sending_as(
        &self,
        count: usize,
        select: impl Fn(&[Seq]) -> Selection,
    ) -> Sending {
        let subscribers = self.subscribe_many(count).await;
        self.sending_to(subscribers, select).await
    }

    async fn sending_to(
        &self,
        subscribers: Vec<SubscriptionRecord>,
        select: impl Fn(&[Seq]) -> Selection,
    ) -> Sending {
        let selection = select(&seqs(&subscribers));
        let LeasedBatch { batch, lease } = self.another_to(selection).await;
        Sending {
            subscribers,
            message: batch.message,
            batch,
            lease,
        }
    }

    /// One more message to known subscriptions, as the last of what was claimed.
    pub(crate) async fn another_to(&self, selection: Selection) -> LeasedBatch {
        let message = self.accept(Audience::All).await.id;
        self.cut(message, vec![self.batch(selection)]).await;
        let mut claimed = self.claim(2).await;
        assert_eq!(claimed.len(), 1, "nothing else is due");
        claimed.remove(0)
    }

    /// Claims a batch that is not claimed any more.
    pub(crate) async fn claim_again(&self, sending: &mut Sending) {
        let mut claimed = self.claim(2).await;
        assert_eq!(claimed.len(), 1, "only the batch of this message is due");
        let LeasedBatch { batch, lease } = claimed.remove(0);
        assert_eq!(batch.id, sending.batch.id);
        sending.batch = batch;
        sending.lease = lease;
    }

    pub(crate) async fn record(&self, sending: &Sending, outcomes: Vec<Outcome>) {
        self.store()
            .record(&sending.lease, outcomes, self.now())
            .await
            .unwrap();
    }

    /// The members of the batch whose turn it is, in rising order of their positions.
    pub(crate) async fn load(&self, batch: &Batch) -> Vec<LoadedMember> {
        let positions = batch
            .selection
            .unsettled(&batch.settled)
            .map(|(position, _)| position);
        let loaded = self
            .store()
            .load_members(batch, positions.collect(), self.now())
            .await;
        let mut loaded = loaded.unwrap().turn;
        loaded.sort_by_key(|member| member.position);
        loaded
    }
}

/// A broadcast whose one batch is claimed.
pub(crate) struct Sending {
    pub(crate) subscribers: Vec<SubscriptionRecord>,
    pub(crate) message: MessageId,
    pub(crate) batch: Batch,
    pub(crate) lease: Lease,
}

impl Sending {
    /// What became of the first attempt for one of the subscribers.
    pub(crate) fn outcome(&self, subscriber: usize, kind: OutcomeKind) -> Outcome {
        outcome(&self.batch, &self.subscribers[subscriber], kind, 1)
    }

    /// The same for all subscribers.
    pub(crate) fn all(&self, kind: OutcomeKind) -> Vec<Outcome> {
        (0..self.subscribers.len())
            .map(|subscriber| self.outcome(subscriber, kind))
            .collect()
    }
}
