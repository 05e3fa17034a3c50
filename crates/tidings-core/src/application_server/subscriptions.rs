//! Looking at, changing, testing and ending subscriptions.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Map, Value};
use tidings_webpush::Urgency;

use crate::application::{Application, ApplicationId};
use crate::application_server::accept_message::accepted;
use crate::application_server::page_user::{self, PageUserError};
use crate::application_server::{AcceptError, AcceptedMessage, ApplicationServer};
use crate::content::Content;
use crate::id::{MessageId, SubscriptionId};
use crate::message::{Audience, MessageOptions, NewMessage};
use crate::store::{Changed, StoreError, SubscriptionChange};
use crate::subscription::{SubscriptionRecord, SubscriptionState};
use crate::user_token::UserToken;

/// How often a page may send a test notification to itself.
const TEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a test notification is worth showing.
const TEST_TTL: Duration = Duration::from_mins(5);

/// What a page changes about its own subscription.
#[derive(Debug, Default)]
pub struct OwnChange {
    /// The change.
    pub change: SubscriptionChange,
    /// What proves the person. Alone, it attaches the subscription to whom it names.
    pub user_token: Option<UserToken>,
}

/// Why a subscription was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The person has as many active subscriptions as the application allows.
    #[error("the user has {cap} active subscriptions already")]
    TooManySubscriptions {
        /// How many are allowed.
        cap: NonZeroU32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a page may not touch a subscription.
#[derive(Debug, thiserror::Error)]
pub enum OwnSubscriptionError {
    /// There is no such subscription, or the token is not its token. Which, is not told.
    #[error("the token does not belong to this subscription")]
    NotYours,
    /// The page was not believed about `user`.
    #[error(transparent)]
    User(#[from] PageUserError),
    /// The change was not made.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no test notification was sent.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// See [`OwnSubscriptionError`].
    #[error(transparent)]
    Own(#[from] OwnSubscriptionError),
    /// The last one was just sent.
    #[error("a test notification can be sent once in 10 seconds")]
    TooSoon {
        /// How long to wait.
        wait: Duration,
    },
    /// The subscription can not be sent to any more.
    #[error("the subscription is {}", .0.as_str())]
    NotActive(SubscriptionState),
    /// The message was not accepted.
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

impl ApplicationServer {
    /// The subscription of a page that shows its token.
    pub async fn own_subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        token: &str,
    ) -> Result<SubscriptionRecord, OwnSubscriptionError> {
        let record = self.parts.store.subscription(app, id).await?;
        record
            .filter(|record| {
                self.parts
                    .macs
                    .is_subscription_token(token, id, &record.subscription.auth)
            })
            .ok_or(OwnSubscriptionError::NotYours)
    }

    /// A page changes its own subscription.
    pub async fn change_own_subscription(
        &self,
        application: &Application,
        id: SubscriptionId,
        token: &str,
        OwnChange {
            mut change,
            user_token,
        }: OwnChange,
    ) -> Result<SubscriptionRecord, OwnSubscriptionError> {
        self.own_subscription(application.id, id, token).await?;
        // Detaching a browser from its person needs no proof; attaching it does.
        if change.user != Some(None) {
            let now = self.parts.clock.now();
            let named = change.user.flatten();
            let user = page_user::believed(application, named, user_token.as_ref(), now)?;
            change.user = user.map(Some);
        }
        let changed = self.change_subscription(application, id, change).await?;
        changed.ok_or(OwnSubscriptionError::NotYours)
    }

    /// A back end changes a subscription. `None` if the application has none with this id.
    pub async fn change_subscription(
        &self,
        application: &Application,
        id: SubscriptionId,
        change: SubscriptionChange,
    ) -> Result<Option<SubscriptionRecord>, ChangeError> {
        let cap = application.max_subscriptions_per_user;
        let changed = self
            .parts
            .store
            .change_subscription(application.id, id, change, cap)
            .await?;
        match changed {
            None => Ok(None),
            Some(Changed::Changed(record)) => Ok(Some(*record)),
            Some(Changed::TooManyOfUser) => Err(ChangeError::TooManySubscriptions { cap }),
        }
    }

    /// A page ends its own subscription.
    pub async fn end_own_subscription(
        &self,
        app: ApplicationId,
        id: SubscriptionId,
        token: &str,
    ) -> Result<(), OwnSubscriptionError> {
        self.own_subscription(app, id, token).await?;
        self.parts
            .store
            .end_subscription(app, id, self.parts.clock.now())
            .await?;
        Ok(())
    }

    /// A page sends itself a fixed test notification, once in 10 seconds.
    pub async fn send_test(
        &self,
        application: &Application,
        id: SubscriptionId,
        token: &str,
    ) -> Result<AcceptedMessage, TestError> {
        let record = self.own_subscription(application.id, id, token).await?;
        if record.state != SubscriptionState::Active {
            return Err(TestError::NotActive(record.state));
        }
        let now = self.parts.clock.now();
        let wait = self
            .parts
            .store
            .take_test_turn(application.id, id, now, TEST_PAUSE)
            .await
            .map_err(OwnSubscriptionError::from)?;
        if let Some(wait) = wait {
            return Err(TestError::TooSoon { wait });
        }
        let message = NewMessage {
            id: MessageId::new(now, self.parts.randomness.as_ref()),
            application: application.id,
            audience: Audience::Listed {
                subscriptions: vec![id],
                users: Vec::new(),
            },
            content: test_notification(application),
            options: MessageOptions {
                ttl: TEST_TTL,
                urgency: Urgency::High,
                topic: None,
            },
            accepted_at: now,
            due_at: now,
        };
        let stored = self
            .parts
            .store
            .accept(message, None)
            .await
            .map_err(OwnSubscriptionError::from)?;
        self.parts.planner.message_accepted();
        Ok(accepted(stored)?)
    }
}

fn test_notification(application: &Application) -> Content {
    let mut notification = Map::new();
    notification.insert("title".to_owned(), Value::from("It works"));
    notification.insert(
        "body".to_owned(),
        Value::from("This test notification came from the server to this browser, encrypted."),
    );
    notification.insert(
        "navigate".to_owned(),
        Value::from(application.site_url.as_str()),
    );
    Content::Notification {
        notification,
        app_badge: None,
        mutable: true,
    }
}
