use std::time::Duration;

use serde_json::{Value, json};
use tidings_core::application::ApplicationId;
use tidings_core::content::Content;
use tidings_core::id::MessageId;
use tidings_core::message::{
    Audience, MAX_TTL, MessageCounts, MessageOptions, MessageState, NewMessage, ReceiptCounts,
};
use tidings_core::store::{Accepted, IdempotencyKey, PageRequest};
use tidings_webpush::{Topic, Urgency};

use crate::harness::Harness;
use crate::views;
use crate::world::{World, at_once};

const APP: ApplicationId = ApplicationId::DEFAULT;

pub(crate) async fn an_accepted_message_waits_to_be_planned<H: Harness>(world: World<H>) {
    let new = world.entities.new_message(Audience::All);
    let expected = views::MessageView {
        id: new.id,
        application: APP,
        state: MessageState::Planning,
        options: new.options.clone(),
        accepted_at: new.accepted_at,
        due_at: new.due_at,
        done_at: None,
        counts: MessageCounts::default(),
        receipts: ReceiptCounts::default(),
    };
    let accepted = world.accept_new(new).await;
    assert_eq!(views::message(&accepted), expected);
    assert_eq!(views::message(&world.message(accepted.id).await), expected);
}

pub(crate) async fn options_are_kept<H: Harness>(world: World<H>) {
    for (urgency, ttl, topic) in [
        (Urgency::VeryLow, Duration::ZERO, None),
        (Urgency::Low, Duration::from_secs(1), Some("ab")),
        (
            Urgency::Normal,
            Duration::from_hours(1),
            Some("news-2026_11"),
        ),
        (Urgency::High, MAX_TTL, None),
    ] {
        let topic = topic.map(|topic| Topic::parse(topic).unwrap());
        let options = MessageOptions {
            ttl,
            urgency,
            topic,
        };
        let new = world.entities.new_message(Audience::All);
        let id = world
            .accept_new(NewMessage {
                options: options.clone(),
                ..new
            })
            .await
            .id;
        assert_eq!(world.message(id).await.options, options);
        let to_send = world.store().message_to_send(id).await.unwrap().unwrap();
        assert_eq!(to_send.options, options);
        assert!(!to_send.cancelled);
    }
}

pub(crate) async fn content_is_kept<H: Harness>(world: World<H>) {
    let Value::Object(notification) = json!({"title": "Grüße", "data": {"order": 7}}) else {
        unreachable!("it is an object")
    };
    for content in [
        Content::Notification {
            notification,
            app_badge: Some(3),
            mutable: false,
        },
        Content::Data(json!(["any", {"json": null}])),
        Content::Bytes((0..=255).collect()),
        Content::Bytes(Vec::new()),
    ] {
        let new = world.entities.new_message(Audience::All);
        let id = world
            .accept_new(NewMessage {
                content: content.clone(),
                ..new
            })
            .await
            .id;
        let to_send = world.store().message_to_send(id).await.unwrap().unwrap();
        assert_eq!(to_send.content, content);
    }
}

