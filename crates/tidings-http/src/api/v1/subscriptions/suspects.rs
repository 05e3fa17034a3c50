//! An operator decides about the subscriptions that a push service called gone during a wave.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidings_core::application::Application;
use tidings_core::application_server::SuspectsVerdict;
use tidings_webpush::PushService;
use utoipa::ToSchema;

use crate::api::document;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, WriteSubscriptions};
use crate::extract::object::Object;
use crate::extract::text::Text;
use crate::problem::ApiError;
use crate::state::AppState;

/// Which subscriptions to decide about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Suspects)]
pub(crate) struct SuspectsBody {
    /// All that are `suspect` at this push service.
    #[schema(value_type = document::PushService)]
    push_service: Text<PushService>,
}

/// What became of them.
#[derive(Serialize, ToSchema)]
#[schema(as = SuspectsDecided)]
pub(crate) struct DecidedView {
    /// How many were changed.
    changed: u64,
    /// How many stayed `suspect`, because their person has as many active subscriptions as one may
    /// have.
    left: u64,
    /// Whether there are more to decide about than one request does: send it again.
    more: bool,
}

/// Makes the subscriptions active again that are `suspect` at a push service.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/restore",
    operation_id = "restore_suspects",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:write"])),
    request_body = SuspectsBody,
    responses((status = 200, description = "Decided", body = DecidedView)),
)]
pub(crate) async fn restore_suspects(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<WriteSubscriptions>,
    Json(Object(body)): Json<Object<SuspectsBody>>,
) -> Result<Json<DecidedView>, ApiError> {
    decide(&state, &application, &body, SuspectsVerdict::Alive).await
}

/// Makes tombstones (`gone`) of the subscriptions that are `suspect` at a push service: it was right.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/confirm-gone",
    operation_id = "confirm_suspects",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:write"])),
    request_body = SuspectsBody,
    responses((status = 200, description = "Decided", body = DecidedView)),
)]
pub(crate) async fn confirm_suspects(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<WriteSubscriptions>,
    Json(Object(body)): Json<Object<SuspectsBody>>,
) -> Result<Json<DecidedView>, ApiError> {
    decide(&state, &application, &body, SuspectsVerdict::Gone).await
}

async fn decide(
    state: &AppState,
    application: &Arc<Application>,
    SuspectsBody {
        push_service: Text(service),
    }: &SuspectsBody,
    verdict: SuspectsVerdict,
) -> Result<Json<DecidedView>, ApiError> {
    let server = state.server();
    let decided = server
        .decide_suspects(application, *service, verdict)
        .await?;
    tracing::info!(
        push_service = %service,
        changed = decided.changed,
        left = decided.left,
        more = decided.next.is_some(),
        "suspected subscriptions were decided about: {verdict:?}"
    );
    Ok(Json(DecidedView {
        changed: decided.changed,
        left: decided.left,
        more: decided.next.is_some(),
    }))
}
