//! An engine on a real store, with a push service that follows a script and a clock that moves
//! only when a test waits.
//!
//! The store works on threads of its own, so the runtime must not take waiting for it for
//! idleness and jump to the next timer: time is paused, kept from moving by itself, and moved on in
//! steps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tempfile::TempDir;
use tidings_core::alert::AlertBoard;
use tidings_core::application::{
    Application, ApplicationId, ApplicationName, Applications, DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
    PageUsers,
};
use tidings_core::batch::Lane;
use tidings_core::clock::{Clock, Timestamp};
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::message::{Audience, MessageRecord, MessageState, NewMessage};
use tidings_core::metrics::Metrics;
use tidings_core::queue::WakePlanner as _;
use tidings_core::sealing::{Sealer, SealingKey};
use tidings_core::store::{Registration, Store};
use tidings_core::subscription::SubscriptionState;
use tidings_core::user_token::UserTokenKeys;
use tidings_core::vapid_key::VapidKeyState;
use tidings_delivery::engine::{Engine, Parts, PlannerWake, Policy};
use tidings_delivery::queue::ChannelQueue;
use tidings_delivery::transport::{Transport, TransportError, Turn};
use tidings_store_sqlite::{Options, SqliteStore};
use tidings_testkit::{Entities, FixedClock};
use tidings_webpush::{PushResource, PushService, SystemRandomness};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

/// Moves with the runtime's time, which tests pause.
pub(crate) struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        FixedClock::START.plus(self.0.elapsed())
    }
}

/// What a push service does with the n-th POST to a push resource, counted from 1.
pub(crate) type Script =
    dyn Fn(&PushResource, usize) -> Result<Response<Bytes>, TransportError> + Send + Sync;

/// A push service that follows a script and remembers when what was posted.
pub(crate) struct ScriptedPushService {
    clock: Arc<RuntimeClock>,
    script: Box<Script>,
    posts: Mutex<HashMap<String, Vec<Timestamp>>>,
    /// As much room as a connection to it has; a test may take it away.
    pub(crate) room: Semaphore,
    /// Answers wait for a permit each, where there is a gate.
    gate: Option<Arc<Semaphore>>,
}

impl ScriptedPushService {
    /// When the push resource was posted to.
    pub(crate) fn posts(&self, resource: &PushResource) -> Vec<Timestamp> {
        self.posts
            .lock()
            .unwrap()
            .get(resource.expose())
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn all_posts(&self) -> usize {
        self.posts.lock().unwrap().values().map(Vec::len).sum()
    }
}

/// The way to the scripted push service.
struct Wire(Arc<ScriptedPushService>);

#[async_trait]
impl Transport for Wire {
    async fn turn(
        &self,
        resource: &PushResource,
        _lane: Lane,
    ) -> Result<Box<dyn Turn>, TransportError> {
        drop(self.0.room.acquire().await.unwrap());
        Ok(Box::new(ScriptedTurn {
            push_service: Arc::clone(&self.0),
            resource: resource.clone(),
        }))
    }
}

struct ScriptedTurn {
    push_service: Arc<ScriptedPushService>,
    resource: PushResource,
}

#[async_trait]
impl Turn for ScriptedTurn {
    async fn post(
        self: Box<Self>,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        assert!(request.headers().contains_key("ttl"));
        let (push_service, resource) = (&self.push_service, &self.resource);
        let number = {
            let mut posts = push_service.posts.lock().unwrap();
            let posts = posts.entry(resource.expose().to_owned()).or_default();
            posts.push(push_service.clock.now());
            posts.len()
        };
        if let Some(gate) = &push_service.gate {
            gate.acquire().await.unwrap().forget();
        }
        (push_service.script)(resource, number)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a script's answer, where it is not a failure"
)]
pub(crate) fn answer(status: u16) -> Result<Response<Bytes>, TransportError> {
    Ok(Response::builder()
        .status(status)
        .body(Bytes::new())
        .unwrap())
}

pub(crate) struct Rig {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) push_service: Arc<ScriptedPushService>,
    pub(crate) entities: Entities,
    clock: Arc<RuntimeClock>,
    vapid_key: VapidKeyId,
    wake: PlannerWake,
    pub(crate) alerts: Arc<AlertBoard>,
    pub(crate) metrics: Arc<Metrics>,
    engine: Option<Engine>,
    step: Duration,
    /// A blocking task that waits for this to go away keeps the runtime's time where it is.
    _time_stands_still: mpsc::Sender<()>,
    _directory: TempDir,
}

