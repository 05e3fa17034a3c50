//! Push services that follow a script.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tidings_core::batch::Lane;
use tidings_core::clock::{Clock as _, Timestamp};
use tidings_delivery::transport::{Posting, Transport, TransportError, Turn};
use tidings_webpush::PushResource;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::rig::RuntimeClock;

pub(crate) type Answered = Result<Response<Bytes>, TransportError>;

/// What a push service does with the n-th POST to a push resource, counted from 1.
pub(crate) type Script = dyn Fn(&PushResource, usize) -> Answered + Send + Sync;

/// A POST, as the push service saw it.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// When it came.
    pub(crate) at: Timestamp,
    pub(crate) origin: String,
    pub(crate) ttl: u64,
    pub(crate) authorization: String,
    pub(crate) body: Bytes,
}

/// Push services that follow one script and remember what was posted.
pub(crate) struct ScriptedPushService {
    clock: Arc<RuntimeClock>,
    script: Box<Script>,
    posts: Mutex<HashMap<String, Vec<Post>>>,
    count: AtomicUsize,
    /// As much room as a connection to it has; a test may take it away.
    pub(crate) room: Semaphore,
    /// Answers wait for a permit each, where there is a gate.
    gate: Option<Arc<Semaphore>>,
    /// How long an answer takes.
    latency: Mutex<Duration>,
    /// How long an answer of these origins takes.
    latencies: Mutex<HashMap<String, Duration>>,
    /// Origins that no connection comes about to.
    down: Mutex<HashSet<String>>,
    /// Origins that answer nothing until they are not in here any more.
    hanging: watch::Sender<HashSet<String>>,
    /// When connections were tried that did not come about.
    dialled: Mutex<Vec<Timestamp>>,
    /// Origins that connections were to be opened to ahead of need.
    expecting: Mutex<Vec<String>>,
}

impl ScriptedPushService {
    pub(crate) fn new(
        clock: Arc<RuntimeClock>,
        script: Box<Script>,
        gate: Option<Arc<Semaphore>>,
    ) -> Self {
        Self {
            clock,
            script,
            posts: Mutex::default(),
            count: AtomicUsize::new(0),
            room: Semaphore::new(Semaphore::MAX_PERMITS),
            gate,
            latency: Mutex::default(),
            latencies: Mutex::default(),
            down: Mutex::default(),
            hanging: watch::Sender::default(),
            dialled: Mutex::default(),
            expecting: Mutex::default(),
        }
    }

