//! RFC 8030 towards application servers: taking in push messages.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::poll_immediate;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::behaviour::{Break, FixedAnswer, Hold, Plan, PlannedAnswer, Target};
use crate::connections::{Connection, Listener, Order, Protocol};
use crate::delivery_counters::DeliveryCounters;
use crate::draw;
use crate::inbox::{AnswerSlot, Content, KeptMessage};
use crate::manner::Manner;
use crate::refusal::Refusal;
use crate::service::{PushService, Receiver};
use crate::token::random_message_id;
use crate::user_agents::{Keep, Letter};

mod request;

pub(crate) use request::{Encoding, Payload, PushRequest};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Marks the response of a request whose stream is to be reset instead.
#[derive(Clone)]
pub(crate) struct ResetStream;

/// `POST /wpush/{version}/{token}`: a push message. Spec: RFC 8030 §5.
pub(crate) async fn post(
    State(service): State<Arc<PushService>>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let limit = service
        .manner(connection.listener)
        .personality
        .max_body_bytes();
    match take(&service, &connection, head, read(body, limit)).await {
        Outcome::Answer(response) => response,
        Outcome::Break(how) => {
            match how {
                Break::Disconnect => connection.order(Order::Cut),
                Break::GoAway => connection.order(Order::GoAway),
                Break::Reset | Break::Refuse => {}
            }
            Extension(ResetStream).into_response()
        }
        Outcome::Vanished => Extension(ResetStream).into_response(),
    }
}

/// What becomes of a POST.
pub(crate) enum Outcome {
    Answer(Response),
    Break(Break),
    /// The sender is not there any more.
    Vanished,
}

/// Why there is no body.
pub(crate) enum ReadError {
    /// Too much of it.
    TooLarge,
    /// It took too long.
    TooLate,
    /// It ended early: the sender is not there any more.
    Vanished,
}

/// Takes a push message, whatever the protocol it came by.
pub(crate) async fn take(
    service: &Arc<PushService>,
    connection: &Arc<Connection>,
    head: Parts,
    body: impl Future<Output = Result<Bytes, ReadError>>,
) -> Outcome {
    let mut tally = service.stats.tally(connection, Protocol::of(head.version));
    let manner = service.manner(connection.listener);
    let limit = manner.personality.max_body_bytes();
    let body = match in_time(body).await {
        Ok(body) => Ok(body),
        Err(ReadError::TooLarge) => Err(Refusal::TooLarge { limit }),
        // Of these two the rest is not known, so no rule is about them.
        Err(ReadError::TooLate) => {
            let response = manner.refused(&Refusal::TooLate);
            tally.answered(response.status());
            return Outcome::Answer(response);
        }
        Err(ReadError::Vanished) => return Outcome::Vanished,
    };
    tally.received();
    let decided = service.decide(connection.listener, tally.on_connection(), &head, body);
    // It may be long until the answer, and there may be many.
    drop(head);
    if !decided.delay.is_zero() {
        tokio::time::sleep(decided.delay).await;
    }
    let answer = match decided.answer {
        Ok(answer) => answer,
        Err(Some(how)) => {
            tally.reset();
            return Outcome::Break(how);
        }
        Err(None) => {
            tally.withheld();
            service.draining.cancelled().await;
            return Outcome::Vanished;
        }
    };
    if let Some(hold) = decided.hold {
        tally.withheld();
        tokio::select! {
            () = hold.released() => {}
            () = service.draining.cancelled() => {}
        }
        tally.released();
    }
    let status = answer.response.status();
    if let Some(slot) = answer.slot {
        slot.set(status);
    }
    tally.answered(status);
    if decided.wind_down {
        connection.order(Order::WindDown);
    }
    Outcome::Answer(answer.response)
}

/// What is done with a POST after it was read; nothing of the request is left in it.
struct Decided {
    /// Or how the POST ends without one; without end for `None`.
    answer: Result<Answer, Option<Break>>,
    delay: Duration,
    hold: Option<Hold>,
    wind_down: bool,
}

impl Decided {
    /// There is no answer, and nothing but the delay before that.
    fn without(how: Option<Break>, delay: Duration) -> Self {
        Self {
            answer: Err(how),
            delay,
            hold: None,
            wind_down: false,
        }
    }
}