impl Rig {
    /// A running engine; the runtime's time must be paused.
    pub(crate) async fn start(
        script: impl Fn(&PushResource, usize) -> Result<Response<Bytes>, TransportError>
        + Send
        + Sync
        + 'static,
        gate: Option<Arc<Semaphore>>,
    ) -> Self {
        let (time_stands_still, end) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || end.recv());
        let directory = tempfile::tempdir().unwrap();
        let entities = Entities::new(1);
        let key = SealingKey::generate(&SystemRandomness);
        let store: Arc<dyn Store> = Arc::new(
            SqliteStore::open(Options {
                directory: directory.path().to_owned(),
                sealer: Arc::new(Sealer::new(&key, &[]).unwrap()),
                randomness: Arc::new(SystemRandomness),
                now: FixedClock::START,
            })
            .unwrap(),
        );
        let new_key = entities.new_vapid_key(VapidKeyState::Active);
        let vapid_key = store.add_vapid_key(new_key).await.unwrap().id;
        let clock = Arc::new(RuntimeClock(Instant::now()));
        let push_service = Arc::new(ScriptedPushService {
            clock: Arc::clone(&clock),
            script: Box::new(script),
            posts: Mutex::default(),
            room: Semaphore::new(Semaphore::MAX_PERMITS),
            gate,
        });
        let mut rig = Self {
            store,
            push_service,
            entities,
            vapid_key,
            wake: PlannerWake::default(),
            alerts: Arc::new(AlertBoard::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            metrics: Arc::default(),
            clock,
            engine: None,
            step: Duration::from_millis(50),
            _time_stands_still: time_stands_still,
            _directory: directory,
        };
        rig.engine = Some(rig.start_engine());
        rig
    }

    fn start_engine(&self) -> Engine {
        let public_url = Url::parse("https://push.example.org/").unwrap();
        let application = Application {
            id: ApplicationId::DEFAULT,
            name: ApplicationName::parse("default").unwrap(),
            cors_origins: Vec::new(),
            page_users: PageUsers::Proved,
            user_token_keys: UserTokenKeys::default(),
            max_subscriptions_per_user: DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
            site_url: public_url.clone(),
        };
        let parts = Parts {
            store: Arc::clone(&self.store),
            queue: Arc::new(ChannelQueue::default()),
            transport: Arc::new(Wire(Arc::clone(&self.push_service))),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            randomness: Arc::new(SystemRandomness),
            macs: Arc::clone(&self.entities.macs),
            applications: Applications::new([application]),
            public_url,
            contact: None,
            planner_wake: self.wake.clone(),
            alerts: Arc::clone(&self.alerts),
            metrics: Arc::clone(&self.metrics),
        };
        Engine::start(parts, Policy::default())
    }

    pub(crate) async fn subscribe(&self, service: PushService) -> (SubscriptionId, PushResource) {
        let subscription = self.entities.subscription_at(service);
        let resource = subscription.push_resource.clone();
        let new = self.entities.registration(subscription, self.vapid_key);
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

    pub(crate) async fn send(&self, message: NewMessage) -> MessageId {
        let id = message.id;
        self.store.accept(message, None).await.unwrap();
        self.wake.message_accepted();
        id
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
            let message = self
                .store
                .message(ApplicationId::DEFAULT, id)
                .await
                .unwrap()
                .unwrap();
            if wanted(&message) {
                return message;
            }
            last = Some(message);
            // A write of our own queues behind those of the engine: no step leaves it behind.
            self.store.check().await.unwrap();
            tokio::time::advance(self.step).await;
        }
        panic!("never became as wanted: {last:?}")
    }

    pub(crate) async fn state_of(&self, id: SubscriptionId) -> SubscriptionState {
        let record = self
            .store
            .subscription(ApplicationId::DEFAULT, id)
            .await
            .unwrap();
        record.unwrap().state
    }

    /// The engine, for a test that stops it while it looks at what happens.
    pub(crate) fn take_engine(&mut self) -> Engine {
        self.engine.take().unwrap()
    }

    pub(crate) async fn shutdown(&mut self) {
        self.take_engine().shutdown().await;
    }
}
