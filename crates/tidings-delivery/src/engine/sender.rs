//! Sends one message to one subscription: encrypt, authorize, post, interpret, decide.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use tidings_core::application::{ApplicationId, Applications};
use tidings_core::application_server::receipts_url;
use tidings_core::batch::{Batch, Position};
use tidings_core::clock::Clock;
use tidings_core::content::RenderedPayload;
use tidings_core::delivery::{
    Attempt, AttemptResult, LastAnswer, Outcome, OutcomeKind, deadline, decide, remaining_ttl,
    topic_for,
};
use tidings_core::mac::Macs;
use tidings_core::message::{MessageOptions, MessageToSend};
use tidings_core::store::{LoadedMember, SendTarget, StoreError};
use tidings_webpush::{Answer, FreshKeyPair, PushMessage, Randomness, Ttl, interpret, reason};
use tokio::time::Instant;
use url::Url;

use crate::engine::Policy;
use crate::engine::encrypting::Encrypting;
use crate::engine::keyring::{Keyring, KeyringError};
use crate::manners::{Took, Visit, VisitEnd, Visitor};
use crate::transport::{Transport, TransportError};

/// How often a request is tried that nobody has looked at.
const TRIES: u32 = 3;

pub(super) struct Sender {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) macs: Arc<Macs>,
    pub(super) keyring: Keyring,
    pub(super) encrypting: Encrypting,
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

/// What became of a delivery.
pub(super) enum Delivered {
    Known(Outcome),
    /// Our own connections had no room for long. The push service was asked nothing, so this was no
    /// attempt.
    NoRoom(Position),
    /// The engine stops before the attempt was begun.
    Stopping,
}

/// Why no request was made. Nothing was sent.
enum NotSent {
    /// This delivery can never be sent as things stand.
    Refused(String),
    /// The store failed: the whole pass stops and is tried again.
    Store(StoreError),
    /// It is too late.
    Expired,
    /// There are connections, and all were busy for long.
    NoRoom,
    /// The engine stops.
    Stopping,
}

