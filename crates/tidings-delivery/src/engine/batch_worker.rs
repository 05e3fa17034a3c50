//! One pass over a claimed batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::batch::{Batch, LeasedBatch, Position};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{OutcomeKind, remaining_ttl};
use tidings_core::store::{LoadedMember, PassEnd, SendTarget, StoreError};
use tidings_webpush::PushService;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::deliveries::Deliveries;
use crate::engine::recorder::{Recorder, Recording};
use crate::engine::sender::{BatchMessage, Sender, outcome_without_attempt, visitor};
use crate::manners::{Entry, Manners, Visit};

/// Members that are loaded at once.
const LOADED_AT_ONCE: usize = 256;

/// Members that are put aside at once because there is no room for them, while others go first.
const MOST_ASIDE: usize = 256;

#[derive(Clone)]
pub(super) struct BatchWorker {
    pub(super) sender: Arc<Sender>,
    pub(super) manners: Arc<Manners>,
    pub(super) recording: Recording,
    pub(super) stop: CancellationToken,
}

/// Why a pass broke off. What was answered until then is recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a delivery ended without an outcome: {0}")]
    Delivery(#[from] JoinError),
}

/// A pass under way.
struct Pass {
    batch: Arc<Batch>,
    message: Arc<BatchMessage>,
    deliveries: Deliveries,
    /// Members for whom there was no room, while there may be some for others.
    aside: VecDeque<LoadedMember>,
    /// One of those who are left for another pass.
    left_out: Option<LoadedMember>,
}

/// What follows from asking whether a member may be sent to.
enum Turn {
    Begun,
    /// There is no room, so it has to wait.
    NoRoom(LoadedMember),
    /// It is left for another pass.
    LeftOut,
}

/// Whether a pass goes on.
#[derive(PartialEq, Eq)]
enum Onward {
    Yes,
    /// The engine stops, or nobody of this push service is sent to for now.
    No,
}

impl BatchWorker {
    /// Sends to every member whose turn it is, records what became of it, and ends the claim.
    pub(super) async fn run(&self, leased: &LeasedBatch) -> Result<PassEnd, PassError> {
        let policy = &self.sender.policy;
        let recorder = Recorder::new(self.recording.clone(), leased.lease.clone());
        let message = self.message(&leased.batch).await?;
        let mut pass = Pass {
            batch: Arc::new(leased.batch.clone()),
            message: Arc::new(message),
            deliveries: Deliveries::new(recorder, policy.record_interval),
            aside: VecDeque::new(),
            left_out: None,
        };
        let sent = self.send_all(&mut pass).await;
        // Whatever broke the pass off, what was posted must not be posted again.
        let drained = pass.deliveries.drain(&self.stop, policy.drain).await;
        pass.deliveries.recorder.report(&leased.batch);
        sent.and(drained)?;
        let resume_at = self
            .resume_after(&pass)
            .map(|wait| self.recording.clock.now().plus(wait));
        Ok(pass.deliveries.recorder.finish(resume_at).await?)
    }

