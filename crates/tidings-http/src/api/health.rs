//! Whether the process runs, and whether it can do its work.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::body::Json;
use crate::problem::ApiError;
use crate::state::AppState;

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    #[schema(value_type = HealthStatus)]
    status: &'static str,
}

/// The one way in which it can be well.
#[expect(dead_code, reason = "describes the member in the OpenAPI document")]
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum HealthStatus {
    Ok,
}

/// Whether the process runs. Restart it if this does not answer.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses((status = 200, description = "It runs", body = Health)),
)]
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the database can be written to. Send no requests while this is not so.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "It can do its work", body = Health),
        (status = 503, description = "It cannot"),
    ),
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Json<Health>, ApiError> {
    state.server().store().check().await?;
    Ok(Json(Health { status: "ok" }))
}
