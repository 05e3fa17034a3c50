//! Looking at, changing, testing and ending subscriptions.

use std::time::Duration;

use serde_json::{Map, Value};
use tidings_webpush::Urgency;

use crate::application::{Application, ApplicationId, PageUsers};
use crate::application_server::accept_message::accepted;
use crate::application_server::{AcceptError, AcceptedMessage, ApplicationServer};
use crate::content::Content;
use crate::id::{MessageId, SubscriptionId};
use crate::message::{Audience, MessageOptions, NewMessage};
use crate::store::{StoreError, SubscriptionChange};
use crate::subscription::{SubscriptionRecord, SubscriptionState};

/// How often a page may send a test notification to itself.
const TEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a test notification is worth showing.
const TEST_TTL: Duration = Duration::from_mins(5);

/// Why a page may not touch a subscription. It is not told which of these it was.
#[derive(Debug, thiserror::Error)]
pub enum OwnSubscriptionError {
    /// There is no such subscription, or the token is not its token.
    #[error("the token does not belong to this subscription")]
    NotYours,
    /// A page named a person and did not prove it.
    #[error("`user` was not proved")]
    UserNotProved,
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
        change: SubscriptionChange,
    ) -> Result<SubscriptionRecord, OwnSubscriptionError> {
        // Detaching a browser from its person needs no proof; attaching it does.
        let names_a_person = matches!(change.user, Some(Some(_)));
        if names_a_person && application.page_users != PageUsers::Trusted {
            return Err(OwnSubscriptionError::UserNotProved);
        }
        self.own_subscription(application.id, id, token).await?;
        let changed = self
            .parts
            .store
            .change_subscription(application.id, id, change)
            .await?;
        changed.ok_or(OwnSubscriptionError::NotYours)
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
