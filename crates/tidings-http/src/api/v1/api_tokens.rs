//! API tokens.

mod add;
mod list;
mod revoke;

use serde::Serialize;
use tidings_core::api_token::{ApiTokenRecord, Scope};
use tidings_core::application::Application;
use tidings_core::clock::Timestamp;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::document;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list, add::add))
        .routes(routes!(revoke::revoke))
}

/// An API token without its text.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiToken)]
pub(crate) struct ApiTokenView {
    /// Its id. It is no secret: logs name the token by it.
    #[schema(pattern = "^tok_[0-9a-f]{32}$")]
    id: String,
    /// What it is called.
    name: String,
    /// The application it belongs to.
    application: String,
    /// What it allows.
    #[schema(value_type = Vec<document::Scope>)]
    scopes: Vec<&'static str>,
    /// Whether it is taken.
    #[schema(value_type = document::ApiTokenState)]
    state: &'static str,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// From when on it is refused; `null` if it does not expire.
    #[schema(format = DateTime, required)]
    expires_at: Option<String>,
    /// When it was used last; with several processes this may be a minute late.
    #[schema(format = DateTime, required)]
    last_used_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime, required)]
    revoked_at: Option<String>,
}

impl ApiTokenView {
    fn new(record: &ApiTokenRecord, application: &Application, now: Timestamp) -> Self {
        let instant = |instant: Option<Timestamp>| instant.map(|it| it.to_string());
        Self {
            id: record.id.to_string(),
            name: record.name.as_str().to_owned(),
            application: application.name.to_string(),
            scopes: record.scopes.iter().map(Scope::as_str).collect(),
            state: record.state(now).as_str(),
            created_at: record.created_at.to_string(),
            expires_at: instant(record.expires_at),
            last_used_at: instant(record.last_used_at),
            revoked_at: instant(record.revoked_at),
        }
    }
}
