//! What needs an operator.

use axum::extract::State;
use serde::Serialize;
use tidings_core::alert::Alert;
use tidings_webpush::PushService;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::document;
use crate::api::v1::list::List;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, Monitor};
use crate::problem::ApiError;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A condition that holds at present and needs an operator.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct AlertView {
    /// What kind of condition it is.
    #[schema(value_type = document::AlertKind)]
    kind: &'static str,
    /// Since when it holds.
    #[schema(format = DateTime)]
    since: String,
    /// What it is about.
    subject: SubjectView,
    /// What is the matter.
    text: String,
    /// What to do about it.
    remedy: String,
}

/// What an alert is about; each member is `null` where it is not about one.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertSubject)]
struct SubjectView {
    /// A push service.
    #[schema(value_type = Option<document::PushService>, required)]
    push_service: Option<&'static str>,
    /// The id of a VAPID key.
    #[schema(pattern = "^key_[0-9a-f]{32}$", required)]
    vapid_key: Option<String>,
    /// The name of an application.
    #[schema(required)]
    application: Option<String>,
}

impl AlertView {
    fn new(alert: &Alert) -> Self {
        let subject = alert.condition.subject();
        Self {
            kind: alert.condition.kind().as_str(),
            since: alert.since.to_string(),
            subject: SubjectView {
                push_service: subject.push_service.map(PushService::as_str),
                vapid_key: subject.vapid_key.map(|key| key.to_string()),
                application: subject.application.map(|name| name.to_string()),
            },
            text: alert.condition.text(),
            remedy: alert.condition.remedy(),
        }
    }
}

/// Lists what needs an operator at present, the oldest first: of the whole server, whatever the
/// application. There are few: the list is always whole.
#[utoipa::path(
    get,
    path = "/v1/alerts",
    operation_id = "list_alerts",
    tag = "operation",
    security(("api_token" = ["monitoring:read"])),
    responses((status = 200, description = "The alerts", body = List<AlertView>)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    _: BackEnd<Monitor>,
) -> Result<Json<List<AlertView>>, ApiError> {
    let alerts = state.server().alerts().await?;
    Ok(Json(List::whole(
        alerts.iter().map(AlertView::new).collect(),
    )))
}
