use tidings_core::application::ApplicationId;
use tidings_core::id::MessageId;
use tidings_core::message::{Audience, ReceiptCounts};
use tidings_core::receipt::{MAX_RECEIPTS, Receipt, ReceiptEvent};

use crate::harness::Harness;
use crate::world::{World, at_once};

const APP: ApplicationId = ApplicationId::DEFAULT;

pub(crate) async fn each_event_has_its_count<H: Harness>(world: World<H>) {
    let (message, receipts) = receipts(&world).await;
    let [shown, clicked, dismissed] = receipts.clone();
    let clicked = Receipt {
        action: Some("reply".to_owned()),
        ..clicked
    };
    assert_eq!(add(&world, vec![shown]).await, 1);
    assert_eq!(counts(&world, message).await, [1, 0, 0]);
    assert_eq!(add(&world, vec![clicked, dismissed]).await, 2);
    assert_eq!(counts(&world, message).await, [1, 1, 1]);
}

pub(crate) async fn each_event_counts_once<H: Harness>(world: World<H>) {
    let (message, receipts) = receipts(&world).await;
    let [shown, clicked, _] = receipts.clone();
    assert_eq!(add(&world, vec![shown.clone(), shown.clone()]).await, 1);
    assert_eq!(add(&world, vec![shown.clone()]).await, 0);
    let later = Receipt {
        at: world.wait(std::time::Duration::from_secs(1)),
        ..shown
    };
    assert_eq!(
        add(&world, vec![later, clicked]).await,
        1,
        "only the click is new"
    );
    assert_eq!(counts(&world, message).await, [1, 1, 0]);
}

pub(crate) async fn another_action_is_not_another_click<H: Harness>(world: World<H>) {
    let (message, [_, clicked, _]) = receipts(&world).await;
    let reply = Receipt {
        action: Some("reply".to_owned()),
        ..clicked.clone()
    };
    assert_eq!(add(&world, vec![clicked]).await, 1);
    assert_eq!(add(&world, vec![reply]).await, 0);
    assert_eq!(counts(&world, message).await, [0, 1, 0]);
}

pub(crate) async fn each_subscription_counts_for_itself<H: Harness>(world: World<H>) {
    let (message, [shown, ..]) = receipts(&world).await;
    let of_all = (0..MAX_RECEIPTS).map(|_| Receipt {
        subscription: world.entities.subscription_id(),
        ..shown.clone()
    });
    assert_eq!(add(&world, of_all.collect()).await, 100);
    assert_eq!(counts(&world, message).await, [100, 0, 0]);
}

pub(crate) async fn each_message_counts_for_itself<H: Harness>(world: World<H>) {
    let (one, [shown, ..]) = receipts(&world).await;
    let other = world.accept(Audience::All).await.id;
    let of_other = Receipt {
        message: other,
        ..shown.clone()
    };
    assert_eq!(add(&world, vec![shown, of_other]).await, 2);
    assert_eq!(counts(&world, one).await, [1, 0, 0]);
    assert_eq!(counts(&world, other).await, [1, 0, 0]);
}

pub(crate) async fn an_unknown_message_counts_nothing<H: Harness>(world: World<H>) {
    let (message, [shown, ..]) = receipts(&world).await;
    let unknown = Receipt {
        message: world.entities.message_id(),
        ..shown.clone()
    };
    assert_eq!(add(&world, vec![unknown.clone()]).await, 0);
    assert_eq!(
        add(&world, vec![unknown, shown]).await,
        1,
        "the others count all the same"
    );
    assert_eq!(counts(&world, message).await, [1, 0, 0]);
}

pub(crate) async fn another_applications_message_counts_nothing<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let (message, [shown, ..]) = receipts(&world).await;
    let now = world.now();
    let store = world.store();
    assert_eq!(
        store
            .add_receipts(other, vec![shown.clone()], now)
            .await
            .unwrap(),
        0
    );
    assert_eq!(counts(&world, message).await, [0, 0, 0]);
    assert_eq!(
        store.add_receipts(APP, vec![shown], now).await.unwrap(),
        1,
        "it was not kept"
    );
}

pub(crate) async fn a_receipt_reported_at_once_counts_once<H: Harness>(world: World<H>) {
    let (message, [shown, ..]) = receipts(&world).await;
    let now = world.now();
    let reports = (0..16).map(|_| {
        let (store, receipts) = (world.store(), vec![shown.clone()]);
        async move { store.add_receipts(APP, receipts, now).await.unwrap() }
    });
    assert_eq!(at_once(reports).await.into_iter().sum::<u64>(), 1);
    assert_eq!(counts(&world, message).await, [1, 0, 0]);
}

/// One of each event, of a new subscription and a new message.
async fn receipts<H: Harness>(world: &World<H>) -> (MessageId, [Receipt; 3]) {
    let subscription = world.subscribe().await.id;
    let message = world.accept(Audience::All).await.id;
    (
        message,
        ReceiptEvent::ALL.map(|event| world.entities.receipt(message, subscription, event)),
    )
}

async fn add<H: Harness>(world: &World<H>, receipts: Vec<Receipt>) -> u64 {
    world
        .store()
        .add_receipts(APP, receipts, world.now())
        .await
        .unwrap()
}

async fn counts<H: Harness>(world: &World<H>, message: MessageId) -> [u64; 3] {
    let ReceiptCounts {
        shown,
        clicked,
        dismissed,
    } = world.message(message).await.receipts;
    [shown, clicked, dismissed]
}
