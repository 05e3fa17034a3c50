//! A new or imported VAPID key.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tidings_webpush::VapidKey;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::api::v1::vapid_keys::VapidKeyView;
use crate::extract::body::Json;
use crate::extract::caller::{Admin, BackEnd};
use crate::extract::object::Object;
use crate::extract::patch::present;
use crate::problem::ApiError;
use crate::state::AppState;

/// Which key to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewVapidKey)]
pub(crate) struct VapidKeyBody {
    /// The private key as the text of a PEM file or a JWK, or in base64url. If left out, a new key
    /// is made.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, write_only, min_length = 1)]
    private_key: Option<PrivateKeyText>,
}

struct PrivateKeyText(Zeroizing<String>);

impl<'de> Deserialize<'de> for PrivateKeyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// Makes or imports a VAPID key. It is live at once, and active if the application had none.
#[utoipa::path(
    post,
    path = "/v1/vapid-keys",
    operation_id = "add_vapid_key",
    tag = "VAPID keys",
    security(("api_token" = ["admin"])),
    request_body = VapidKeyBody,
    responses(
        (status = 201, description = "Kept, now or before", body = VapidKeyView),
        (status = 422, description = "This is not a private key on P-256"),
    ),
)]
pub(crate) async fn add(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<Admin>,
    Json(Object(body)): Json<Object<VapidKeyBody>>,
) -> Result<(StatusCode, Json<VapidKeyView>), ApiError> {
    let imported = body.private_key.map(|PrivateKeyText(text)| {
        VapidKey::from_key_file(text.as_bytes())
            .map_err(|error| ApiError::input("/private_key", error.to_string()))
    });
    let record = state
        .server()
        .add_vapid_key(application.id, imported.transpose()?)
        .await?;
    Ok((StatusCode::CREATED, Json(VapidKeyView::new(&record))))
}
