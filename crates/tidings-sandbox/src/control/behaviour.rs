use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use serde::Serialize;

use crate::behaviour::{self, RuleDocument};
use crate::problem::Problem;
use crate::service::PushService;

/// `GET /sandbox/behaviour`: the rules in force; an empty list means honest answers.
pub(crate) async fn show(State(service): State<Arc<PushService>>) -> Json<Rules> {
    Json(Rules {
        seed: service.behaviour.seed(),
        rules: service.behaviour.show(),
    })
}

/// `PUT /sandbox/behaviour`: other rules, in place of those in force.
pub(crate) async fn replace(
    State(service): State<Arc<PushService>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Rules>, Problem> {
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let rules = behaviour::parse(&body).map_err(Problem::bad_request)?;
    service.behave(rules).map_err(Problem::bad_request)?;
    Ok(show(State(service)).await)
}

/// `DELETE /sandbox/behaviour`: honest answers again, those withheld included.
pub(crate) async fn restore(State(service): State<Arc<PushService>>) -> Json<Rules> {
    service.behaviour.restore();
    show(State(service)).await
}

#[derive(Serialize)]
pub(crate) struct Rules {
    /// What chance follows from.
    seed: u64,
    rules: Vec<RuleDocument>,
}
