//! The engine: a planner, a dispatcher, and a worker for each claimed batch.

mod aside;
mod backlog;
mod batch_worker;
mod clock_watch;
mod deliveries;
mod dispatcher;
mod encrypting;
mod keyring;
mod left_out;
mod next_attempts;
mod pass;
mod pass_report;
mod planner;
mod record_health;
mod recorder;
mod rests;
mod sender;
mod shares;
mod token_keeper;
mod turns;

use std::fmt;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tidings_core::alert::AlertBoard;
use tidings_core::application::Applications;
use tidings_core::clock::Clock;
use tidings_core::delivery::RetryPolicy;
use tidings_core::mac::Macs;
use tidings_core::metrics::Metrics;
use tidings_core::queue::{BatchQueue, WakePlanner};
use tidings_core::store::SendingStore;
use tidings_webpush::{Contact, Padding, Randomness};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::engine::backlog::Backlog;
use crate::engine::batch_worker::BatchWorker;
use crate::engine::dispatcher::Dispatcher;
use crate::engine::encrypting::Encrypting;
use crate::engine::keyring::Keyring;
use crate::engine::planner::Planner;
use crate::engine::record_health::RecordHealth;
use crate::engine::recorder::Recording;
use crate::engine::rests::Rests;
use crate::engine::sender::Sender;
use crate::engine::shares::Shares;
use crate::manners::{Manners, MannersPolicy};
use crate::transport::Transport;

/// What an engine is made of. The binary chooses each.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn SendingStore>,
    /// Carries hints from the planner to the dispatcher.
    pub queue: Arc<dyn BatchQueue>,
    /// Gets requests to push services.
    pub transport: Arc<dyn Transport>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where salts, tokens and jitter come from.
    pub randomness: Arc<dyn Randomness>,
    /// Computes the proofs of receipts.
    pub macs: Arc<Macs>,
    /// The applications.
    pub applications: Applications,
    /// How browsers reach this server.
    pub public_url: Url,
    /// VAPID `sub`.
    pub contact: Option<Contact>,
    /// Told when there is something to plan.
    pub planner_wake: PlannerWake,
    /// Where what needs an operator is shown.
    pub alerts: Arc<AlertBoard>,
    /// Where what is done is counted.
    pub metrics: Arc<Metrics>,
}

/// How the engine goes about its work.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long and how often to try again.
    pub retry: RetryPolicy,
    /// How far to pad payloads.
    pub padding: Padding,
    /// How much is asked of push services, and when they are left alone.
    pub manners: MannersPolicy,
    /// Outcomes are recorded when there are so many, of all passes together …
    pub record_outcomes: usize,
    /// … or at the latest after so long.
    pub record_interval: Duration,
    /// How often to look for due work without a hint.
    pub poll: Duration,
    /// How long a stopping engine waits for answers.
    pub drain: Duration,
}

/// Sizes say less about a message when they come in steps.
const PADDING_STEP: NonZeroU16 = NonZeroU16::new(128).unwrap();

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            padding: Padding::ToMultipleOf(PADDING_STEP),
            manners: MannersPolicy::default(),
            // Less than the 256 that are promised: while some are written down, others come.
            record_outcomes: 128,
            record_interval: Duration::from_millis(200),
            poll: Duration::from_secs(1),
            drain: Duration::from_secs(10),
        }
    }
}

/// Wakes the planner of the same process.
#[derive(Clone, Debug, Default)]
pub struct PlannerWake {
    notify: Arc<Notify>,
}

impl WakePlanner for PlannerWake {
    fn message_accepted(&self) {
        self.notify.notify_one();
    }
}

/// A running engine.
pub struct Engine {
    tasks: TaskTracker,
    stop: CancellationToken,
    transport: Arc<dyn Transport>,
    drain: Duration,
}

impl Engine {
    /// Starts planner and dispatcher. They stop when [`Engine::shutdown`] is called.
    pub fn start(parts: Parts, policy: Policy) -> Self {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let drain = policy.drain;
        let transport = Arc::clone(&parts.transport);
        let health = RecordHealth::new(Arc::clone(&parts.alerts));
        let planner = Planner::new(&parts, policy.poll);
        tasks.spawn(planner.run(health.clone(), stop.clone()));
        let dispatcher = dispatcher(parts, policy, health, tasks.clone(), &stop);
        tasks.spawn(dispatcher.run(stop.clone()));
        Self {
            tasks,
            stop,
            transport,
            drain,
        }
    }

    /// Claims nothing more, finishes what is under way as far as the time for it reaches, records
    /// it, and gives the rest back.
    pub async fn shutdown(self) {
        self.stop.cancel();
        // What waits for a connection would be posted while the time runs out, and once more after
        // the next start.
        self.transport.close();
        self.tasks.close();
        // Workers stop waiting for answers after `drain`; recording what came takes a little more.
        let limit = self.drain + Duration::from_secs(5);
        if tokio::time::timeout(limit, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "stopped before all outcomes were recorded; these sends may be repeated"
            );
        }
    }
}

fn dispatcher(
    parts: Parts,
    policy: Policy,
    health: RecordHealth,
    tasks: TaskTracker,
    stop: &CancellationToken,
) -> Dispatcher {
    let poll = policy.poll;
    let manners = Manners::new(
        policy.manners.clone(),
        Arc::clone(&parts.alerts),
        Arc::clone(&parts.metrics),
        Arc::clone(&parts.randomness),
    );
    let recording = Recording {
        store: Arc::clone(&parts.store),
        clock: Arc::clone(&parts.clock),
        health,
        metrics: Arc::clone(&parts.metrics),
        backlog: Backlog::new(policy.record_outcomes),
    };
    let sender = Sender {
        transport: parts.transport,
        clock: parts.clock,
        randomness: Arc::clone(&parts.randomness),
        macs: parts.macs,
        encrypting: Encrypting::new(runtime_threads()),
        keyring: Keyring::new(parts.store, parts.contact, &tasks),
        applications: parts.applications,
        public_url: parts.public_url,
        policy,
    };
    let batch_ended = Arc::default();
    let worker = BatchWorker {
        sender: Arc::new(sender),
        manners: Arc::new(manners),
        recording,
        shares: Shares::new(Arc::clone(&batch_ended)),
        stop: stop.clone(),
    };
    Dispatcher {
        worker,
        queue: parts.queue,
        randomness: parts.randomness,
        metrics: parts.metrics,
        tasks,
        poll,
        rests: Rests::default(),
        batch_ended,
    }
}

fn runtime_threads() -> NonZeroUsize {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}
