//! One pass over a claimed batch.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use tidings_core::batch::{Batch, LeasedBatch, Position};
use tidings_core::delivery::{LastAnswer, Outcome, OutcomeKind, remaining_ttl};
use tidings_core::store::{LoadedMembers, PassEnd, StoreError};
use tidings_webpush::PushService;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::aside::{Aside, PATIENCE};
use crate::engine::deliveries::Deliveries;
use crate::engine::pass::{Onward, Pass, PassError};
use crate::engine::recorder::{Recorder, Recording};
use crate::engine::sender::{BatchMessage, Sender, visitor};
use crate::engine::shares::{OpenBatch, Shares};
use crate::manners::{Busy, Manners};

/// Members that are loaded at once.
const LOADED_AT_ONCE: usize = 256;

/// While as many batches are open as may be, nobody is tried again for so long.
const FULL: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct BatchWorker {
    pub(super) sender: Arc<Sender>,
    pub(super) manners: Arc<Manners>,
    pub(super) recording: Recording,
    pub(super) shares: Shares,
    pub(super) stop: CancellationToken,
}

impl BatchWorker {
    /// Sends to every member whose turn it is, records what became of it, and ends the claim. The
    /// batch counts as open until all that can be posted is. What cannot be read is tried for as long
    /// as `patience` says.
    pub(super) async fn run(
        &self,
        leased: &LeasedBatch,
        open: OpenBatch,
        patience: Duration,
    ) -> Result<PassEnd, PassError> {
        let policy = &self.sender.policy;
        let recorder = Recorder::new(self.recording.clone(), leased);
        let read = tokio::select! {
            biased;
            read = self.message(&leased.batch, patience) => read?,
            () = self.stop.cancelled() => return Ok(recorder.finish(None).await?),
        };
        let Some(message) = read else {
            let why = "the message cannot be read any more";
            return Ok(settle_all(recorder, &leased.batch, OutcomeKind::Refused, why).await?);
        };
        if patience.is_zero() && self.is_over(&leased.batch, &message) {
            // Its members could not be read before, and need not be any more.
            let why = "the pass before failed, and the time to live is over";
            return Ok(settle_all(recorder, &leased.batch, OutcomeKind::Expired, why).await?);
        }
        let mut pass = Pass {
            batch: Arc::new(leased.batch.clone()),
            message: Arc::new(message),
            deliveries: Deliveries::new(recorder, policy.record_interval),
            aside: Aside::default(),
            open: Some(open),
            look_after: Instant::now(),
            patience,
        };
        let mut sent = self.send_all(&mut pass).await;
        if sent.is_ok() {
            sent = self.see_through(&mut pass).await;
        }
        // Whatever broke the pass off, what was posted must not be posted again.
        let drained = pass.deliveries.drain(&self.stop, policy.drain).await;
        pass.deliveries.recorder.report(&leased.batch);
        sent.and(drained)?;
        let resume_at = pass
            .deliveries
            .left_out
            .wait(&pass.batch, &self.manners)
            .map(|wait| self.recording.clock.now().plus(wait));
        Ok(pass.deliveries.recorder.finish(resume_at).await?)
    }

    /// `None` if it is missing, or cannot be read although it is not being sent any more: it will
    /// not be found next time either, and the batch would be tried for ever.
    async fn message(
        &self,
        batch: &Batch,
        patience: Duration,
    ) -> Result<Option<BatchMessage>, StoreError> {
        let store = &self.recording.store;
        let read = || store.message_to_send(batch.message);
        let message = match self.recording.insist_on_reading(read, patience).await {
            Err(error) if error.is_damage() => {
                let now = self.recording.clock.now();
                if store.fail_message(batch.message, now).await? {
                    tracing::error!(
                        message.id = %batch.message,
                        %error,
                        "what is to be sent cannot be read any more: the message has failed"
                    );
                    return Err(StoreError::LeaseLost);
                }
                None
            }
            read => read?,
        };
        Ok(message.map(|message| self.sender.render(batch, message)))
    }

    /// Whether nothing is tried any more.
    fn is_over(&self, batch: &Batch, message: &BatchMessage) -> bool {
        let now = self.recording.clock.now();
        remaining_ttl(batch.due_at, &message.options, now).is_none()
    }

    /// Posts until all members had their turn, something fails, or the engine stops.
    async fn send_all(&self, pass: &mut Pass) -> Result<(), PassError> {
        let batch = Arc::clone(&pass.batch);
        let unsettled: Vec<Position> = batch
            .selection
            .unsettled(&batch.settled)
            .map(|(position, _)| position)
            .collect();
        let mut left = unsettled.len();
        // Not for a single probe; nor do many push services have much to expect each.
        let opens_ahead =
            !is_shared(&batch) && !self.manners.is_left_alone(&batch.group, Instant::now());
        let mut chunks = unsettled.chunks(LOADED_AT_ONCE);
        while let Some(chunk) = chunks.next() {
            let expected = opens_ahead.then_some(left);
            left -= chunk.len();
            if self.give_turns(pass, chunk, expected).await? == Onward::No {
                pass.deliveries.left_out.behind(chunks.flatten().copied());
                return Ok(());
            }
            self.try_again(pass).await?;
        }
        Ok(())
    }

