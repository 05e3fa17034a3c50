use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, json};
use tidings_core::api_token::{ApiTokenName, ApiTokenSecret, Scope, Scopes};
use tidings_core::application::{ApplicationId, DEFAULT_MAX_SUBSCRIPTIONS_PER_USER};
use tidings_core::clock::{Clock as _, Timestamp};
use tidings_core::content::Content;
use tidings_core::id::{ApiTokenId, MessageId, SubscriptionId, VapidKeyId};
use tidings_core::mac::{MacSecrets, Macs};
use tidings_core::message::{Audience, DEFAULT_TTL, MessageOptions, NewMessage};
use tidings_core::receipt::{Receipt, ReceiptEvent};
use tidings_core::store::{
    IdempotencyKey, NewApiToken, NewSubscription, NewVapidKey, SubscriptionChange,
};
use tidings_core::vapid_key::VapidKeyState;
use tidings_webpush::{PushResource, PushService, Subscription, Urgency, UserAgentKeys, VapidKey};

use crate::fixed_clock::FixedClock;
use crate::seeded_randomness::SeededRandomness;

/// Makes entities that are valid, plain, and all different from each other.
///
/// Whatever a test cares about it sets itself:
///
/// ```
/// # use tidings_core::store::NewSubscription;
/// # use tidings_core::vapid_key::VapidKeyState;
/// # use tidings_testkit::Entities;
/// # let entities = Entities::default();
/// # let key = entities.new_vapid_key(VapidKeyState::Active).id;
/// let registration = NewSubscription { encoding: None, ..entities.new_subscription(key) };
/// ```
#[derive(Debug)]
pub struct Entities {
    /// The present of everything that is made.
    pub clock: Arc<FixedClock>,
    /// Where its keys and identifiers come from.
    pub randomness: Arc<SeededRandomness>,
    /// What its endpoint identities are computed with.
    pub macs: Arc<Macs>,
    made: AtomicU64,
}

