//! Whether the process runs, and whether it can do its work.

use std::time::Duration;

use axum::extract::State;
use serde::Serialize;
use tidings_core::store::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;
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
    state.readiness().check(state.server().store()).await?;
    Ok(Json(Health { status: "ok" }))
}

/// How long the database is taken to be well after it was. Nobody who asks has to be limited then:
/// a load balancer that were told 429 would take the server for ill.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// When the database was well last. Whoever asks meanwhile waits for the one who is looking.
#[derive(Default)]
pub(crate) struct Readiness {
    well_at: Mutex<Option<Instant>>,
}

impl Readiness {
    async fn check(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut well_at = self.well_at.lock().await;
        if well_at.is_some_and(|at| at.elapsed() < GOOD_FOR) {
            return Ok(());
        }
        *well_at = None;
        store.check().await?;
        *well_at = Some(Instant::now());
        Ok(())
    }
}