    async fn message(&self, batch: &Batch) -> Result<BatchMessage, StoreError> {
        let store = &self.recording.store;
        let message = store.message_to_send(batch.message).await;
        if message.as_ref().is_err_and(StoreError::is_damage) {
            // It will not be readable next time either, and its batches would be tried for ever.
            let now = self.recording.clock.now();
            store.fail_message(batch.message, now).await?;
        }
        let message = message?.ok_or(StoreError::Unreadable("messages"))?;
        Ok(self.sender.render(batch, message))
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
        for chunk in unsettled.chunks(LOADED_AT_ONCE) {
            if self.wait_until_recorded(pass).await? == Onward::No {
                return Ok(());
            }
            let store = &self.recording.store;
            let now = self.recording.clock.now();
            let members = store.load_members(&batch, chunk.to_vec(), now).await?;
            self.sender.expect(&members, left);
            left -= chunk.len();
            for member in members {
                if self.take_turn(pass, member).await? == Onward::No {
                    return Ok(());
                }
            }
        }
        while let Some(member) = pass.aside.pop_front() {
            if self.wait_for_turn(pass, member).await? == Onward::No {
                return Ok(());
            }
        }
        while !pass.deliveries.are_over() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                ended = pass.deliveries.next() => pass.deliveries.take(ended).await?,
            }
        }
        Ok(())
    }

    /// Nothing is sent while what becomes of it cannot be recorded.
    async fn wait_until_recorded(&self, pass: &mut Pass) -> Result<Onward, PassError> {
        loop {
            if self.stop.is_cancelled() {
                return Ok(Onward::No);
            }
            if self.recording.health.is_well() {
                return Ok(Onward::Yes);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Onward::No),
                ended = pass.deliveries.next() => pass.deliveries.take(ended).await?,
                () = self.recording.health.well() => {}
            }
        }
    }

    /// Begins a member's delivery, or puts it aside where others may go first.
    async fn take_turn(&self, pass: &mut Pass, member: LoadedMember) -> Result<Onward, PassError> {
        pass.deliveries.take_ended().await?;
        if self.wait_until_recorded(pass).await? == Onward::No {
            return Ok(Onward::No);
        }
        match self.enter(pass, member).await? {
            Turn::Begun => Ok(Onward::Yes),
            Turn::LeftOut => Ok(self.unless_closed(pass)),
            // Of several push services in one batch, only that of this member may be busy.
            Turn::NoRoom(member) if is_shared(&pass.batch) => {
                pass.aside.push_back(member);
                self.shorten_aside(pass).await
            }
            Turn::NoRoom(member) => self.wait_for_turn(pass, member).await,
        }
    }

    /// Tries those that were put aside once more, and waits for the first if they are many.
    async fn shorten_aside(&self, pass: &mut Pass) -> Result<Onward, PassError> {
        if pass.aside.len() < MOST_ASIDE {
            return Ok(Onward::Yes);
        }
        for member in std::mem::take(&mut pass.aside) {
            if let Turn::NoRoom(member) = self.enter(pass, member).await? {
                pass.aside.push_back(member);
            }
        }
        match pass.aside.pop_front() {
            Some(member) if pass.aside.len() + 1 >= MOST_ASIDE => {
                self.wait_for_turn(pass, member).await
            }
            member => {
                pass.aside.extend(member);
                Ok(Onward::Yes)
            }
        }
    }

    /// Waits until there is room for a member.
    async fn wait_for_turn(
        &self,
        pass: &mut Pass,
        mut member: LoadedMember,
    ) -> Result<Onward, PassError> {
        loop {
            if self.wait_until_recorded(pass).await? == Onward::No {
                return Ok(Onward::No);
            }
            member = match self.enter(pass, member).await? {
                Turn::Begun => return Ok(Onward::Yes),
                Turn::LeftOut => return Ok(self.unless_closed(pass)),
                Turn::NoRoom(member) => member,
            };
            let Some(target) = &member.target else {
                continue;
            };
            let visitor = visitor(&pass.batch, target);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Onward::No),
                ended = pass.deliveries.next() => pass.deliveries.take(ended).await?,
                () = self.manners.room(&visitor) => {}
            }
        }
    }

    /// How long those who were left out have to wait, now that all answers of this pass are known:
    /// one of them may have shown that there is no reason to wait any more.
    fn resume_after(&self, pass: &Pass) -> Option<Duration> {
        let target = pass.left_out.as_ref()?.target.as_deref()?;
        let visitor = visitor(&pass.batch, target);
        match self.manners.enter(&visitor, Instant::now()) {
            Entry::Later(wait) => Some(wait),
            Entry::Go(_) | Entry::Full => None,
        }
    }

    /// Asks whether a member may be sent to, and begins if so.
    async fn enter(&self, pass: &mut Pass, member: LoadedMember) -> Result<Turn, PassError> {
        let now = self.recording.clock.now();
        let target = match final_without_attempt(pass, &member, now) {
            Ok(target) => target,
            Err(kind) => {
                let outcome = outcome_without_attempt(&member, kind);
                pass.deliveries.recorder.add(outcome);
                pass.deliveries.recorder.flush_if_many().await?;
                return Ok(Turn::Begun);
            }
        };
        let visitor = visitor(&pass.batch, target);
        Ok(match self.manners.enter(&visitor, Instant::now()) {
            Entry::Go(visit) => {
                self.begin(pass, member, visit);
                Turn::Begun
            }
            Entry::Full => Turn::NoRoom(member),
            Entry::Later(_) => {
                pass.left_out.get_or_insert(member);
                Turn::LeftOut
            }
        })
    }

    fn begin(&self, pass: &mut Pass, member: LoadedMember, visit: Visit) {
        let sender = Arc::clone(&self.sender);
        let (batch, message) = (Arc::clone(&pass.batch), Arc::clone(&pass.message));
        pass.deliveries
            .begin(async move { sender.deliver(&batch, &message, member, visit).await });
    }

    /// Nobody else of a push service that is left alone needs to be looked at.
    fn unless_closed(&self, pass: &Pass) -> Onward {
        let batch = &pass.batch;
        let open = self
            .manners
            .may_claim(&batch.group, batch.lane, Instant::now());
        if open.is_ok() {
            Onward::Yes
        } else {
            Onward::No
        }
    }
}

/// Whether the members may be at different push services.
fn is_shared(batch: &Batch) -> bool {
    batch.group.service() == PushService::Other
}

/// What a member is to be sent to; or what became of it before its turn.
fn final_without_attempt<'a>(
    pass: &Pass,
    member: &'a LoadedMember,
    now: Timestamp,
) -> Result<&'a SendTarget, OutcomeKind> {
    if pass.message.cancelled {
        return Err(OutcomeKind::Cancelled);
    }
    let target = member.target.as_deref().ok_or(OutcomeKind::Ended)?;
    let left = remaining_ttl(pass.batch.due_at, &pass.message.options, now);
    left.map(|_| target).ok_or(OutcomeKind::Expired)
}
