use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::behaviour::{self, NamedRules, RuleDocument};
use crate::problem::Problem;
use crate::service::PushService;

/// The longest name of rules, in octets.
const MAX_NAME_BYTES: usize = 100;

/// `GET /sandbox/behaviour`: the rules in force; two empty lists mean honest answers.
pub(crate) async fn show(State(service): State<Arc<PushService>>) -> Json<InForce> {
    Json(InForce {
        seed: service.behaviour.seed(),
        rules: service.behaviour.show(),
        named: service.behaviour.show_named(),
    })
}

/// `PUT /sandbox/behaviour`: other rules, in place of those without a name.
pub(crate) async fn replace(
    State(service): State<Arc<PushService>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<InForce>, Problem> {
    service
        .behave(None, read(body)?)
        .map_err(Problem::bad_request)?;
    Ok(show(State(service)).await)
}

/// `DELETE /sandbox/behaviour`: no rules without a name any more; what they withheld is answered.
pub(crate) async fn restore(State(service): State<Arc<PushService>>) -> Json<InForce> {
    service.behaviour.restore();
    show(State(service)).await
}

/// `GET /sandbox/behaviour/{name}`: the rules of this name.
pub(crate) async fn show_named(
    State(service): State<Arc<PushService>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<NamedRules>, Problem> {
    find(&service, &parse_name(name)?).map(Json)
}

/// `PUT /sandbox/behaviour/{name}`: other rules, in place of those of this name.
pub(crate) async fn replace_named(
    State(service): State<Arc<PushService>>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<NamedRules>, Problem> {
    let name = parse_name(name)?;
    service
        .behave(Some(&name), read(body)?)
        .map_err(Problem::bad_request)?;
    find(&service, &name).map(Json)
}

/// `DELETE /sandbox/behaviour/{name}`: the same for the rules of this name.
pub(crate) async fn remove_named(
    State(service): State<Arc<PushService>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let name = parse_name(name)?;
    if service.behaviour.remove(&name) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&name))
    }
}

#[derive(Serialize)]
pub(crate) struct InForce {
    /// What chance follows from.
    seed: u64,
    rules: Vec<RuleDocument>,
    named: Vec<NamedRules>,
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<Vec<RuleDocument>, Problem> {
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    behaviour::parse(&body).map_err(Problem::bad_request)
}

fn parse_name(name: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(name) = name.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    if name.len() > MAX_NAME_BYTES {
        return Err(Problem::bad_request(format!(
            "the name has over {MAX_NAME_BYTES} octets: choose a shorter one"
        )));
    }
    Ok(name)
}

fn find(service: &PushService, name: &str) -> Result<NamedRules, Problem> {
    let found = service.behaviour.show_of(name);
    found.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("no rules are called {name}: GET /sandbox/behaviour lists all"),
    )
}
