//! An engine on a real store, with push services that follow a script and a clock that moves
//! only when a test waits.
//!
//! The store works on threads of its own, so the runtime must not take waiting for it for
//! idleness and jump to the next timer: time is paused, kept from moving by itself, and moved on in
//! steps, each after everything that the one before led to has happened.

mod commanded_store;
mod log;
mod push_service;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;
use tidings_core::alert::{AlertBoard, AlertKind};
use tidings_core::application::{
    Application, ApplicationId, ApplicationName, Applications, DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
    PageUsers,
};
use tidings_core::clock::{Clock, Timestamp};
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::message::{Audience, MessageRecord, MessageState, NewMessage};
use tidings_core::metrics::Metrics;
use tidings_core::queue::WakePlanner as _;
use tidings_core::sealing::{Sealer, SealingKey};
use tidings_core::store::{NewSubscription, NewVapidKey, Registration, SendingStore, Store};
use tidings_core::subscription::SubscriptionState;
use tidings_core::user_token::UserTokenKeys;
use tidings_core::vapid_key::VapidKeyState;
use tidings_delivery::engine::{Engine, Parts, PlannerWake, Policy};
use tidings_delivery::queue::ChannelQueue;
use tidings_store_sqlite::{Options, SqliteStore};
use tidings_testkit::{Entities, FixedClock};
use tidings_webpush::{PushResource, PushService, Subscription, SystemRandomness};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

pub(crate) use crate::rig::commanded_store::{CommandedStore, Fault};
pub(crate) use crate::rig::log::Log;
pub(crate) use crate::rig::push_service::{
    Answered, Post, ScriptedPushService, Wire, answer, answer_later,
};

/// Moves with the runtime's time, which tests pause, and jumps where a test says so.
pub(crate) struct RuntimeClock {
    start: Instant,
    set_by_ms: AtomicI64,
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        let now = FixedClock::START.plus(self.start.elapsed());
        Timestamp::from_millis(now.as_millis() + self.set_by_ms.load(Ordering::SeqCst))
    }
}

/// The application that is there besides [`ApplicationId::DEFAULT`].
pub(crate) fn other_application() -> ApplicationId {
    ApplicationId::from_i64(2)
}

pub(crate) struct Rig {
    pub(crate) store: Arc<dyn Store>,
    /// The same as the engine sees it.
    pub(crate) commanded: Arc<CommandedStore>,
    pub(crate) push_service: Arc<ScriptedPushService>,
    pub(crate) entities: Entities,
    pub(crate) clock: Arc<RuntimeClock>,
    pub(crate) vapid_key: VapidKeyId,
    wake: PlannerWake,
    pub(crate) alerts: Arc<AlertBoard>,
    pub(crate) metrics: Arc<Metrics>,
    engine: Option<Engine>,
    step: Duration,
    options: Options,
    /// A blocking task that waits for this to go away keeps the runtime's time where it is.
    _time_stands_still: mpsc::Sender<()>,
    _directory: TempDir,
}

impl Rig {
    /// A running engine; the runtime's time must be paused.
    pub(crate) async fn start(
        script: impl Fn(&PushResource, usize) -> Answered + Send + Sync + 'static,
        gate: Option<Arc<Semaphore>>,
    ) -> Self {
        let (time_stands_still, end) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || end.recv());
        let directory = tempfile::tempdir().unwrap();
        let entities = Entities::new(1);
        let key = SealingKey::generate(&SystemRandomness);
        let options = Options {
            directory: directory.path().to_owned(),
            sealer: Arc::new(Sealer::new(&key, &[]).unwrap()),
            randomness: Arc::new(SystemRandomness),
            now: FixedClock::START,
        };
        let store = open(&options);
        let new_key = entities.new_vapid_key(VapidKeyState::Active);
        let vapid_key = store.add_vapid_key(new_key).await.unwrap().id;
        let clock = Arc::new(RuntimeClock {
            start: Instant::now(),
            set_by_ms: AtomicI64::new(0),
        });
        let push_service = ScriptedPushService::new(Arc::clone(&clock), Box::new(script), gate);
        let mut rig = Self {
            commanded: Arc::new(CommandedStore::new(Arc::clone(&store), Arc::clone(&clock))),
            store,
            push_service: Arc::new(push_service),
            entities,
            vapid_key,
            wake: PlannerWake::default(),
            alerts: Arc::new(AlertBoard::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            metrics: Arc::default(),
            clock,
            engine: None,
            step: Duration::from_millis(50),
            options,
            _time_stands_still: time_stands_still,
            _directory: directory,
        };
        rig.engine = Some(rig.start_engine());
        rig
    }