pub(crate) async fn an_unknown_message_is_none<H: Harness>(world: World<H>) {
    let unknown = world.entities.message_id();
    assert!(world.store().message(APP, unknown).await.unwrap().is_none());
    assert!(
        world
            .store()
            .message_to_send(unknown)
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn a_message_belongs_to_its_application<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let ours = world.accept(Audience::All).await.id;
    assert!(world.store().message(other, ours).await.unwrap().is_none());
    assert_eq!(page(&world, other, None, 10).await, (vec![], None));
    assert_eq!(page(&world, APP, None, 10).await, (vec![ours], None));
}

pub(crate) async fn pages_follow_each_other_newest_first<H: Harness>(world: World<H>) {
    let mut newest_first = Vec::new();
    for _ in 0..5 {
        newest_first.insert(0, world.accept(Audience::All).await.id);
    }
    let (first, next) = page(&world, APP, None, 2).await;
    let (second, next) = page(&world, APP, next, 2).await;
    let (third, end) = page(&world, APP, next, 2).await;
    assert_eq!([first, second, third].concat(), newest_first);
    assert_eq!(end, None);
}

pub(crate) async fn a_page_shows_counts<H: Harness>(world: World<H>) {
    let sending = world.sending(2).await;
    world
        .record(
            &sending,
            sending.all(tidings_core::delivery::OutcomeKind::Accepted),
        )
        .await;
    let request = PageRequest {
        after: None,
        limit: 10,
    };
    let listed = world.store().messages(APP, request).await.unwrap().items;
    let expected = MessageCounts {
        targeted: 2,
        accepted: 2,
        ..MessageCounts::default()
    };
    assert_eq!(
        listed
            .iter()
            .map(|message| message.counts)
            .collect::<Vec<_>>(),
        [expected]
    );
}

async fn page<H: Harness>(
    world: &World<H>,
    app: ApplicationId,
    after: Option<MessageId>,
    limit: u16,
) -> (Vec<MessageId>, Option<MessageId>) {
    let page = world
        .store()
        .messages(app, PageRequest { after, limit })
        .await
        .unwrap();
    (
        page.items.iter().map(|message| message.id).collect(),
        page.next,
    )
}

pub(crate) async fn a_repeated_request_is_accepted_once<H: Harness>(world: World<H>) {
    let key = world.entities.idempotency_key();
    let Accepted::New(first) = accept(&world, APP, &key).await else {
        panic!("the key was not used before");
    };
    world.wait(Duration::from_hours(1));
    let Accepted::Before(again) = accept(&world, APP, &key).await else {
        panic!("the request was made before");
    };
    assert_eq!(views::message(&again), views::message(&first));
    assert_eq!(page(&world, APP, None, 10).await, (vec![first.id], None));
}

pub(crate) async fn a_repeated_request_is_told_how_far_the_first_is<H: Harness>(world: World<H>) {
    let key = world.entities.idempotency_key();
    let Accepted::New(first) = accept(&world, APP, &key).await else {
        panic!("the key was not used before");
    };
    world.cut(first.id, vec![]).await;
    let Accepted::Before(again) = accept(&world, APP, &key).await else {
        panic!("the request was made before");
    };
    assert_eq!(
        views::message(&again),
        views::message(&world.message(first.id).await)
    );
}

pub(crate) async fn an_idempotency_key_is_good_for_a_day<H: Harness>(world: World<H>) {
    let key = world.entities.idempotency_key();
    assert!(matches!(accept(&world, APP, &key).await, Accepted::New(_)));
    world.wait(Duration::from_hours(24) - Duration::from_millis(1));
    assert!(matches!(
        accept(&world, APP, &key).await,
        Accepted::Before(_)
    ));
    world.wait(Duration::from_millis(1));
    let other_body = IdempotencyKey {
        body: [7; 32],
        ..key.clone()
    };
    assert!(matches!(
        accept(&world, APP, &other_body).await,
        Accepted::New(_)
    ));
    assert!(matches!(
        accept(&world, APP, &other_body).await,
        Accepted::Before(_)
    ));
}

pub(crate) async fn another_body_under_a_used_key_is_refused<H: Harness>(world: World<H>) {
    let key = world.entities.idempotency_key();
    let Accepted::New(first) = accept(&world, APP, &key).await else {
        panic!("the key was not used before");
    };
    let other_body = IdempotencyKey {
        body: [7; 32],
        ..key.clone()
    };
    assert!(matches!(
        accept(&world, APP, &other_body).await,
        Accepted::KeyReused
    ));
    assert_eq!(page(&world, APP, None, 10).await, (vec![first.id], None));
    assert!(matches!(
        accept(&world, APP, &key).await,
        Accepted::Before(_)
    ));
}

pub(crate) async fn applications_do_not_share_idempotency_keys<H: Harness>(mut world: World<H>) {
    let (other, _) = world.add_application().await;
    let key = world.entities.idempotency_key();
    assert!(matches!(accept(&world, APP, &key).await, Accepted::New(_)));
    assert!(matches!(
        accept(&world, other, &key).await,
        Accepted::New(_)
    ));
}

pub(crate) async fn one_request_made_at_once_is_accepted_once<H: Harness>(world: World<H>) {
    let key = world.entities.idempotency_key();
    let requests = (0..16).map(|_| {
        let store = world.store();
        let (new, key) = (world.entities.new_message(Audience::All), key.clone());
        async move { store.accept(new, Some(key)).await.unwrap() }
    });
    let accepted = at_once(requests).await;
    let new = accepted
        .iter()
        .filter(|accepted| matches!(accepted, Accepted::New(_)))
        .count();
    let before = accepted
        .iter()
        .filter(|accepted| matches!(accepted, Accepted::Before(_)))
        .count();
    assert_eq!((new, before), (1, 15));
    assert_eq!(page(&world, APP, None, 100).await.0.len(), 1);
}

async fn accept<H: Harness>(
    world: &World<H>,
    application: ApplicationId,
    key: &IdempotencyKey,
) -> Accepted {
    let new = NewMessage {
        application,
        ..world.entities.new_message(Audience::All)
    };
    world.store().accept(new, Some(key.clone())).await.unwrap()
}