impl PushService {
    fn decide(
        &self,
        listener: Listener,
        on_connection: u64,
        head: &Parts,
        body: Result<Bytes, Refusal>,
    ) -> Decided {
        let manner = self.manner(listener);
        let path = head.uri.path().strip_prefix("/wpush/").unwrap_or_default();
        let (version, token) = path.split_once('/').unwrap_or_default();
        let receiver = self.receiver(token);
        let counters = receiver.as_ref().and_then(Receiver::counters);
        let posts = counters.map_or(0, DeliveryCounters::count_post);
        let plan = if self.behaviour.is_honest() {
            Plan::HONEST
        } else {
            self.behaviour.plan(&Target {
                token,
                site: self.site(listener),
                subject: receiver
                    .as_ref()
                    .map_or_else(|| draw::thing(token), Receiver::subject),
                posts: posts.into(),
                nth: posts
                    .saturating_sub(counters.map_or(0, DeliveryCounters::undrawn).into())
                    .into(),
                on_connection,
            })
        };
        if let Some(counters) = counters.filter(|_| plan.is_undrawn) {
            counters.count_undrawn();
        }
        let endpoint = Endpoint { listener, version };
        let judge = || self.take_in(receiver, &endpoint, &head.headers, body);
        let answer = match plan.answer {
            PlannedAnswer::Honest => Answer::honest(&manner, judge()),
            PlannedAnswer::Fixed(fixed) if fixed.status.is_success() => {
                Answer::honest(&manner, judge()).with(&manner, &fixed)
            }
            PlannedAnswer::Fixed(fixed) => Answer {
                slot: None,
                response: manner.commanded(&fixed, None),
            },
            PlannedAnswer::WrongKey => Answer::honest(&manner, Err(Refusal::OtherKey)),
            PlannedAnswer::Break(how) => return Decided::without(Some(how), plan.delay),
            PlannedAnswer::BreakAfter(how) => {
                // Whether it was good is what the sender does not learn.
                let _ = judge();
                return Decided::without(Some(how), plan.delay);
            }
            PlannedAnswer::Stall => return Decided::without(None, Duration::ZERO),
        };
        Decided {
            answer: Ok(answer),
            delay: plan.delay,
            hold: plan.hold,
            wind_down: plan.wind_down,
        }
    }
}

/// `DELETE /m/{id}`: the application server withdraws a message that was not delivered yet.
pub(crate) async fn withdraw(
    State(service): State<Arc<PushService>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(id): Path<String>,
) -> Response {
    if service.user_agents.withdraw(&id, service.now()) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let manner = service.manner(connection.listener);
        manner.refused(&Refusal::UnknownMessage)
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, ReadError> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLarge),
        Err(_) => Err(ReadError::Vanished),
    }
}

async fn in_time(body: impl Future<Output = Result<Bytes, ReadError>>) -> Result<Bytes, ReadError> {
    let mut body = pin!(body);
    match poll_immediate(body.as_mut()).await {
        Some(read) => read,
        // Only who must wait needs a timer.
        None => tokio::time::timeout(BODY_TIMEOUT, body)
            .await
            .unwrap_or(Err(ReadError::TooLate)),
    }
}

/// Where a message was sent to.
struct Endpoint<'a> {
    listener: Listener,
    version: &'a str,
}

/// A message that was taken in.
struct Accepted {
    location: String,
    ttl_s: u32,
    slot: AnswerSlot,
}

/// What the sender is told, once it may be told.
struct Answer {
    slot: Option<AnswerSlot>,
    response: Response,
}

impl Answer {
    fn honest(manner: &Manner<'_>, outcome: Result<Accepted, Refusal>) -> Self {
        match outcome {
            Ok(accepted) => Self {
                response: manner.accepted(&accepted.location, accepted.ttl_s),
                slot: Some(accepted.slot),
            },
            Err(refusal) => Self {
                slot: None,
                response: manner.refused(&refusal),
            },
        }
    }

    /// Changes a success into the one that is wanted.
    fn with(self, manner: &Manner<'_>, fixed: &FixedAnswer) -> Self {
        Self {
            response: if self.slot.is_some() {
                manner.commanded(fixed, Some(self.response))
            } else {
                self.response
            },
            slot: self.slot,
        }
    }
}

impl PushService {
    /// Judges a message and, if it is good, takes it in.
    fn take_in(
        &self,
        receiver: Option<Receiver>,
        endpoint: &Endpoint<'_>,
        headers: &HeaderMap,
        body: Result<Bytes, Refusal>,
    ) -> Result<Accepted, Refusal> {
        let receiver = receiver
            .filter(|receiver| {
                receiver.is_at(endpoint.listener)
                    && endpoint.version == if receiver.key().is_some() { "v2" } else { "v1" }
            })
            .ok_or(Refusal::UnknownSubscription)?;
        let personality = self.manner(endpoint.listener).personality;
        let request = PushRequest::parse(headers, body?, personality)?;
        self.check_sender(&receiver, endpoint.listener, headers)?;
        if receiver.is_gone() {
            return Err(Refusal::Gone);
        }
        Ok(self.accept(&receiver, endpoint.listener, request))
    }

    /// Checks who sends. An unrestricted subscription takes anybody, but no broken token; where
    /// browsers make no such subscriptions, it takes nobody without token.
    fn check_sender(
        &self,
        receiver: &Receiver,
        listener: Listener,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let personality = self.manner(listener).personality;
        let is_demanded = receiver.key().is_some() || personality.demands_identification();
        if !is_demanded && !headers.contains_key(AUTHORIZATION) {
            return Ok(());
        }
        let check = self.vapid(listener).ok_or(Refusal::UnknownSubscription)?;
        let key = check.verify(headers, self.now())?;
        match receiver.key() {
            Some(expected) if *expected != key => Err(Refusal::OtherKey),
            _ => Ok(()),
        }
    }

