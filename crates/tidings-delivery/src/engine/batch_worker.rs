//! One pass over a claimed batch.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future;
use tidings_core::batch::{Batch, LeasedBatch, Position};
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{LastAnswer, Outcome, OutcomeKind, remaining_ttl};
use tidings_core::store::{LoadedMember, PassEnd, SendTarget, StoreError};
use tidings_webpush::PushService;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::aside::{Aside, PATIENCE, origin};
use crate::engine::deliveries::Deliveries;
use crate::engine::left_out::LeftOut;
use crate::engine::recorder::{Recorder, Recording};
use crate::engine::sender::{BatchMessage, Sender, outcome_without_attempt, visitor};
use crate::engine::shares::OpenBatch;
use crate::manners::{Busy, Entry, Manners, Visit};

/// Members that are loaded at once.
const LOADED_AT_ONCE: usize = 256;

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
    /// Members whose origin had no room, while there may be some for others.
    aside: Aside,
    /// Those who are left for another pass.
    left_out: LeftOut,
    /// Gone when all that can be posted at once is.
    open: Option<OpenBatch>,
}

/// What follows from asking whether a member may be sent to.
enum Turn {
    Begun,
    /// There is no room for anybody.
    NoRoom(LoadedMember),
    /// Its origin has no room.
    Crowded(LoadedMember),
    /// It is left for another pass.
    LeftOut,
    /// The engine stops.
    Stopped,
}

/// Whether a pass goes on.
#[derive(PartialEq, Eq)]
enum Onward {
    Yes,
    /// The engine stops, or nobody of this push service is sent to for now.
    No,
}

impl BatchWorker {
    /// Sends to every member whose turn it is, records what became of it, and ends the claim. The
    /// batch counts as open until all that can be posted is.
    pub(super) async fn run(
        &self,
        leased: &LeasedBatch,
        open: OpenBatch,
    ) -> Result<PassEnd, PassError> {
        let policy = &self.sender.policy;
        let recorder = Recorder::new(self.recording.clone(), leased);
        let Some(message) = self.message(&leased.batch).await? else {
            return Ok(refuse_all(recorder, &leased.batch).await?);
        };
        let mut pass = Pass {
            batch: Arc::new(leased.batch.clone()),
            message: Arc::new(message),
            deliveries: Deliveries::new(recorder, policy.record_interval),
            aside: Aside::default(),
            left_out: LeftOut::default(),
            open: Some(open),
        };
        let mut sent = self.send_all(&mut pass).await;
        if sent.is_ok() {
            sent = self.wait_for_answers(&mut pass).await;
        }
        // Whatever broke the pass off, what was posted must not be posted again.
        let drained = pass.deliveries.drain(&self.stop, policy.drain).await;
        pass.deliveries.recorder.report(&leased.batch);
        sent.and(drained)?;
        let resume_at = pass
            .left_out
            .wait(&pass.batch, &self.manners)
            .map(|wait| self.recording.clock.now().plus(wait));
        Ok(pass.deliveries.recorder.finish(resume_at).await?)
    }