    /// Answers take so long from now on.
    pub(crate) fn answer_after(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    /// Answers of this push resource's origin take so long.
    pub(crate) fn slow_down(&self, resource: &PushResource, latency: Duration) {
        let origin = resource.origin().to_owned();
        self.latencies.lock().unwrap().insert(origin, latency);
    }

    /// No connection comes about to this push resource's origin any more.
    pub(crate) fn take_down(&self, resource: &PushResource) {
        let origin = resource.origin().to_owned();
        self.down.lock().unwrap().insert(origin);
    }

    pub(crate) fn bring_up(&self, resource: &PushResource) {
        self.down.lock().unwrap().remove(resource.origin());
    }

    /// When connections were tried that did not come about.
    pub(crate) fn dialled(&self) -> Vec<Timestamp> {
        self.dialled.lock().unwrap().clone()
    }

    /// Origins that connections were to be opened to ahead of need, one for each time.
    pub(crate) fn expecting(&self) -> Vec<String> {
        self.expecting.lock().unwrap().clone()
    }

    /// This push resource's origin answers nothing more.
    pub(crate) fn hang(&self, resource: &PushResource) {
        let origin = resource.origin().to_owned();
        self.hanging
            .send_modify(|hanging| _ = hanging.insert(origin));
    }

    pub(crate) fn unhang(&self, resource: &PushResource) {
        let origin = resource.origin();
        self.hanging
            .send_modify(|hanging| _ = hanging.remove(origin));
    }

    /// What was posted to the push resource.
    pub(crate) fn posts_to(&self, resource: &PushResource) -> Vec<Post> {
        let posts = self.posts.lock().unwrap();
        posts.get(resource.expose()).cloned().unwrap_or_default()
    }

    /// When the push resource was posted to.
    pub(crate) fn posts(&self, resource: &PushResource) -> Vec<Timestamp> {
        let posts = self.posts_to(resource);
        posts.iter().map(|post| post.at).collect()
    }

    pub(crate) fn all_posts(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Every POST so far, the first first.
    pub(crate) fn history(&self) -> Vec<Post> {
        let posts = self.posts.lock().unwrap();
        let mut history: Vec<_> = posts.values().flatten().cloned().collect();
        history.sort_by_key(|post| post.at);
        history
    }

    /// POSTs to one origin.
    pub(crate) fn posts_at(&self, resource: &PushResource) -> Vec<Post> {
        let mut history = self.history();
        history.retain(|post| post.origin == resource.origin());
        history
    }
}

/// How long a request waits for room on a connection.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The way to the scripted push services.
pub(crate) struct Wire(pub(crate) Arc<ScriptedPushService>);

#[async_trait]
impl Transport for Wire {
    async fn turn(
        &self,
        resource: &PushResource,
        _lane: Lane,
        _has_accepted: bool,
    ) -> Result<Box<dyn Turn>, TransportError> {
        // As the transport does.
        match timeout(LONGEST_WAIT, self.0.room.acquire()).await {
            Ok(room) => drop(room.unwrap()),
            Err(_) => return Err(TransportError::NoRoom),
        }
        if self.0.down.lock().unwrap().contains(resource.origin()) {
            self.0.dialled.lock().unwrap().push(self.0.clock.now());
            return Err(TransportError::Connect("refused".to_owned()));
        }
        Ok(Box::new(ScriptedTurn {
            push_service: Arc::clone(&self.0),
            resource: resource.clone(),
        }))
    }

    fn expect(&self, resource: &PushResource, _deliveries: usize) {
        let origin = resource.origin().to_owned();
        self.0.expecting.lock().unwrap().push(origin);
    }
}

struct ScriptedTurn {
    push_service: Arc<ScriptedPushService>,
    resource: PushResource,
}

impl Turn for ScriptedTurn {
    fn post(self: Box<Self>, request: Request<Bytes>) -> Posting {
        Box::pin(async move { self.answer(&request).await })
    }
}

impl ScriptedTurn {
    async fn answer(&self, request: &Request<Bytes>) -> Answered {
        let (push_service, resource) = (&self.push_service, &self.resource);
        let header = |name| request.headers()[name].to_str().unwrap();
        let post = Post {
            at: push_service.clock.now(),
            origin: resource.origin().to_owned(),
            ttl: header("ttl").parse().unwrap(),
            authorization: header("authorization").to_owned(),
            body: request.body().clone(),
        };
        push_service.count.fetch_add(1, Ordering::SeqCst);
        let number = {
            let mut posts = push_service.posts.lock().unwrap();
            let posts = posts.entry(resource.expose().to_owned()).or_default();
            posts.push(post);
            posts.len()
        };
        if let Some(gate) = &push_service.gate {
            gate.acquire().await.unwrap().forget();
        }
        let mut hanging = push_service.hanging.subscribe();
        let answers = |hanging: &HashSet<String>| !hanging.contains(resource.origin());
        drop(hanging.wait_for(answers).await.unwrap());
        let of_its_own = {
            let latencies = push_service.latencies.lock().unwrap();
            latencies.get(resource.origin()).copied()
        };
        let latency = of_its_own.unwrap_or(*push_service.latency.lock().unwrap());
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        (push_service.script)(resource, number)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a script's answer, where it is not a failure"
)]
pub(crate) fn answer(status: u16) -> Answered {
    Ok(Response::builder()
        .status(status)
        .body(Bytes::new())
        .unwrap())
}

/// An answer that says when to come again.
#[expect(
    clippy::unnecessary_wraps,
    reason = "a script's answer, where it is not a failure"
)]
pub(crate) fn answer_later(status: u16, retry_after: &str) -> Answered {
    let told = Response::builder()
        .status(status)
        .header("retry-after", retry_after);
    Ok(told.body(Bytes::new()).unwrap())
}