    fn start_engine(&self) -> Engine {
        let public_url = Url::parse("https://push.example.org/").unwrap();
        let application = |id, name| Application {
            id,
            name: ApplicationName::parse(name).unwrap(),
            cors_origins: Vec::new(),
            page_users: PageUsers::Proved,
            user_token_keys: UserTokenKeys::default(),
            max_subscriptions_per_user: DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
            site_url: public_url.clone(),
        };
        let parts = Parts {
            store: Arc::clone(&self.commanded) as Arc<dyn SendingStore>,
            queue: Arc::new(ChannelQueue::default()),
            transport: Arc::new(Wire(Arc::clone(&self.push_service))),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            randomness: Arc::new(SystemRandomness),
            macs: Arc::clone(&self.entities.macs),
            applications: Applications::new([
                application(ApplicationId::DEFAULT, "default"),
                application(other_application(), "other"),
            ]),
            public_url: public_url.clone(),
            contact: None,
            planner_wake: self.wake.clone(),
            alerts: Arc::clone(&self.alerts),
            metrics: Arc::clone(&self.metrics),
        };
        Engine::start(parts, Policy::default())
    }

    /// Ends the engine as `kill -9` would, and opens the store anew without starting another.
    pub(crate) async fn crash(&mut self) {
        self.commanded.kill();
        self.commanded.idle().await;
        self.engine = None;
        // The folder is held until the store is closed.
        let elsewhere = tempfile::tempdir().unwrap();
        self.store = open(&Options {
            directory: elsewhere.path().to_owned(),
            ..self.options.clone()
        });
        self.store = open(&self.options);
    }

    /// Starts an engine on the store, as a new process would.
    pub(crate) fn restart(&mut self) {
        let store = CommandedStore::new(Arc::clone(&self.store), Arc::clone(&self.clock));
        self.commanded = Arc::new(store);
        self.engine = Some(self.start_engine());
    }

    /// Sets the wall clock, forwards or backwards; monotonic time goes on as before.
    pub(crate) fn set_clock_by(&self, seconds: i64) {
        let milliseconds = seconds * 1000;
        self.clock
            .set_by_ms
            .fetch_add(milliseconds, Ordering::SeqCst);
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends a subscription, as its page would.
    pub(crate) async fn end(&self, id: SubscriptionId) {
        let (app, now) = (ApplicationId::DEFAULT, self.clock.now());
        assert!(self.store.end_subscription(app, id, now).await.unwrap());
    }

    /// The store's file, for what no method of a store does.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.options.directory.join("tidings.sqlite3")).unwrap()
    }

    /// Adds [`other_application`], with a key of its own.
    pub(crate) async fn add_other_application(&self) -> VapidKeyId {
        // No method of a store makes one yet.
        let sql = "INSERT INTO applications (id, name, created_at) VALUES (2, 'other', 0)";
        self.database().execute(sql, []).unwrap();
        self.add_key(other_application(), VapidKeyState::Active)
            .await
    }

    pub(crate) async fn add_key(&self, app: ApplicationId, state: VapidKeyState) -> VapidKeyId {
        let key = NewVapidKey {
            application: app,
            ..self.entities.new_vapid_key(state)
        };
        self.store.add_vapid_key(key).await.unwrap().id
    }

    pub(crate) async fn subscribe(&self, service: PushService) -> (SubscriptionId, PushResource) {
        let subscription = self.entities.subscription_at(service);
        self.register(subscription, ApplicationId::DEFAULT, self.vapid_key)
            .await
    }

    /// So many subscriptions, registered at once.
    pub(crate) async fn subscribe_many(
        &self,
        count: usize,
        service: PushService,
    ) -> Vec<(SubscriptionId, PushResource)> {
        join_all((0..count).map(|_| self.subscribe(service))).await
    }

    /// A subscription with this endpoint.
    pub(crate) async fn subscribe_at(&self, endpoint: &str) -> (SubscriptionId, PushResource) {
        let subscription = Subscription {
            push_resource: PushResource::parse(endpoint).unwrap(),
            ..self.entities.subscription()
        };
        self.register(subscription, ApplicationId::DEFAULT, self.vapid_key)
            .await
    }

