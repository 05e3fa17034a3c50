//! VAPID keys.

mod activate;
mod add;
mod list;
mod retire;

use serde::Serialize;
use tidings_core::vapid_key::VapidKeyRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::document;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list, add::add))
        .routes(routes!(activate::activate))
        .routes(routes!(retire::retire))
}

/// A VAPID key without its private half.
#[derive(Serialize, ToSchema)]
#[schema(as = VapidKey)]
pub(crate) struct VapidKeyView {
    /// Its id.
    #[schema(pattern = "^key_[0-9a-f]{32}$")]
    id: String,
    /// 65 octets in base64url.
    public_key: String,
    /// Whether it is handed out and signed with.
    #[schema(value_type = document::VapidKeyState)]
    state: &'static str,
    /// When it was made or imported.
    #[schema(format = DateTime)]
    created_at: String,
}

impl VapidKeyView {
    fn new(record: &VapidKeyRecord) -> Self {
        Self {
            id: record.id.to_string(),
            public_key: record.public_key.to_base64url(),
            state: record.state.as_str(),
            created_at: record.created_at.to_string(),
        }
    }
}
