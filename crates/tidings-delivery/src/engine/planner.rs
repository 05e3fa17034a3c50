//! Walks the audiences of accepted messages in the order of seqs and cuts them into batches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidings_core::application::ApplicationId;
use tidings_core::batch::{Bitmap, MAX_MEMBERS, NewBatch, Selection, Seq, WINDOW};
use tidings_core::clock::{Clock, Timestamp};
use tidings_core::id::MessageId;
use tidings_core::message::{Audience, Plan};
use tidings_core::queue::{BatchQueue, DueHint};
use tidings_core::store::{AudienceMember, PlanRound, PlannedStep, SendingStore, StoreError};
use tidings_core::subscription::PushServiceGroup;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::Parts;
use crate::engine::record_health::{RecordHealth, Work};

/// Members of an audience that are read at once: memory does not grow with the audience.
const STEP: u16 = WINDOW;

/// Direct messages that are planned together: their steps share a commit.
const DIRECT: u16 = 64;

/// Applications whose broadcasts are planned together. So many steps are in memory, and for so many
/// a direct message waits that comes meanwhile.
const BULK: u16 = 8;

/// A plan that the store refused so often in a row is refused for good.
const TRIES: u32 = 5;

/// Messages whose refusals are remembered, several times as many as a round has.
const REMEMBERED: usize = 256;

pub(super) struct Planner {
    store: Arc<dyn SendingStore>,
    queue: Arc<dyn BatchQueue>,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
    poll: Duration,
    /// The application that had its turn last.
    after: ApplicationId,
    /// How often in a row a message's plan was refused.
    refusals: HashMap<MessageId, u32>,
}

impl Planner {
    pub(super) fn new(parts: &Parts, poll: Duration) -> Self {
        Self {
            store: Arc::clone(&parts.store),
            queue: Arc::clone(&parts.queue),
            clock: Arc::clone(&parts.clock),
            wake: Arc::clone(&parts.planner_wake.notify),
            poll,
            after: ApplicationId::DEFAULT,
            refusals: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, health: RecordHealth, stop: CancellationToken) {
        let mut work = Work::new(health, "messages cannot be planned");
        while !stop.is_cancelled() {
            let round = self.round().await;
            match &round {
                Ok(_) => work.went_well(),
                Err(error) => work.failed(error),
            }
            if !round.unwrap_or(false) {
                self.wait(&stop).await;
            }
        }
    }

    async fn wait(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(self.poll) => {}
            () = stop.cancelled() => {}
        }
    }

