//! A back end takes its subscriptions elsewhere, with what it takes to send to them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidings_core::application::{Application, ApplicationId};
use tidings_core::batch::Seq;
use tidings_core::id::{SubscriptionId, VapidKeyId};
use tidings_core::store::{PageRequest, StoreError, SubscriptionFilter};
use tidings_core::subscription::{SubscriptionRecord, SubscriptionState};
use utoipa::{IntoParams, ToSchema};

use crate::api::document;
use crate::api::v1::subscriptions::list::read_state;
use crate::extract::caller::{BackEnd, ExportSubscriptions};
use crate::extract::lines::NDJSON;
use crate::extract::query::Query;
use crate::problem::ApiError;
use crate::state::AppState;

/// How many subscriptions are read at once.
const PAGE: u16 = 500;

/// Which subscriptions to export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// Those in this state; `active` if not said.
    #[param(value_type = Option<document::SubscriptionState>)]
    state: Option<String>,
}

/// An exported subscription: what an import reads, and what it leaves out.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedSubscription)]
pub(crate) struct ExportedLine {
    /// Its id on this server. An import gives it another.
    #[schema(pattern = "^sub_[0-9a-f]{32}$")]
    id: String,
    /// The push resource.
    #[schema(format = "uri")]
    endpoint: String,
    keys: ExportedKeys,
    /// The public half of the VAPID key it was made with, in base64url.
    vapid_key: String,
    /// How messages to it are encrypted.
    #[schema(example = "aes128gcm")]
    encoding: &'static str,
    /// The application's own id of the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What the application knows.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = document::Attributes, required = false)]
    attributes: Map<String, Value>,
    /// The user agent's language (BCP 47).
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    /// The user agent's time zone (IANA).
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    /// When it was registered first. An import is a registration of its own.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was seen last.
    #[schema(format = DateTime)]
    last_seen_at: String,
}

/// One that cannot be read: what the server keeps of it is damaged.
#[derive(Serialize)]
struct DamagedLine {
    id: String,
    damaged: bool,
}

/// The user agent's keys.
#[derive(Serialize, ToSchema)]
struct ExportedKeys {
    /// The public key: 65 octets in base64url.
    p256dh: String,
    /// The authentication secret: 16 octets in base64url.
    auth: String,
}

/// Exports subscriptions with their endpoints and keys, newest first, one a line (NDJSON) as an
/// import reads them. Whoever has such a line and the VAPID key can send to that browser: keep it as
/// you keep the key.
#[utoipa::path(
    get,
    path = "/v1/subscriptions/export",
    operation_id = "export_subscriptions",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:export"])),
    params(ExportQuery),
    responses((
        status = 200,
        description = "One such object a line. One that cannot be read, because what the server keeps \
            of it is damaged, is `{\"id\": \"sub_…\", \"damaged\": true}`, which an import refuses. An \
            answer that breaks off is not complete.",
        body = ExportedLine,
        content_type = "application/x-ndjson",
    )),
)]
pub(crate) async fn export(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<ExportSubscriptions>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    let wanted = query.state.as_deref().map(read_state).transpose()?;
    let wanted = wanted.unwrap_or(SubscriptionState::Active);
    // Secrets leave the server: the caller is a field of the request's span.
    tracing::info!(
        state = wanted.as_str(),
        "subscriptions are exported with their keys"
    );
    let lines = Export::begin(state, &application, wanted).await?;
    let body = Body::from_stream(lines.into_stream());
    Ok(([(CONTENT_TYPE, NDJSON)], body).into_response())
}

/// An export under way.
struct Export {
    state: AppState,
    application: ApplicationId,
    filter: SubscriptionFilter,
    vapid_keys: Arc<HashMap<VapidKeyId, String>>,
    /// Where to go on. `None` at the end.
    page: Option<PageRequest<Seq>>,
    exported: u64,
    damaged: u64,
}

impl Export {
    async fn begin(
        state: AppState,
        application: &Application,
        wanted: SubscriptionState,
    ) -> Result<Self, StoreError> {
        let keys = state.server().store().vapid_keys(application.id).await?;
        let keys = keys
            .iter()
            .map(|key| (key.id, key.public_key.to_base64url()));
        Ok(Self {
            vapid_keys: Arc::new(keys.collect()),
            state,
            application: application.id,
            filter: SubscriptionFilter {
                state: Some(wanted),
                user: None,
            },
            page: Some(PageRequest {
                after: None,
                limit: PAGE,
            }),
            exported: 0,
            damaged: 0,
        })
    }

    /// A part for each page. One that fails breaks the answer off, so that nobody takes it for whole.
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        stream::try_unfold(self, |mut export| async move {
            let Some(page) = export.page.take() else {
                let (exported, damaged) = (export.exported, export.damaged);
                tracing::info!(
                    exported,
                    damaged,
                    "{exported} subscriptions were exported, {damaged} could not be read"
                );
                return Ok(None);
            };
            let store = export.state.server().store();
            let filter = export.filter.clone();
            let page = store
                .subscriptions(export.application, filter, page)
                .await
                .inspect_err(|error| tracing::error!(%error, "an export broke off: {error}"))?;
            let mut text = Vec::new();
            for record in page.items {
                export.write(record, &mut text);
            }
            for id in page.damaged {
                export.write_damaged(id, &mut text);
            }
            export.page = page.next.map(|after| PageRequest {
                after: Some(after),
                limit: PAGE,
            });
            Ok(Some((Bytes::from(text), export)))
        })
    }

    fn write(&mut self, record: SubscriptionRecord, into: &mut Vec<u8>) {
        let vapid_key = self.vapid_keys.get(&record.details.vapid_key).cloned();
        write_line(&ExportedLine::new(record, vapid_key), into);
        self.exported += 1;
    }

    fn write_damaged(&mut self, id: SubscriptionId, into: &mut Vec<u8>) {
        let line = DamagedLine {
            id: id.to_string(),
            damaged: true,
        };
        write_line(&line, into);
        self.damaged += 1;
    }
}

fn write_line(line: &impl Serialize, into: &mut Vec<u8>) {
    // It has no map with other keys than text: writing to memory cannot fail.
    if serde_json::to_writer(&mut *into, line).is_ok() {
        into.push(b'\n');
    }
}

impl ExportedLine {
    fn new(record: SubscriptionRecord, vapid_key: Option<String>) -> Self {
        let details = record.details;
        Self {
            id: record.id.to_string(),
            endpoint: record.subscription.push_resource.expose().to_owned(),
            keys: ExportedKeys {
                p256dh: record.subscription.p256dh.to_base64url(),
                auth: URL_SAFE_NO_PAD.encode(record.subscription.auth.expose()),
            },
            // A key added since the export began is named by its id.
            vapid_key: vapid_key.unwrap_or_else(|| details.vapid_key.to_string()),
            encoding: details.encoding.as_str(),
            user: details.user.map(|user| user.as_str().to_owned()),
            attributes: details.attributes.to_json(),
            locale: details.locale.map(|locale| locale.as_str().to_owned()),
            timezone: details.timezone.map(|zone| zone.as_str().to_owned()),
            created_at: record.created_at.to_string(),
            last_seen_at: record.last_seen_at.to_string(),
        }
    }
}
