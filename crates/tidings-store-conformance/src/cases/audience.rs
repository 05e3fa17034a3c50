use std::time::Duration;

use tidings_core::batch::Seq;
use tidings_core::id::SubscriptionId;
use tidings_core::message::{Audience, Plan};
use tidings_core::store::{AudienceMember, NewSubscription, SubscriptionChange};
use tidings_core::subscription::{PushServiceGroup, SubscriptionRecord, UserId};
use tidings_webpush::PushService;

use crate::harness::Harness;
use crate::world::{World, mozilla, seqs};

const NO_END: Seq = Seq::from_i64(i64::MAX);

pub(crate) async fn a_broadcast_reaches_who_was_there_before<H: Harness>(world: World<H>) {
    let before = world.subscribe_many(3).await;
    let plan = plan(&world, Audience::All).await;
    let later = world.subscribe().await;
    assert_eq!(plan.cutoff, before[2].seq);
    assert!(later.seq > plan.cutoff);
    assert_eq!(whole(&world, &plan).await, seqs(&before));
}

pub(crate) async fn a_list_reaches_who_was_there_before<H: Harness>(world: World<H>) {
    let before = of_user(&world, "anna").await;
    let plan = plan(&world, listed(&[], &["anna"])).await;
    of_user(&world, "anna").await;
    assert_eq!(whole(&world, &plan).await, [before.seq]);
}

/// Whoever was answered before the message was handed over is reached; whoever asked after it was
/// accepted is not; the others are reached exactly up to one seq.
pub(crate) async fn a_cutoff_is_exact_among_concurrent_registrations<H: Harness>(world: World<H>) {
    for _ in 0..5 {
        let before = world.subscribe_at_once(8).await;
        let store = world.store();
        let message = world.entities.new_message(Audience::All);
        let (accepted, _) = tokio::join!(store.accept(message, None), world.subscribe_at_once(8));
        accepted.unwrap();
        let after = world.subscribe_at_once(8).await;

        let plan = world.next_plan().await.expect("it is to be planned");
        assert!(
            before
                .iter()
                .all(|subscriber| subscriber.seq <= plan.cutoff)
        );
        assert!(after.iter().all(|subscriber| subscriber.seq > plan.cutoff));
        let expected: Vec<_> = (1..=plan.cutoff.as_i64()).map(Seq::from_i64).collect();
        assert_eq!(whole(&world, &plan).await, expected);
        finish(&world, &plan).await;
    }
}

pub(crate) async fn only_active_subscriptions_are_reached<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(4).await;
    world.end(&subscribers[1]).await;
    let ids: Vec<_> = subscribers.iter().map(|subscriber| subscriber.id).collect();
    for audience in [Audience::All, listed(&ids, &[])] {
        let plan = plan(&world, audience).await;
        world.end(&subscribers[2]).await;
        assert_eq!(
            whole(&world, &plan).await,
            [subscribers[0].seq, subscribers[3].seq]
        );
        finish(&world, &plan).await;
    }
}

pub(crate) async fn other_applications_are_not_reached<H: Harness>(mut world: World<H>) {
    let (application, key) = world.add_application().await;
    let ours = of_user(&world, "anna").await;
    let mut theirs = NewSubscription {
        application,
        ..world.entities.new_subscription(key)
    };
    theirs.change.user = UserId::parse("anna").map(Some);
    let theirs = world.register(theirs).await;
    for audience in [
        Audience::All,
        listed(&[ours.id, theirs.id], &[]),
        listed(&[], &["anna"]),
    ] {
        let plan = plan(&world, audience).await;
        let members = world.store().audience(&plan, NO_END, 100).await.unwrap();
        assert_eq!(
            members,
            [AudienceMember {
                seq: ours.seq,
                group: mozilla()
            }]
        );
        finish(&world, &plan).await;
    }
}

pub(crate) async fn members_know_their_push_service<H: Harness>(world: World<H>) {
    let mut expected = Vec::new();
    for service in PushService::ALL {
        let subscription = world.entities.subscription_at(service);
        let record = world
            .register(world.entities.registration(subscription, world.key))
            .await;
        expected.push(AudienceMember {
            seq: record.seq,
            group: PushServiceGroup::of_service(service),
        });
    }
    let plan = plan(&world, Audience::All).await;
    assert_eq!(
        world.store().audience(&plan, NO_END, 100).await.unwrap(),
        expected
    );
}

pub(crate) async fn a_page_begins_behind_the_cursor<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(6).await;
    for audience in both_kinds(&subscribers) {
        let mut plan = plan(&world, audience).await;
        plan.cursor = subscribers[1].seq;
        assert_eq!(whole(&world, &plan).await, seqs(&subscribers[2..]));
        plan.cursor = subscribers[5].seq;
        assert_eq!(whole(&world, &plan).await, []);
        finish(&world, &plan).await;
    }
}