    /// `None` if it is missing, or cannot be read although it is not being sent any more: it will
    /// not be found next time either, and the batch would be tried for ever.
    async fn message(&self, batch: &Batch) -> Result<Option<BatchMessage>, StoreError> {
        let store = &self.recording.store;
        let message = match store.message_to_send(batch.message).await {
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
        for chunk in unsettled.chunks(LOADED_AT_ONCE) {
            if self.wait_until_recorded(pass).await? == Onward::No {
                return Ok(());
            }
            let store = &self.recording.store;
            let now = self.recording.clock.now();
            let members = store.load_members(&batch, chunk.to_vec(), now).await?;
            if opens_ahead {
                self.sender.expect(&members, left);
            }
            left -= chunk.len();
            for member in members {
                if self.take_turn(pass, member).await? == Onward::No {
                    return Ok(());
                }
            }
        }
        self.settle_aside(pass).await
    }

    async fn wait_for_answers(&self, pass: &mut Pass) -> Result<(), PassError> {
        pass.open = None;
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
            let health = &self.recording.health;
            let backlog = pass.deliveries.recorder.backlog().clone();
            if health.is_well() && !backlog.is_full() {
                return Ok(Onward::Yes);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Onward::No),
                ended = pass.deliveries.next() => pass.deliveries.take(ended).await?,
                ((), ()) = future::join(health.well(), backlog.room()) => {}
            }
        }
    }

    /// Begins a member's delivery, or puts it aside where others may go first.
    async fn take_turn(&self, pass: &mut Pass, member: LoadedMember) -> Result<Onward, PassError> {
        pass.deliveries.take_ended().await?;
        match self.wait_for_turn(pass, member).await? {
            Turn::Begun => Ok(Onward::Yes),
            Turn::LeftOut => Ok(self.unless_closed(pass)),
            Turn::Crowded(member) | Turn::NoRoom(member) => {
                let now = Instant::now();
                if !pass.aside.put(member, now) {
                    pass.left_out.try_at(now + PATIENCE);
                }
                self.shorten_aside(pass).await
            }
            Turn::Stopped => Ok(Onward::No),
        }
    }

    /// Goes on with those aside while they are too many. Whose origin is slow is left out: it would
    /// hold up all the others.
    async fn shorten_aside(&self, pass: &mut Pass) -> Result<Onward, PassError> {
        while pass.aside.is_full() {
            if self.try_aside(pass).await? == Onward::No {
                return Ok(Onward::No);
            }
            let now = Instant::now();
            if pass.aside.give_up(now) {
                pass.left_out.try_at(now + PATIENCE);
            }
            if pass.aside.is_full() {
                self.wait_for_first_aside(pass).await?;
            }
        }
        Ok(Onward::Yes)
    }

    /// Begins what is still aside when all others had their turn. For long only while answers are
    /// waited for anyway, and then the batch keeps no other from being opened.
    async fn settle_aside(&self, pass: &mut Pass) -> Result<(), PassError> {
        let until = Instant::now() + PATIENCE;
        while self.try_aside(pass).await? == Onward::Yes && !pass.aside.is_empty() {
            if Instant::now() >= until {
                pass.open = None;
                if pass.deliveries.are_over() {
                    pass.left_out.try_at(until + PATIENCE);
                    break;
                }
            }
            self.wait_for_first_aside(pass).await?;
        }
        Ok(())
    }

    /// Begins as many of those aside as there is room for.
    async fn try_aside(&self, pass: &mut Pass) -> Result<Onward, PassError> {
        let mut crowded = HashSet::new();
        for (since, member) in pass.aside.take() {
            if crowded.contains(origin(&member)) {
                pass.aside.keep(since, member);
                continue;
            }
            match self.wait_for_turn(pass, member).await? {
                Turn::Begun | Turn::LeftOut => {}
                Turn::Crowded(member) | Turn::NoRoom(member) => {
                    crowded.insert(origin(&member).to_owned());
                    pass.aside.keep(since, member);
                }
                Turn::Stopped => return Ok(Onward::No),
            }
        }
        Ok(Onward::Yes)
    }

    async fn wait_for_first_aside(&self, pass: &mut Pass) -> Result<(), PassError> {
        let Some(target) = pass.aside.first().and_then(|first| first.target.clone()) else {
            return Ok(());
        };
        self.wait_for_room(pass, &target, Busy::Origin).await
    }

    /// Begins a member's delivery as soon as there is room for anybody.
    async fn wait_for_turn(
        &self,
        pass: &mut Pass,
        mut member: LoadedMember,
    ) -> Result<Turn, PassError> {
        loop {
            if self.wait_until_recorded(pass).await? == Onward::No {
                return Ok(Turn::Stopped);
            }
            member = match self.enter(pass, member).await? {
                Turn::NoRoom(member) => member,
                turn => return Ok(turn),
            };
            if let Some(target) = &member.target {
                self.wait_for_room(pass, target, Busy::Everybody).await?;
            }
        }
    }

    /// Waits until it is worth asking for a member again, but never for long.
    async fn wait_for_room(
        &self,
        pass: &mut Pass,
        target: &SendTarget,
        busy: Busy,
    ) -> Result<(), PassError> {
        let visitor = visitor(&pass.batch, target);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            ended = pass.deliveries.next() => pass.deliveries.take(ended).await?,
            () = self.manners.room(&visitor, busy) => {}
        }
        Ok(())
    }

    /// Asks whether a member may be sent to, and begins if so.
    async fn enter(&self, pass: &mut Pass, member: LoadedMember) -> Result<Turn, PassError> {
        let now = self.recording.clock.now();
        let target = match final_without_attempt(pass, &member, now) {
            Ok(target) => target,
            Err(kind) => {
                let outcome = outcome_without_attempt(&member, kind);
                let waiting = pass.deliveries.recorder.backlog().add();
                pass.deliveries.recorder.add(outcome, waiting);
                pass.deliveries.recorder.flush_if_many().await?;
                return Ok(Turn::Begun);
            }
        };
        let visitor = visitor(&pass.batch, target);
        let now = Instant::now();
        Ok(match self.manners.enter(&visitor, now) {
            Entry::Go(visit) => {
                self.begin(pass, member, visit);
                Turn::Begun
            }
            Entry::Full(Busy::Everybody) => Turn::NoRoom(member),
            Entry::Full(Busy::Origin) => Turn::Crowded(member),
            Entry::Later(wait) => {
                if let Some(target) = member.target {
                    pass.left_out.add(*target, now + wait);
                }
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

/// Ends a batch of whose message nothing is left to send.
async fn refuse_all(mut recorder: Recorder, batch: &Batch) -> Result<PassEnd, StoreError> {
    for (position, _) in batch.selection.unsettled(&batch.settled) {
        let outcome = Outcome {
            position,
            subscription: None,
            kind: OutcomeKind::Refused,
            attempt: 0,
            last_answer: Some(LastAnswer::none("the message cannot be read any more")),
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
