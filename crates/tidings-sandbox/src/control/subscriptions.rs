use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tidings_webpush::VapidPublicKey;

use super::query::Query;
use crate::connections::{Connection, Listener};
use crate::problem::Problem;
use crate::service::{PushService, Receiver};
use crate::virtual_agents::{Batch, KeyDerivationError};

/// How many may be made at once.
const MAX_COUNT: u32 = 1_000_000;

/// How many names of services are read.
const MAX_NAMES: usize = 256;

/// How many lines are made before others get their turn: a line is some 20 µs of derivation.
const LINES_AT_ONCE: usize = 64;

/// `POST /sandbox/subscriptions`: new virtual user agents, one subscription on each line.
pub(crate) async fn create(
    State(service): State<Arc<PushService>>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(
        query.as_deref(),
        &["count", "applicationServerKey", "scheme", "service"],
    )?;
    let count = query
        .get("count")
        .unwrap_or("1")
        .parse::<u32>()
        .ok()
        .filter(|count| (1..=MAX_COUNT).contains(count))
        .ok_or_else(|| Problem::bad_request(format!("count must be 1 to {MAX_COUNT}")))?;
    let key = query
        .get("applicationServerKey")
        .map(VapidPublicKey::parse)
        .transpose()
        .map_err(|error| Problem::bad_request(format!("applicationServerKey: {error}")))?;
    let listeners = match (query.get("service"), query.get("scheme")) {
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request(
                "a service has a scheme: leave out scheme or service",
            ));
        }
        (Some(names), None) => services(&service, names)?,
        (None, scheme) => vec![listener(&service, connection.listener, scheme)?],
    };
    let batch = service
        .virtual_agents
        .create(count, key, &listeners)
        .map_err(|error| Problem::new(StatusCode::CONFLICT, error.to_string()))?;
    let body = Body::from_stream(lines(service, batch));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// `DELETE /sandbox/subscriptions`: the user agent unsubscribes; its endpoint answers 410.
pub(crate) async fn end(
    State(service): State<Arc<PushService>>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    find(&service, query.as_deref())?.1.unsubscribe();
    Ok(StatusCode::NO_CONTENT)
}

/// Finds the subscription that the parameter `subscription` names, by endpoint or by token.
pub(super) fn find(
    service: &PushService,
    query: Option<&str>,
) -> Result<(String, Receiver), Problem> {
    let query = Query::parse(query, &["subscription"])?;
    let hint = "give the endpoint, percent-encoded, or the token at its end";
    let token = query.require("subscription", hint)?;
    let token = token.rsplit('/').next().unwrap_or(token);
    service
        .receiver(token)
        .map(|receiver| (token.to_owned(), receiver))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                format!("no subscription of this sandbox has the endpoint: {hint}"),
            )
        })
}

/// By default, endpoints are of the listener that was asked.
fn listener(
    service: &PushService,
    asked: Listener,
    scheme: Option<&str>,
) -> Result<Listener, Problem> {
    let listener = match scheme {
        None => asked,
        Some("http") => Listener::Http,
        Some("https") => Listener::Https,
        Some(_) => return Err(Problem::bad_request("scheme must be http or https")),
    };
    if service.vapid(listener).is_none() {
        return Err(Problem::bad_request(
            "the sandbox does not listen for this scheme: start it with an address for it",
        ));
    }
    Ok(listener)
}

/// The listeners that a list of names means, each as often as it is named: who names one twice
/// has twice as many subscriptions there.
fn services(service: &PushService, names: &str) -> Result<Vec<Listener>, Problem> {
    let mut listeners = Vec::new();
    for name in names.split(',').take(MAX_NAMES) {
        let before = listeners.len();
        let called = service.services().filter(|(_, site)| site.is_called(name));
        listeners.extend(called.map(|(listener, _)| listener));
        if listeners.len() == before {
            return Err(Problem::bad_request(format!(
                "no service is called {name}: GET /sandbox/services lists them (start the sandbox \
                 with --service {name}=127.0.0.1:0 to have one)"
            )));
        }
    }
    Ok(listeners)
}

/// What `PushSubscription.toJSON()` gives in a browser.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    endpoint: String,
    expiration_time: Option<u64>,
    keys: Keys,
}

#[derive(Serialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

fn lines(
    service: Arc<PushService>,
    batch: Arc<Batch>,
) -> impl stream::Stream<Item = Result<Bytes, LineError>> {
    let indices = batch.indices();
    stream::try_unfold(
        (service, batch, indices),
        move |(service, batch, mut indices)| async move {
            let mut text = Vec::new();
            for index in indices.by_ref().take(LINES_AT_ONCE) {
                let line = subscription(&service, &batch, index)?;
                serde_json::to_writer(&mut text, &line)?;
                text.push(b'\n');
            }
            tokio::task::yield_now().await;
            Ok((!text.is_empty()).then(|| (Bytes::from(text), (service, batch, indices))))
        },
    )
}

fn subscription(
    service: &PushService,
    batch: &Batch,
    index: u32,
) -> Result<Subscription, KeyDerivationError> {
    let keys = service.virtual_agents.keys(index)?;
    let token = service.virtual_agents.token(index).encode();
    Ok(Subscription {
        endpoint: service.endpoint(batch.listener(index), batch.is_restricted(), &token),
        expiration_time: None,
        keys: Keys {
            p256dh: keys.public_key().to_base64url(),
            auth: URL_SAFE_NO_PAD.encode(keys.auth().expose()),
        },
    })
}

/// Ends the list before its end, so that it is not taken for a whole one.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Keys(#[from] KeyDerivationError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}