impl Entities {
    /// Entities of the application [`ApplicationId::DEFAULT`], reproducible from `seed` but for
    /// their VAPID keys.
    pub fn new(seed: u64) -> Self {
        let randomness = SeededRandomness::new(seed);
        Self {
            clock: Arc::default(),
            macs: Arc::new(Macs::new(&MacSecrets::generate(&randomness))),
            randomness: Arc::new(randomness),
            made: AtomicU64::new(0),
        }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An identifier that names no subscription yet.
    pub fn subscription_id(&self) -> SubscriptionId {
        SubscriptionId::new(self.now(), self.randomness.as_ref())
    }

    /// An identifier that names no message yet.
    pub fn message_id(&self) -> MessageId {
        MessageId::new(self.now(), self.randomness.as_ref())
    }

    /// An identifier that names no VAPID key yet.
    pub fn vapid_key_id(&self) -> VapidKeyId {
        VapidKeyId::new(self.now(), self.randomness.as_ref())
    }

    /// The keys of a user agent.
    pub fn user_agent_keys(&self) -> UserAgentKeys {
        UserAgentKeys::generate(self.randomness.as_ref()).expect("SHA-256 makes scalars enough")
    }

    /// What a browser of Firefox's kind would hand over.
    pub fn subscription(&self) -> Subscription {
        self.subscription_at(PushService::Mozilla)
    }

    /// What a browser with this push service would hand over.
    pub fn subscription_at(&self, service: PushService) -> Subscription {
        let base = match service {
            PushService::Fcm => "https://fcm.googleapis.com/fcm/send/",
            PushService::Mozilla => "https://updates.push.services.mozilla.com/wpush/v2/",
            PushService::Apple => "https://web.push.apple.com/",
            PushService::Wns => "https://wns2-par02p.notify.windows.com/w/?token=",
            _ => "https://push.example.net/",
        };
        let endpoint = format!("{base}{}", self.made.fetch_add(1, Ordering::Relaxed));
        subscription(&endpoint, &self.user_agent_keys())
    }

    /// The registration of a new [`Self::subscription`], about which nothing else is said.
    pub fn new_subscription(&self, default_vapid_key: VapidKeyId) -> NewSubscription {
        self.registration(self.subscription(), default_vapid_key)
    }

    /// A registration of `subscription`, about which nothing else is said.
    pub fn registration(
        &self,
        subscription: Subscription,
        default_vapid_key: VapidKeyId,
    ) -> NewSubscription {
        let application = ApplicationId::DEFAULT;
        NewSubscription {
            id: self.subscription_id(),
            application,
            endpoint_hash: self.macs.endpoint(application, &subscription.push_resource),
            subscription,
            vapid_key: None,
            default_vapid_key,
            encoding: None,
            change: SubscriptionChange::default(),
            max_per_user: DEFAULT_MAX_SUBSCRIPTIONS_PER_USER,
            seen_at: None,
            now: self.now(),
        }
    }

    /// A new VAPID key.
    pub fn new_vapid_key(&self, state: VapidKeyState) -> NewVapidKey {
        NewVapidKey {
            id: self.vapid_key_id(),
            application: ApplicationId::DEFAULT,
            key: VapidKey::generate().expect("the system has randomness"),
            state,
            created_at: self.now(),
        }
    }

    /// A new token with the scope `messages:send` that does not expire.
    pub fn new_api_token(&self) -> NewApiToken {
        NewApiToken {
            id: ApiTokenId::new(self.now(), self.randomness.as_ref()),
            application: ApplicationId::DEFAULT,
            hash: ApiTokenSecret::generate(self.randomness.as_ref()).hash(),
            name: ApiTokenName::parse("shop").expect("a plain name"),
            scopes: Scopes::new([Scope::SendMessages]).expect("one scope"),
            created_at: self.now(),
            expires_at: None,
        }
    }

    /// A message that is due at once.
    pub fn new_message(&self, audience: Audience) -> NewMessage {
        let mut notification = Map::new();
        notification.insert("title".to_owned(), json!("Your parcel is here"));
        notification.insert("navigate".to_owned(), json!("https://example.org/parcels"));
        NewMessage {
            id: self.message_id(),
            application: ApplicationId::DEFAULT,
            audience,
            content: Content::Notification {
                notification,
                app_badge: None,
                mutable: true,
            },
            options: MessageOptions {
                ttl: DEFAULT_TTL,
                urgency: Urgency::Normal,
                topic: None,
            },
            accepted_at: self.now(),
            due_at: self.now(),
        }
    }

    /// A caller's key for one request, with the digest of the request's body.
    pub fn idempotency_key(&self) -> IdempotencyKey {
        IdempotencyKey {
            key: self.randomness.octets(),
            body: self.randomness.octets(),
        }
    }

    /// A receipt of the present.
    pub fn receipt(
        &self,
        message: MessageId,
        subscription: SubscriptionId,
        event: ReceiptEvent,
    ) -> Receipt {
        Receipt {
            message,
            subscription,
            event,
            action: None,
            at: self.now(),
        }
    }
}

impl Default for Entities {
    fn default() -> Self {
        Self::new(0)
    }
}

fn subscription(endpoint: &str, keys: &UserAgentKeys) -> Subscription {
    Subscription {
        push_resource: PushResource::parse(endpoint).expect("a well-formed endpoint"),
        p256dh: keys.public_key().clone(),
        auth: keys.auth().clone(),
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::subscription::PushServiceGroup;

    use super::*;

    #[test]
    fn every_push_service_recognises_its_endpoints() {
        let entities = Entities::default();
        for service in PushService::ALL {
            let made = entities.subscription_at(service);
            assert_eq!(made.push_resource.push_service(), service);
            assert_eq!(
                PushServiceGroup::of(&made.push_resource),
                PushServiceGroup::of_service(service)
            );
        }
    }

    #[test]
    fn no_two_entities_are_the_same() {
        let entities = Entities::default();
        let key = entities.vapid_key_id();
        let (one, other) = (
            entities.new_subscription(key),
            entities.new_subscription(key),
        );
        assert_ne!(one.id, other.id);
        assert_ne!(one.endpoint_hash, other.endpoint_hash);
        assert_ne!(one.subscription.p256dh, other.subscription.p256dh);
        assert!(!one.subscription.auth.ct_eq(&other.subscription.auth));
        assert_ne!(
            entities.new_message(Audience::All).id,
            entities.new_message(Audience::All).id
        );
    }

    #[test]
    fn the_same_seed_makes_the_same_entities() {
        let (one, again, other) = (Entities::new(5), Entities::new(5), Entities::new(6));
        let key = one.subscription();
        assert_eq!(key.p256dh, again.subscription().p256dh);
        assert_ne!(key.p256dh, other.subscription().p256dh);
    }
}
