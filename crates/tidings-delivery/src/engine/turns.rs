//! Members' turns in a pass: who begins, who waits for room, who is left out.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future;
use tidings_core::clock::Timestamp;
use tidings_core::delivery::{OutcomeKind, remaining_ttl};
use tidings_core::store::{LoadedMember, SendTarget};
use tokio::time::Instant;

use crate::engine::aside::{PATIENCE, origin};
use crate::engine::batch_worker::BatchWorker;
use crate::engine::pass::{Onward, Pass, PassError};
use crate::engine::sender::{outcome_without_attempt, visitor};
use crate::manners::{Busy, Entry, Visit};

/// What follows from asking whether a member may be sent to.
enum Turn {
    Begun,
    /// There is no room for anybody.
    NoRoom(LoadedMember),
    /// Its origin has no room.
    Crowded(LoadedMember),
    /// It is left out for now.
    LeftOut,
    /// The engine stops.
    Stopped,
}

impl BatchWorker {
    /// Gives members their turn, one after the other.
    pub(super) async fn take_turns(
        &self,
        pass: &mut Pass,
        members: Vec<LoadedMember>,
    ) -> Result<Onward, PassError> {
        let mut members = members.into_iter();
        while let Some(member) = members.next() {
            if self.take_turn(pass, member).await? == Onward::No {
                pass.deliveries
                    .left_out
                    .behind(members.map(|member| member.position));
                return Ok(Onward::No);
            }
        }
        Ok(Onward::Yes)
    }

    /// Begins a member's delivery, or puts it aside where others may go first.
    async fn take_turn(&self, pass: &mut Pass, member: LoadedMember) -> Result<Onward, PassError> {
        pass.deliveries.take_ended().await?;
        match self.wait_for_turn(pass, member).await? {
            Turn::Begun => Ok(Onward::Yes),
            Turn::LeftOut => Ok(self.unless_closed(pass)),
            Turn::Crowded(member) | Turn::NoRoom(member) => {
                let now = Instant::now();
                let position = member.position;
                if !pass.aside.put(member, now) {
                    pass.deliveries.left_out.until(now + PATIENCE, [position]);
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
            let given_up = pass.aside.give_up(now);
            pass.deliveries.left_out.until(now + PATIENCE, given_up);
            if pass.aside.is_full() {
                self.wait_for_first_aside(pass).await?;
            }
        }
        Ok(Onward::Yes)
    }

    /// Begins as many of those aside as there is room for.
    pub(super) async fn try_aside(&self, pass: &mut Pass) -> Result<Onward, PassError> {
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
                    pass.deliveries
                        .left_out
                        .add(member.position, *target, now + wait);
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

    /// Nothing is sent while what becomes of it cannot be recorded.
    pub(super) async fn wait_until_recorded(&self, pass: &mut Pass) -> Result<Onward, PassError> {
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
