use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use http::StatusCode;

use crate::outage::OutageDocument;
use crate::problem::Problem;
use crate::service::PushService;

const HINT: &str = "send for example {\"services\":[\"fcm\"],\"seconds\":60,\"how\":\"refuse\"} \
    (or \"drop\", \"silence\")";

/// `PUT /sandbox/outage`: services are out of order for a time.
pub(crate) async fn begin(
    State(service): State<Arc<PushService>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<OutageDocument>, Problem> {
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let reader = &mut serde_json::Deserializer::from_slice(&body);
    let outage: OutageDocument = serde_path_to_error::deserialize(reader)
        .map_err(|error| Problem::bad_request(format!("{error}: {HINT}")))?;
    let duration = outage.duration().map_err(Problem::bad_request)?;
    let is_meant = |name: &String| service.services().any(|(_, site)| site.is_called(name));
    if let Some(name) = outage.services.iter().find(|name| !is_meant(name)) {
        return Err(Problem::bad_request(format!(
            "no service is called {name}: GET /sandbox/services lists those that can be out of order"
        )));
    }
    for (_, site) in service.services() {
        if outage.services.iter().any(|name| site.is_called(name)) {
            site.outage.begin(duration, outage.how);
        }
    }
    Ok(Json(outage))
}

/// `DELETE /sandbox/outage`: all services work again.
pub(crate) async fn end(State(service): State<Arc<PushService>>) -> StatusCode {
    for (_, site) in service.services() {
        site.outage.end();
    }
    StatusCode::NO_CONTENT
}