pub(crate) async fn a_page_ends_where_it_was_told_to<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(6).await;
    for audience in both_kinds(&subscribers) {
        let plan = plan(&world, audience).await;
        let through = subscribers[3].seq;
        assert_eq!(
            page(&world, &plan, through, 100).await,
            seqs(&subscribers[..4])
        );
        assert_eq!(
            page(&world, &plan, NO_END, 4).await,
            seqs(&subscribers[..4])
        );
        assert_eq!(
            page(&world, &plan, through, 2).await,
            seqs(&subscribers[..2])
        );
        assert_eq!(page(&world, &plan, Seq::ZERO, 100).await, []);
        finish(&world, &plan).await;
    }
}

pub(crate) async fn pages_never_pass_the_cutoff<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_many(6).await;
    for audience in both_kinds(&subscribers) {
        let mut plan = plan(&world, audience).await;
        plan.cutoff = subscribers[2].seq;
        assert_eq!(whole(&world, &plan).await, seqs(&subscribers[..3]));
        finish(&world, &plan).await;
    }
}

pub(crate) async fn nobody_is_listed_twice<H: Harness>(world: World<H>) {
    let anna = of_user(&world, "anna").await;
    let annas_other = of_user(&world, "anna").await;
    let ben = of_user(&world, "ben").await;
    let nobodys = world.subscribe().await;
    of_user(&world, "carl").await;
    let audience = listed(
        &[nobodys.id, annas_other.id, nobodys.id],
        &["ben", "anna", "anna", "nobody knows her"],
    );
    let plan = plan(&world, audience).await;
    let expected = [anna.seq, annas_other.seq, ben.seq, nobodys.seq];
    assert_eq!(whole(&world, &plan).await, expected);
    assert_eq!(page(&world, &plan, NO_END, 2).await, expected[..2]);
}

pub(crate) async fn unknown_ones_are_nobody<H: Harness>(world: World<H>) {
    world.subscribe().await;
    let unknown = world.entities.subscription_id();
    let plan = plan(&world, listed(&[unknown], &["nobody knows her"])).await;
    assert_eq!(whole(&world, &plan).await, []);
}

pub(crate) async fn long_lists_are_reached_whole<H: Harness>(world: World<H>) {
    let subscribers = world.subscribe_at_once(600).await;
    let mut expected = seqs(&subscribers);
    expected.sort();
    let ids: Vec<_> = subscribers.iter().map(|subscriber| subscriber.id).collect();
    let names: Vec<_> = (0..10_000).map(|number| format!("user-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let plan = plan(&world, listed(&ids, &names)).await;
    assert_eq!(page(&world, &plan, NO_END, 1_000).await, expected);
}

async fn of_user<H: Harness>(world: &World<H>, user: &str) -> SubscriptionRecord {
    let change = SubscriptionChange {
        user: Some(UserId::parse(user)),
        ..Default::default()
    };
    let new = world.entities.new_subscription(world.key);
    world.register(NewSubscription { change, ..new }).await
}

fn listed(subscriptions: &[SubscriptionId], users: &[&str]) -> Audience {
    Audience::Listed {
        subscriptions: subscriptions.to_vec(),
        users: users
            .iter()
            .map(|user| UserId::parse(user).expect("a plain name"))
            .collect(),
    }
}

/// Everybody, once as a broadcast and once as a list.
fn both_kinds(subscribers: &[SubscriptionRecord]) -> [Audience; 2] {
    let ids: Vec<_> = subscribers.iter().map(|subscriber| subscriber.id).collect();
    [Audience::All, listed(&ids, &[])]
}

/// The plan of a new message, the only one.
async fn plan<H: Harness>(world: &World<H>, audience: Audience) -> Plan {
    let id = world.accept(audience).await.id;
    let plan = world.next_plan().await.expect("it is to be planned");
    assert_eq!(plan.message, id);
    plan
}

/// Makes room for the next message's plan.
async fn finish<H: Harness>(world: &World<H>, plan: &Plan) {
    world.cut(plan.message, vec![]).await;
    world.wait(Duration::from_millis(1));
}

async fn page<H: Harness>(world: &World<H>, plan: &Plan, through: Seq, limit: u16) -> Vec<Seq> {
    let members = world.store().audience(plan, through, limit).await.unwrap();
    members.iter().map(|member| member.seq).collect()
}

async fn whole<H: Harness>(world: &World<H>, plan: &Plan) -> Vec<Seq> {
    page(world, plan, NO_END, 1_000).await
}