    /// One step of each plan that goes first: a direct message passes a running broadcast here too.
    /// Whether any of them came further.
    async fn round(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let round = PlanRound {
            now,
            after: self.after,
            direct: DIRECT,
            bulk: BULK,
        };
        let plans = self.store.next_plans(round).await?;
        if let Some(last) = plans.last() {
            self.after = last.application;
        }
        let steps = join_all(plans.iter().map(|plan| self.step(plan, now))).await;
        let (mut came_further, mut failure) = (false, None::<StoreError>);
        for (plan, step) in plans.iter().zip(steps) {
            match self.settle(plan.message, step, now).await {
                Ok(further) => came_further |= further,
                // What is an alert is told before what is not.
                Err(error) if error.is_transient() => failure = Some(error),
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        failure.map_or(Ok(came_further), Err)
    }

    async fn step(&self, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
        let members = self.store.audience(plan, plan.cutoff, STEP).await?;
        let complete = members.len() < usize::from(STEP);
        let to = match members.last() {
            Some(last) if !complete => last.seq,
            _ => plan.cutoff,
        };
        let batches = cut(plan, &members);
        let groups: BTreeSet<_> = batches.iter().map(|batch| batch.group.clone()).collect();
        let lane = plan.audience.lane();
        let step = PlannedStep {
            message: plan.message,
            from: plan.cursor,
            to,
            batches,
            complete,
            now,
        };
        if self.store.add_planned(step).await?.is_some() {
            for group in groups {
                self.queue.announce(DueHint { group, lane }).await;
            }
        }
        Ok(())
    }

    /// What a step that is over means for its message. Whether the plan came further, if only to its
    /// end: one that is refused for good would keep its turn for ever.
    async fn settle(
        &mut self,
        message: MessageId,
        step: Result<(), StoreError>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let refusal = match step {
            Err(error) if error.is_transient() => return Err(error),
            Err(_) if self.refused(message) < TRIES => return Ok(false),
            Err(error) => Some(error),
            Ok(()) => None,
        };
        if let Some(error) = refusal
            && self.store.fail_message(message, now).await?
        {
            tracing::error!(message.id = %message, %error, "the message cannot be planned: it has failed");
        }
        self.refusals.remove(&message);
        Ok(true)
    }

    /// Counts a refusal of a message's plan. How many there were in a row.
    fn refused(&mut self, message: MessageId) -> u32 {
        if self.refusals.len() >= REMEMBERED && !self.refusals.contains_key(&message) {
            // Of those that never come again; what is still refused is counted anew.
            self.refusals.clear();
        }
        let count = self.refusals.entry(message).or_default();
        *count = count.saturating_add(1);
        *count
    }
}

/// Cuts members into batches: by push service, then ranges of a broadcast or short lists.
fn cut(plan: &Plan, members: &[AudienceMember]) -> Vec<NewBatch> {
    let mut by_group: BTreeMap<&PushServiceGroup, Vec<Seq>> = BTreeMap::new();
    for member in members {
        by_group.entry(&member.group).or_default().push(member.seq);
    }
    let mut batches = Vec::new();
    for (group, seqs) in by_group {
        let selections = match plan.audience {
            Audience::All => ranges(&seqs),
            Audience::Listed { .. } => seqs
                .chunks(MAX_MEMBERS)
                .map(|seqs| Selection::Members(seqs.to_vec()))
                .collect(),
        };
        batches.extend(
            selections
                .into_iter()
                .map(|selection| batch(group, plan.due_at, selection)),
        );
    }
    batches
}

fn batch(group: &PushServiceGroup, due_at: Timestamp, selection: Selection) -> NewBatch {
    NewBatch {
        group: group.clone(),
        due_at,
        selection,
    }
}

/// Ranges that begin and end with a member and span at most a window each.
fn ranges(seqs: &[Seq]) -> Vec<Selection> {
    let mut ranges = Vec::new();
    let mut rest = seqs;
    while let Some(first) = rest.first().copied() {
        let offsets: Vec<u16> = rest
            .iter()
            .map_while(|seq| seq.offset_from(first))
            .collect();
        let span = offsets.last().map_or(1, |last| last + 1);
        let mut members = Bitmap::new(span);
        for offset in &offsets {
            members.set(*offset);
        }
        ranges.push(Selection::Range { first, members });
        rest = rest.get(offsets.len().max(1)..).unwrap_or_default();
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(audience: Audience) -> Plan {
        Plan {
            message: MessageId::from_bytes([1; 16]),
            application: ApplicationId::DEFAULT,
            audience,
            cutoff: Seq::from_i64(1_000_000),
            cursor: Seq::ZERO,
            due_at: Timestamp::from_millis(7),
        }
    }

    fn member(seq: i64, group: &str) -> AudienceMember {
        let group = PushServiceGroup::from_stored(group);
        AudienceMember {
            seq: Seq::from_i64(seq),
            group,
        }
    }

    fn members_of(batch: &NewBatch) -> Vec<i64> {
        let none = Bitmap::new(batch.selection.span());
        batch
            .selection
            .unsettled(&none)
            .map(|(_, seq)| seq.as_i64())
            .collect()
    }

    #[test]
    fn every_member_is_in_one_batch_of_its_push_service() {
        let members: Vec<_> = (1..=10_000)
            .map(|seq| member(seq, if seq % 3 == 0 { "fcm" } else { "mozilla" }))
            .collect();
        let batches = cut(&plan(Audience::All), &members);
        let mut seen = BTreeMap::new();
        for batch in &batches {
            assert!(batch.selection.span() <= WINDOW);
            for seq in members_of(batch) {
                assert_eq!(
                    seen.insert(seq, batch.group.as_str()),
                    None,
                    "seq {seq} twice"
                );
            }
        }
        assert_eq!(seen.len(), members.len());
        assert!(
            seen.iter()
                .all(|(seq, group)| (*group == "fcm") == (seq % 3 == 0))
        );
    }

    #[test]
    fn a_gap_wider_than_a_window_begins_a_new_range() {
        let members: Vec<_> = [1, 4096, 4097, 50_000].map(|seq| member(seq, "fcm")).into();
        let batches = cut(&plan(Audience::All), &members);
        let cut: Vec<_> = batches.iter().map(members_of).collect();
        assert_eq!(cut, [vec![1, 4096], vec![4097], vec![50_000]]);
    }

    #[test]
    fn listed_members_become_short_lists() {
        let members: Vec<_> = (0..600).map(|n| member(n * 100_000 + 1, "fcm")).collect();
        let audience = Audience::Listed {
            subscriptions: Vec::new(),
            users: Vec::new(),
        };
        let batches = cut(&plan(audience), &members);
        let sizes: Vec<_> = batches
            .iter()
            .map(|batch| batch.selection.member_count())
            .collect();
        assert_eq!(sizes, [256, 256, 88]);
        assert!(
            batches
                .iter()
                .all(|batch| matches!(batch.selection, Selection::Members(_)))
        );
    }
}