    pub(crate) async fn register(
        &self,
        subscription: Subscription,
        application: ApplicationId,
        key: VapidKeyId,
    ) -> (SubscriptionId, PushResource) {
        let resource = subscription.push_resource.clone();
        let new = NewSubscription {
            application,
            endpoint_hash: self.entities.macs.endpoint(application, &resource),
            vapid_key: None,
            ..self.entities.registration(subscription, key)
        };
        match self.store.register(new).await.unwrap() {
            Registration::Created(record) => (record.id, resource),
            other => panic!("not new: {other:?}"),
        }
    }

    pub(crate) fn message(&self, audience: Audience) -> NewMessage {
        let now = self.clock.now();
        NewMessage {
            accepted_at: now,
            due_at: now,
            ..self.entities.new_message(audience)
        }
    }

    /// A message to everybody, wanted for so long.
    pub(crate) fn broadcast_for(&self, ttl: Duration) -> NewMessage {
        let mut message = self.message(Audience::All);
        message.options.ttl = ttl;
        message
    }

    /// A message to some subscriptions.
    pub(crate) fn direct(&self, subscriptions: Vec<SubscriptionId>) -> NewMessage {
        self.message(Audience::Listed {
            subscriptions,
            users: Vec::new(),
        })
    }

    pub(crate) async fn send(&self, message: NewMessage) -> MessageId {
        let id = message.id;
        self.store.accept(message, None).await.unwrap();
        self.wake.message_accepted();
        id
    }

    pub(crate) async fn broadcast(&self) -> MessageId {
        self.send(self.message(Audience::All)).await
    }

    pub(crate) async fn look(&self, id: MessageId) -> MessageRecord {
        for app in [ApplicationId::DEFAULT, other_application()] {
            if let Some(message) = self.store.message(app, id).await.unwrap() {
                return message;
            }
        }
        panic!("no such message: {id}")
    }

    pub(crate) async fn wait_until_done(&self, id: MessageId) -> MessageRecord {
        self.wait_for(id, |message| message.state == MessageState::Done)
            .await
    }

    /// Moves time on in steps of this size from now on.
    pub(crate) fn in_steps_of(mut self, step: Duration) -> Self {
        self.step = step;
        self
    }

    /// Moves time on until a message looks as wanted.
    pub(crate) async fn wait_for(
        &self,
        id: MessageId,
        wanted: impl Fn(&MessageRecord) -> bool,
    ) -> MessageRecord {
        let mut last = None;
        for _ in 0..20_000 {
            self.settle().await;
            let message = self.look(id).await;
            if wanted(&message) {
                return message;
            }
            last = Some(message);
            tokio::time::advance(self.step).await;
        }
        panic!("never became as wanted: {last:?}")
    }

    /// Moves time on until something is so.
    pub(crate) async fn wait_until(&self, wanted: impl Fn() -> bool) {
        for _ in 0..20_000 {
            self.settle().await;
            if wanted() {
                return;
            }
            tokio::time::advance(self.step).await;
        }
        panic!("never became as wanted")
    }

    /// Lets so much time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.settle().await;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::advance(left.min(self.step)).await;
        }
    }

    /// Waits until all that can happen at this instant has happened.
    pub(crate) async fn settle(&self) {
        let progress = || (self.commanded.all_calls(), self.push_service.all_posts());
        let (mut before, mut quiet) = (progress(), 0);
        while quiet < QUIET {
            self.commanded.idle().await;
            tokio::task::yield_now().await;
            let now = progress();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
    }

    pub(crate) async fn state_of(&self, id: SubscriptionId) -> SubscriptionState {
        let record = self
            .store
            .subscription(ApplicationId::DEFAULT, id)
            .await
            .unwrap();
        record.unwrap().state
    }

    /// The conditions that need an operator.
    pub(crate) fn alerted(&self) -> Vec<AlertKind> {
        let alerts = self.alerts.alerts();
        alerts.iter().map(|alert| alert.condition.kind()).collect()
    }

    /// The engine, for a test that stops it while it looks at what happens.
    pub(crate) fn take_engine(&mut self) -> Engine {
        self.engine.take().unwrap()
    }

    /// Stops the engine, with time moving on: what is under way may take some.
    pub(crate) async fn shutdown(&mut self) {
        let mut stopped = std::pin::pin!(self.take_engine().shutdown());
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return,
                () = self.settle() => tokio::time::advance(self.step).await,
            }
        }
    }
}

/// So often nothing must have happened before it is taken for certain that nothing will.
const QUIET: usize = 24;

fn open(options: &Options) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(options.clone()).unwrap())
}
