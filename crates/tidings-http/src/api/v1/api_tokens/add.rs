//! A new API token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidings_core::api_token::{ApiTokenName, Scope, Scopes};
use tidings_core::application::{Application, ApplicationName};
use tidings_core::application_server::{ApiTokenRequest, MAX_API_TOKEN_LIFE};
use utoipa::ToSchema;

use crate::api::document;
use crate::api::v1::api_tokens::ApiTokenView;
use crate::extract::body::Json;
use crate::extract::caller::{Admin, BackEnd};
use crate::extract::duration::{DurationLimits, DurationMember};
use crate::extract::object::Object;
use crate::extract::text::Text;
use crate::problem::ApiError;
use crate::state::AppState;

/// What the token is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiToken)]
pub(crate) struct ApiTokenBody {
    /// What it is called, so that people know it again.
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: Text<ApiTokenName>,
    /// What it allows. `admin` allows everything, for every application.
    #[schema(value_type = Vec<document::Scope>, min_items = 1)]
    scopes: Vec<Text<Scope>>,
    /// The application it belongs to; the one that is acted for if left out.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    application: Option<Text<ApplicationName>>,
    /// How long it is taken; without end if left out.
    #[schema(value_type = Option<document::TokenLife>)]
    expires_in: Option<DurationMember<LifeLimits>>,
}

/// A second to ten years.
struct LifeLimits;

impl DurationLimits for LifeLimits {
    const EXPECTED: &'static str =
        "whole seconds, or a duration like \"90d\"; at least 1 second and at most 3650 days";
    const MIN: Duration = Duration::from_secs(1);
    const MAX: Duration = MAX_API_TOKEN_LIFE;
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiToken)]
pub(crate) struct MadeApiTokenView {
    #[serde(flatten)]
    record: ApiTokenView,
    /// What callers show. It is told here and never again: only its hash is kept.
    #[schema(pattern = "^tdg_[A-Za-z0-9_-]{43}$")]
    token: String,
}

/// Makes an API token and tells its text, this once.
#[utoipa::path(
    post,
    path = "/v1/api-tokens",
    operation_id = "add_api_token",
    tag = "API tokens",
    security(("api_token" = ["admin"])),
    request_body = ApiTokenBody,
    responses(
        (status = 201, description = "Made", body = MadeApiTokenView),
        (status = 422, description = "A member is wrong"),
    ),
)]
pub(crate) async fn add(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<Admin>,
    Json(Object(body)): Json<Object<ApiTokenBody>>,
) -> Result<(StatusCode, Json<MadeApiTokenView>), ApiError> {
    let application = match &body.application {
        Some(Text(name)) => named(name, &state)?,
        None => application,
    };
    let (record, secret) = state
        .server()
        .add_api_token(application.id, body.into_request()?)
        .await?;
    let made = MadeApiTokenView {
        record: ApiTokenView::new(&record, &application, record.created_at),
        token: secret.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

fn named(name: &ApplicationName, state: &AppState) -> Result<Arc<Application>, ApiError> {
    let found = state.server().applications().named(name.as_str());
    found.map(Arc::clone).ok_or_else(|| {
        ApiError::input(
            "/application",
            "this server has no application of that name",
        )
    })
}

impl ApiTokenBody {
    fn into_request(self) -> Result<ApiTokenRequest, ApiError> {
        let scopes = self.scopes.into_iter().map(|Text(scope)| scope);
        let scopes = Scopes::new(scopes).ok_or_else(|| {
            ApiError::input(
                "/scopes",
                "must name at least one scope, as [\"messages:send\"]",
            )
        })?;
        Ok(ApiTokenRequest {
            name: self.name.0,
            scopes,
            expires_in: self.expires_in.map(|life| life.duration),
        })
    }
}