    fn accept(&self, receiver: &Receiver, listener: Listener, request: PushRequest) -> Accepted {
        let now = self.now();
        let id = random_message_id(&*self.randomness);
        let PushRequest {
            ttl_s,
            urgency,
            topic,
            payload,
        } = request;
        let payload = payload.map(Arc::new);
        let content = self.open(receiver, payload.as_deref());
        let duplicate = self.count(receiver, &content, payload.as_deref());
        let slot = AnswerSlot::default();
        if self.inbox.keeps(topic.as_ref()) {
            let message = KeptMessage {
                id: id.clone(),
                received_at: now,
                ttl: ttl_s,
                urgency,
                topic: topic.clone(),
                content_encoding: payload.as_ref().map(|payload| payload.encoding.as_str()),
                body_bytes: payload.as_ref().map_or(0, |payload| payload.body.len()),
                content,
                duplicate,
                answer: slot.clone(),
            };
            self.inbox.push(receiver.id(), message);
        }
        let location = format!("{}/m/{id}", self.origin(listener));
        if let Receiver::Channel(channel) = receiver
            && let Some(user_agent) = channel.user_agent()
        {
            let keep = keep(ttl_s, now);
            let letter = Letter {
                version: id,
                channel: channel.id,
                topic,
                payload,
                keep,
            };
            if !user_agent.post(letter, now) {
                self.stats.discarded.increment();
            }
        }
        Accepted {
            location,
            ttl_s,
            slot,
        }
    }

    /// Does what the user agent would do with the body, where its keys are at hand.
    fn open(&self, receiver: &Receiver, payload: Option<&Payload>) -> Content {
        let Some(payload) = payload else {
            return Content::Empty;
        };
        let keys = match self.keys_of(receiver) {
            Ok(keys) => keys,
            Err(reason) => return Content::Sealed(reason),
        };
        match payload.decrypt(&keys) {
            Ok(plaintext) => Content::Plaintext(plaintext.into()),
            Err(error) => {
                tracing::error!(
                    %error,
                    "a virtual user agent could not decrypt a message: the sender's encryption is wrong"
                );
                Content::Undecryptable(error.to_string())
            }
        }
    }

    /// Counts a message that is taken in; true if its receiver had the same before.
    fn count(&self, receiver: &Receiver, content: &Content, payload: Option<&Payload>) -> bool {
        self.stats.accepted.increment();
        let counters = receiver.counters();
        if counters.is_some_and(|counters| counters.count_message(self.virtual_agents.period())) {
            self.stats.subscriptions_reached.increment();
        }
        let compared = match (content, receiver, payload) {
            (Content::Plaintext(plaintext), _, _) => Some(plaintext),
            (Content::Sealed(_), Receiver::Channel(_), Some(payload)) => Some(&payload.body),
            _ => None,
        };
        let duplicate =
            compared.is_some_and(|compared| self.fingerprints.was_known(receiver.id(), compared));
        if duplicate {
            self.stats.duplicates.increment();
            if let Some(counters) = counters {
                counters.count_duplicate();
            }
        }
        match content {
            Content::Plaintext(_) => {
                self.stats.decrypted.increment();
                if let Some(counters) = counters {
                    counters.count_decrypted();
                }
            }
            Content::Undecryptable(_) => self.stats.decrypt_failures.increment(),
            Content::Sealed(_) => self.stats.not_decrypted.increment(),
            Content::Empty => {}
        }
        duplicate
    }
}

fn keep(ttl_s: u32, now: SystemTime) -> Keep {
    if ttl_s == 0 {
        return Keep::Not;
    }
    now.checked_add(Duration::from_secs(ttl_s.into()))
        .map_or(Keep::Not, Keep::Until)
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;
    use crate::behaviour;
    use crate::options::SandboxOptions;
    use crate::service::Sites;

    #[tokio::test]
    async fn a_body_that_takes_too_long_uses_up_no_rule_and_is_no_post_of_its_subscription() {
        let clock = || SystemTime::UNIX_EPOCH;
        let options = SandboxOptions::new(Arc::new(clock), Arc::new(SystemRandomness));
        let sites = Sites {
            http: None,
            https: None,
            services: Vec::new(),
        };
        let service = Arc::new(PushService::new(&options, sites));
        service
            .virtual_agents
            .create(1, None, &[Listener::Http])
            .unwrap();
        let rules = behaviour::parse(br#"{"status":503,"times":1}"#).unwrap();
        service.behave(None, rules).unwrap();
        let token = service.virtual_agents.token(0).encode();
        let open = service.stats.connections.open(Listener::Http);
        let request = Request::post(format!("/wpush/v1/{token}"))
            .body(())
            .unwrap();
        let body = std::future::ready(Err(ReadError::TooLate));
        let outcome = take(&service, open.connection(), request.into_parts().0, body).await;
        let Outcome::Answer(response) = outcome else {
            panic!("no answer");
        };
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        let receiver = service.receiver(&token).unwrap();
        assert_eq!(receiver.counters().map(DeliveryCounters::posts), Some(0));
        let left = service.behaviour.show().first().and_then(|rule| rule.times);
        assert_eq!(left, Some(1));
    }
}
