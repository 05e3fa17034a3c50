//! A start with much to do is as quick as one with nothing.

use std::sync::Arc;

use tidings_core::application::ApplicationId;
use tidings_core::batch::{NewBatch, Selection};
use tidings_core::store::{PlanRound, PlannedStep};
use tidings_core::subscription::PushServiceGroup;
use tidings_webpush::PushService;
use tokio::sync::Semaphore;

use crate::rig::{Rig, answer};

/// Batches that wait, each with a single member.
const WAITING: usize = 20_000;

#[tokio::test(start_paused = true)]
async fn many_waiting_batches_do_not_delay_the_first_post() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Rig::start(|_, _| answer(201), Some(gate)).await;
    rig.subscribe(PushService::Fcm).await;
    rig.crash().await;
    let message = rig.broadcast().await;
    plan_one_by_one(&rig).await;
    assert_eq!(rig.push_service.all_posts(), 0);
    rig.restart();
    rig.settle().await;
    assert!(rig.push_service.all_posts() > 0, "no time has passed");
    let calls = rig.commanded.all_calls();
    // Some for each of the 64 that are under way, and none for all that wait.
    assert!(calls < 400, "not one for each batch: {calls}");
    let counts = rig.look(message).await.counts;
    assert_eq!(counts.targeted, u64::try_from(WAITING).unwrap());
    rig.crash().await;
}

/// Plans the message that waits for it, with a batch for each delivery to the only subscription.
async fn plan_one_by_one(rig: &Rig) {
    let now = rig.clock_now();
    let round = PlanRound {
        now,
        after: ApplicationId::DEFAULT,
        direct: 1,
        bulk: 1,
    };
    let plan = rig.store.next_plans(round).await.unwrap().remove(0);
    let members = rig.store.audience(&plan, plan.cutoff, 10).await.unwrap();
    let batch = NewBatch {
        group: PushServiceGroup::of_service(PushService::Fcm),
        due_at: now,
        selection: Selection::Members(vec![members[0].seq]),
    };
    let step = PlannedStep {
        message: plan.message,
        from: plan.cursor,
        to: plan.cutoff,
        batches: vec![batch; WAITING],
        complete: true,
        now,
    };
    assert!(rig.store.add_planned(step).await.unwrap().is_some());
}
