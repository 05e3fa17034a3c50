//! Sends one message to one subscription: encrypt, authorize, post, interpret, decide.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use tidings_core::application::{ApplicationId, Applications};
use tidings_core::application_server::receipts_url;
use tidings_core::batch::Batch;
use tidings_core::clock::Clock;
use tidings_core::content::RenderedPayload;
use tidings_core::delivery::{
    Attempt, AttemptResult, LastAnswer, Outcome, OutcomeKind, deadline, decide, remaining_ttl,
    topic_for,
};
use tidings_core::mac::Macs;
use tidings_core::message::{MessageOptions, MessageToSend};
use tidings_core::store::{LoadedMember, SendTarget, Store, StoreError};
use tidings_webpush::{Answer, FreshKeyPair, PushMessage, Randomness, Ttl, interpret, reason};
use url::Url;

use crate::engine::Policy;
use crate::engine::keyring::{Keyring, KeyringError};
use crate::transport::{Transport, TransportError};

/// How often a request is tried that nobody has looked at.
const TRIES: u32 = 3;

pub(super) struct Sender {
    pub(super) store: Arc<dyn Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) macs: Arc<Macs>,
    pub(super) keyring: Keyring,
    pub(super) applications: Applications,
    pub(super) public_url: Url,
    pub(super) policy: Policy,
}

/// What all deliveries of a batch share.
pub(super) struct BatchMessage {
    pub(super) payload: RenderedPayload,
    pub(super) options: MessageOptions,
    pub(super) cancelled: bool,
}

/// Why no request was made. Nothing was sent.
enum NotSent {
    /// This delivery can never be sent as things stand.
    Refused(String),
    /// The store failed: the whole pass stops and is tried again.
    Store(StoreError),
    /// It is too late.
    Expired,
    /// The engine stops.
    Stopping,
}

/// What came of a request that was made.
type Posted = Result<Response<Bytes>, TransportError>;

impl Sender {
    pub(super) fn render(&self, batch: &Batch, message: MessageToSend) -> BatchMessage {
        let application = self.applications.by_id(batch.application);
        let receipts = application
            .map(|application| receipts_url(&self.public_url, &application.name))
            .unwrap_or_default();
        let payload = message
            .content
            .render(batch.message, &receipts, self.randomness.as_ref());
        BatchMessage {
            payload,
            options: message.options,
            cancelled: message.cancelled,
        }
    }

    /// Makes one attempt and says what became of it. `None` if the engine stops before the attempt
    /// was begun.
    pub(super) async fn deliver(
        &self,
        batch: &Batch,
        message: &BatchMessage,
        member: LoadedMember,
    ) -> Result<Option<Outcome>, StoreError> {
        let outcome = |kind, attempt, last_answer| {
            Some(Outcome {
                position: member.position,
                subscription: member.target.as_ref().map(|target| target.id),
                kind,
                attempt,
                last_answer,
            })
        };
        if message.cancelled {
            return Ok(outcome(OutcomeKind::Cancelled, member.attempts, None));
        }
        let Some(target) = &member.target else {
            return Ok(outcome(OutcomeKind::Ended, member.attempts, None));
        };
        let number = member.attempts + 1;
        let (result, last_answer) = match self.post(batch, message, target).await {
            Ok(Ok(response)) => self.understand(target, &response),
            Ok(Err(error)) => {
                let answer = LastAnswer::none(&error.to_string());
                (AttemptResult::Unanswered, answer)
            }
            Err(NotSent::Stopping) => return Ok(None),
            Err(NotSent::Store(error)) => return Err(error),
            Err(NotSent::Expired) => {
                return Ok(outcome(OutcomeKind::Expired, member.attempts, None));
            }
            Err(NotSent::Refused(reason)) => {
                let answer = LastAnswer::none(&reason);
                return Ok(outcome(OutcomeKind::Refused, number, Some(answer)));
            }
        };
        let attempt = Attempt {
            number,
            ended_at: self.clock.now(),
            deadline: deadline(batch.due_at, &message.options),
            jitter: self.jitter(),
        };
        let disposition = decide(&result, attempt, &self.policy.retry);
        Ok(outcome(disposition.into(), number, Some(last_answer)))
    }