    /// Loads members and gives those their turn who do not wait for a later attempt. Connections
    /// are opened for as many as are `expected`.
    async fn give_turns(
        &self,
        pass: &mut Pass,
        positions: &[Position],
        expected: Option<usize>,
    ) -> Result<Onward, PassError> {
        if self.wait_until_recorded(pass).await? == Onward::No {
            return Ok(Onward::No);
        }
        let Some(loaded) = self.load(pass, positions).await? else {
            return Ok(Onward::No);
        };
        let now = self.recording.clock.now();
        for (position, at) in loaded.waiting {
            pass.deliveries
                .recorder
                .next_attempts
                .add(position, at, now);
        }
        if let Some(expected) = expected {
            self.sender.expect(&loaded.turn, expected);
        }
        self.take_turns(pass, loaded.turn).await
    }

    /// Loads members, while what ends is recorded. `None` if the engine stops.
    async fn load(
        &self,
        pass: &mut Pass,
        positions: &[Position],
    ) -> Result<Option<LoadedMembers>, PassError> {
        let recording = self.recording.clone();
        let (batch, positions) = (Arc::clone(&pass.batch), positions.to_vec());
        let patience = pass.patience;
        // A task, for the same reason as deliveries are.
        let mut loading = JoinSet::new();
        loading.spawn(async move {
            let Recording { store, clock, .. } = &recording;
            let load = || store.load_members(&batch, positions.clone(), clock.now());
            recording.insist_on_reading(load, patience).await
        });
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                Some(loaded) = loading.join_next() => return Ok(Some(loaded??)),
                ended = pass.deliveries.next() => pass.deliveries.take(ended).await?,
            }
        }
    }

    /// Waits for the answers. Who is aside begins meanwhile as soon as there is room, and whose next
    /// attempt is due is tried again: neither waits for the slowest answer, nor does the pass go on
    /// for them when all have come. Once all that can be is posted, the batch keeps no other from
    /// being opened.
    async fn see_through(&self, pass: &mut Pass) -> Result<(), PassError> {
        let patient_until = Instant::now() + PATIENCE;
        while !self.stop.is_cancelled() {
            self.try_aside(pass).await?;
            self.try_again(pass).await?;
            let now = Instant::now();
            let gives_up = pass.aside.is_empty() || now >= patient_until;
            if gives_up {
                pass.open = None;
            }
            if gives_up && pass.deliveries.are_over() {
                let aside = pass.aside.take();
                let aside = aside.into_iter().map(|(_, member)| member.position);
                pass.deliveries.left_out.until(now + PATIENCE, aside);
                return Ok(());
            }
            self.wait_for_a_change(pass).await?;
        }
        Ok(())
    }

    /// Tries those again whose time has come, unless the push service is left alone.
    async fn try_again(&self, pass: &mut Pass) -> Result<(), PassError> {
        let Some(at) = pass.look_at() else {
            return Ok(());
        };
        let now = Instant::now();
        if at > now {
            return Ok(());
        }
        if let Err(wait) = self.reopen(pass, now) {
            pass.look_after = now + wait;
            return Ok(());
        }
        pass.deliveries.recorder.look();
        let due = pass.take_due(now);
        let mut chunks = due.chunks(LOADED_AT_ONCE);
        while let Some(chunk) = chunks.next() {
            if self.give_turns(pass, chunk, None).await? == Onward::No {
                pass.deliveries.left_out.behind(chunks.flatten().copied());
                break;
            }
        }
        Ok(())
    }

    /// Counts the batch as open again, like one that is claimed, or says how long that may not be. While
    /// others are open in its place it ends with its last answer, and is claimed when it is its
    /// application's turn.
    fn reopen(&self, pass: &mut Pass, now: Instant) -> Result<(), Duration> {
        let batch = &pass.batch;
        let most = self.manners.may_claim(&batch.group, batch.lane, now)?;
        if pass.open.is_none() {
            if self.shares.open(&batch.group, batch.lane) >= most {
                return Err(FULL);
            }
            let open = self
                .shares
                .opened(&batch.group, batch.lane, batch.application);
            pass.open = Some(open);
        }
        Ok(())
    }

    /// Waits until an answer comes, there is room for who is aside, or somebody is to be tried again.
    async fn wait_for_a_change(&self, pass: &mut Pass) -> Result<(), PassError> {
        let first_aside = pass.aside.first().and_then(|first| first.target.clone());
        let batch = Arc::clone(&pass.batch);
        let room = async {
            let Some(target) = &first_aside else {
                return future::pending().await;
            };
            let visitor = visitor(&batch, target);
            self.manners.room(&visitor, Busy::Origin).await;
        };
        let look_at = pass.look_at();
        let due = async {
            let Some(at) = look_at else {
                return future::pending().await;
            };
            tokio::time::sleep_until(at).await;
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            ended = pass.deliveries.next() => pass.deliveries.take(ended).await?,
            () = room => {}
            () = due => {}
        }
        Ok(())
    }
}

/// Ends a batch of whose message nothing is left to send, without a look at its members.
async fn settle_all(
    mut recorder: Recorder,
    batch: &Batch,
    kind: OutcomeKind,
    why: &str,
) -> Result<PassEnd, StoreError> {
    for (position, _) in batch.selection.unsettled(&batch.settled) {
        let outcome = Outcome {
            position,
            subscription: None,
            kind,
            attempt: 0,
            last_answer: Some(LastAnswer::none(why)),
        };
        let waiting = recorder.backlog().add();
        recorder.add(outcome, waiting);
        recorder.flush_if_many().await?;
    }
    recorder.flush().await?;
    recorder.report(batch);
    recorder.finish(None).await
}

/// Whether the members may be at different push services.
fn is_shared(batch: &Batch) -> bool {
    batch.group.service() == PushService::Other
}