/// What came of an attempt.
enum Posted {
    Answered {
        response: Response<Bytes>,
        took: Took,
    },
    /// No connection came about.
    NoConnection(TransportError),
    /// The request was begun, and waited for so long.
    Unanswered(TransportError, Duration),
}

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

    /// Lets the transport open connections before they are needed.
    pub(super) fn expect(&self, members: &[LoadedMember], deliveries: usize) {
        let first = members.iter().find_map(|member| member.target.as_ref());
        if let Some(target) = first {
            let resource = &target.subscription.push_resource;
            self.transport.expect(resource, deliveries);
        }
    }

    /// Makes one attempt and says what became of it.
    pub(super) async fn deliver(
        &self,
        batch: &Batch,
        message: &BatchMessage,
        member: LoadedMember,
        visit: Visit,
    ) -> Result<Delivered, StoreError> {
        let without_attempt = |kind| Delivered::Known(outcome_without_attempt(&member, kind));
        let Some(target) = &member.target else {
            return Ok(without_attempt(OutcomeKind::Ended));
        };
        let number = member.attempts + 1;
        let outcome = |kind, last_answer| {
            Delivered::Known(Outcome {
                position: member.position,
                subscription: Some(target.id),
                kind,
                attempt: number,
                last_answer,
            })
        };
        let posted = match self.post(batch, message, target).await {
            Ok(posted) => posted,
            Err(NotSent::Stopping) => return Ok(Delivered::Stopping),
            Err(NotSent::NoRoom) => return Ok(Delivered::NoRoom(member.position)),
            Err(NotSent::Store(error)) => return Err(error),
            Err(NotSent::Expired) => return Ok(without_attempt(OutcomeKind::Expired)),
            Err(NotSent::Refused(reason)) => {
                let answer = LastAnswer::none(&reason);
                return Ok(outcome(OutcomeKind::Refused, Some(answer)));
            }
        };
        let (result, last_answer) = self.understand(target, posted, visit);
        let attempt = Attempt {
            number,
            ended_at: self.clock.now(),
            deadline: deadline(batch.due_at, &message.options),
            jitter: self.jitter(&result),
        };
        let disposition = decide(&result, attempt, &self.policy.retry);
        Ok(outcome(disposition.into(), last_answer))
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
                Posted::Unanswered(TransportError::NotProcessed, _) => {}
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
        let resource = &target.subscription.push_resource;
        let asked = Instant::now();
        let turn = self
            .transport
            .turn(resource, batch.lane, target.has_accepted);
        let turn = match turn.await {
            Ok(turn) => turn,
            Err(TransportError::Closed) => return Err(NotSent::Stopping),
            Err(TransportError::NoRoom) => return Err(NotSent::NoRoom),
            Err(error) => return Ok(Posted::NoConnection(error)),
        };
        let waiting = asked.elapsed();
        let encrypting = self.encrypting.turn(batch.lane).await;
        // Waiting may have taken long.
        let ttl = remaining_ttl(batch.due_at, &message.options, self.clock.now());
        let ttl = ttl.ok_or(NotSent::Expired)?;
        let request = self.request(batch, message, target, ttl.as_secs()).await?;
        drop(encrypting);
        let begun = Instant::now();
        Ok(match turn.post(request).await {
            Ok(response) => {
                let latency = begun.elapsed();
                let took = Took { waiting, latency };
                Posted::Answered { response, took }
            }
            Err(error) => Posted::Unanswered(error, begun.elapsed()),
        })
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

    /// What became of an attempt, for the delivery and for the manners towards the push service.
    fn understand(
        &self,
        target: &SendTarget,
        posted: Posted,
        visit: Visit,
    ) -> (AttemptResult, Option<LastAnswer>) {
        let now = Instant::now();
        let (response, took) = match posted {
            Posted::Answered { response, took } => (response, took),
            Posted::NoConnection(error) => {
                let end = match error {
                    // The queue may have been ours, or this push service lets nobody in.
                    TransportError::NotOpened => VisitEnd::NotSent,
                    _ => VisitEnd::Unreachable,
                };
                visit.ended(&end, now);
                return unanswered(&error);
            }
            Posted::Unanswered(error, after) => {
                visit.ended(&VisitEnd::Unanswered { after }, now);
                return unanswered(&error);
            }
        };
        let resource = &target.subscription.push_resource;
        let service = resource.push_service();
        let (status, headers, body) = (response.status(), response.headers(), response.body());
        let answered_at = self.clock.now().to_system_time();
        let answer = interpret(service, status, headers, body, answered_at);
        let answered = VisitEnd::Answered {
            answer: &answer,
            took,
        };
        visit.ended(&answered, now);
        if matches!(answer, Answer::KeyRefused) {
            self.keyring.refused(target.vapid_key, resource);
        }
        // What is accepted needs no explanation, and is by far the most.
        let last_answer = (!matches!(answer, Answer::Accepted { .. })).then(|| LastAnswer {
            status: Some(status.as_u16()),
            reason: reason(service, status, headers, body),
        });
        (AttemptResult::Answered(answer), last_answer)
    }

    /// Only what is tried again needs jitter.
    fn jitter(&self, result: &AttemptResult) -> u64 {
        if matches!(result, AttemptResult::Answered(Answer::Accepted { .. })) {
            return 0;
        }
        let mut bytes = [0; 8];
        self.randomness.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Who asks for room to send to a member of a batch.
pub(super) fn visitor<'a>(batch: &'a Batch, target: &'a SendTarget) -> Visitor<'a> {
    // The second half of an identifier is random.
    let random = target.id.as_bytes().last_chunk();
    Visitor {
        group: &batch.group,
        lane: batch.lane,
        key: target.vapid_key,
        origin: target.subscription.push_resource.origin(),
        endpoint: random.map_or(0, |octets| u64::from_le_bytes(*octets)),
        has_accepted: target.has_accepted,
    }
}

/// What became of a member for whom no attempt is made any more.
pub(super) fn outcome_without_attempt(member: &LoadedMember, kind: OutcomeKind) -> Outcome {
    Outcome {
        position: member.position,
        subscription: member.target.as_ref().map(|target| target.id),
        kind,
        attempt: member.attempts,
        last_answer: None,
    }
}

fn unanswered(error: &TransportError) -> (AttemptResult, Option<LastAnswer>) {
    let answer = LastAnswer::none(&error.to_string());
    (AttemptResult::Unanswered, Some(answer))
}