    /// Waits for room, then makes the request and posts it; again at once where nobody looked at it.
    async fn post(
        &self,
        batch: &Batch,
        message: &BatchMessage,
        target: &SendTarget,
    ) -> Result<Posted, NotSent> {
        for _ in 1..TRIES {
            match self.post_once(batch, message, target).await? {
                Err(TransportError::NotProcessed) => {}
                posted => return Ok(posted),
            }
        }
        self.post_once(batch, message, target).await
    }

    async fn post_once(
        &self,
        batch: &Batch,
        message: &BatchMessage,
        target: &SendTarget,
    ) -> Result<Posted, NotSent> {
        let ttl = || {
            let ttl = remaining_ttl(batch.due_at, &message.options, self.clock.now());
            ttl.ok_or(NotSent::Expired)
        };
        ttl()?;
        let resource = &target.subscription.push_resource;
        let turn = match self.transport.turn(resource, batch.lane).await {
            Ok(turn) => turn,
            Err(TransportError::Closed) => return Err(NotSent::Stopping),
            Err(error) => return Ok(Err(error)),
        };
        // Waiting may have taken long.
        let ttl = ttl()?;
        let request = self.request(batch, message, target, ttl.as_secs()).await?;
        Ok(turn.post(request).await)
    }

    async fn request(
        &self,
        batch: &Batch,
        message: &BatchMessage,
        target: &SendTarget,
        ttl_seconds: u64,
    ) -> Result<http::Request<Bytes>, NotSent> {
        let refused = |error: &dyn std::fmt::Display| NotSent::Refused(error.to_string());
        let resource = &target.subscription.push_resource;
        let authorization = self.authorize(batch.application, target).await?;
        let payload = message.payload.fill(batch.message, target.id, &self.macs);
        let payload = target
            .subscription
            .encrypt(
                target.encoding,
                &payload,
                self.policy.padding,
                &FreshKeyPair,
                self.randomness.as_ref(),
            )
            .map_err(|error| refused(&error))?;
        let ttl = u32::try_from(ttl_seconds).unwrap_or(u32::MAX);
        let topic = topic_for(resource.push_service(), batch.message, &message.options);
        let push = PushMessage {
            resource,
            payload: Some(payload),
            ttl: Ttl::from_secs(ttl).map_err(|error| refused(&error))?,
            urgency: message.options.urgency,
            topic: topic.as_ref(),
            authorization,
        };
        push.into_request().map_err(|error| refused(&error))
    }

    async fn authorize(
        &self,
        app: ApplicationId,
        target: &SendTarget,
    ) -> Result<HeaderValue, NotSent> {
        let resource = &target.subscription.push_resource;
        let now = self.clock.now();
        let authorized = self
            .keyring
            .authorize(app, target.vapid_key, resource, now)
            .await;
        authorized.map_err(|error| match error {
            KeyringError::Store(error) if !error.is_damage() => NotSent::Store(error),
            other => NotSent::Refused(other.to_string()),
        })
    }

    fn understand(
        &self,
        target: &SendTarget,
        response: &Response<Bytes>,
    ) -> (AttemptResult, LastAnswer) {
        let resource = &target.subscription.push_resource;
        let service = resource.push_service();
        let (status, headers, body) = (response.status(), response.headers(), response.body());
        let now = self.clock.now().to_system_time();
        let answer = interpret(service, status, headers, body, now);
        if matches!(answer, Answer::KeyRefused) {
            self.keyring.refused(target.vapid_key, resource);
        }
        let reason = reason(service, status, headers, body);
        let last_answer = LastAnswer {
            status: Some(status.as_u16()),
            reason,
        };
        (AttemptResult::Answered(answer), last_answer)
    }

    fn jitter(&self) -> u64 {
        let mut bytes = [0; 8];
        self.randomness.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
