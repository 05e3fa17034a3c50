use std::iter::Peekable;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::delivery_counters::DeliveryCounters;
use crate::service::PushService;
use crate::virtual_agents::VirtualAgent;

/// How many lines are made before others get their turn.
const LINES_AT_ONCE: usize = 512;

/// `GET /sandbox/subscriptions`: what each virtual user agent got, one a line.
pub(crate) async fn list(State(service): State<Arc<PushService>>) -> Response {
    let agents = service.virtual_agents.all().peekable();
    let body = Body::from_stream(stream::try_unfold((service, agents), next_lines));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// The next lines and what is left; `None` at the end.
async fn next_lines<A>(
    (service, mut agents): (Arc<PushService>, Peekable<A>),
) -> Result<Option<(Bytes, (Arc<PushService>, Peekable<A>))>, serde_json::Error>
where
    A: Iterator<Item = VirtualAgent>,
{
    if agents.peek().is_none() {
        return Ok(None);
    }
    let mut text = Vec::new();
    for agent in agents.by_ref().take(LINES_AT_ONCE) {
        serde_json::to_writer(&mut text, &counts(&service, &agent))?;
        text.push(b'\n');
    }
    tokio::task::yield_now().await;
    Ok(Some((Bytes::from(text), (service, agents))))
}

#[derive(Serialize)]
struct Counts {
    endpoint: String,
    /// POSTs read to their end, whatever came of them.
    posts: u32,
    /// Messages taken in.
    accepted: u32,
    /// This and the next stop at 65 535.
    duplicates: u16,
    decrypted: u16,
    /// Whether it unsubscribed.
    gone: bool,
    /// The numbers, from 0, of the rules without a name whose `share` it is in.
    shares: Vec<usize>,
}

fn counts(service: &PushService, agent: &VirtualAgent) -> Counts {
    let token = service.virtual_agents.token(agent.index()).encode();
    let is_restricted = agent.key().is_some();
    let counters = agent.counters();
    Counts {
        endpoint: service.endpoint(agent.listener(), is_restricted, &token),
        posts: counters.map_or(0, DeliveryCounters::posts),
        accepted: counters.map_or(0, DeliveryCounters::received),
        duplicates: counters.map_or(0, DeliveryCounters::duplicates),
        decrypted: counters.map_or(0, DeliveryCounters::decrypted),
        gone: agent.is_gone(),
        shares: service.behaviour.shares_of(agent.index().into()),
    }
}
