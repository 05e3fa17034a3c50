//! An application's subscriptions.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidings_core::id::SubscriptionId;
use tidings_core::store::{SubscriptionFilter, SubscriptionPage};
use tidings_core::subscription::{SubscriptionState, UserId};
use utoipa::{IntoParams, ToSchema};

use crate::api::document;
use crate::api::v1::subscriptions::SubscriptionView;
use crate::cursor;
use crate::extract::body::Json;
use crate::extract::caller::{BackEnd, ReadSubscriptions};
use crate::extract::query::{Query, page};
use crate::problem::ApiError;
use crate::state::AppState;

/// Which subscriptions to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionsQuery {
    /// How many entries at most: 1 to 100, 50 if not said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 50)]
    limit: Option<String>,
    /// `next` of the answer before.
    cursor: Option<String>,
    /// Only those in this state.
    #[param(value_type = Option<document::SubscriptionState>)]
    state: Option<String>,
    /// Only this person's.
    #[param(min_length = 1, max_length = 128)]
    user: Option<String>,
}

/// A part of the list of subscriptions.
#[derive(Serialize, ToSchema)]
#[schema(as = SubscriptionList)]
pub(crate) struct SubscriptionList {
    /// The entries.
    items: Vec<SubscriptionView>,
    /// The ids of those in this part that cannot be read, because what the server keeps of them is
    /// damaged. Left out if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    damaged: Vec<String>,
    /// The `cursor` to ask for the next part with; `null` at the end.
    #[schema(required)]
    next: Option<String>,
}

/// Lists subscriptions, newest first.
#[utoipa::path(
    get,
    path = "/v1/subscriptions",
    operation_id = "list_subscriptions",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:read"])),
    params(SubscriptionsQuery),
    responses((status = 200, description = "A part of the list", body = SubscriptionList)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<ReadSubscriptions>,
    Query(query): Query<SubscriptionsQuery>,
) -> Result<Json<SubscriptionList>, ApiError> {
    let request = page(query.limit.as_deref(), query.cursor.as_deref())?;
    let page = state
        .server()
        .store()
        .subscriptions(application.id, query.filter()?, request)
        .await?;
    Ok(Json(SubscriptionList::new(page)))
}

impl SubscriptionList {
    fn new(page: SubscriptionPage) -> Self {
        let items = page.items.into_iter().map(SubscriptionView::new);
        Self {
            items: items.collect(),
            damaged: page.damaged.iter().map(SubscriptionId::to_string).collect(),
            next: page.next.as_ref().map(cursor::write),
        }
    }
}

impl SubscriptionsQuery {
    fn filter(&self) -> Result<SubscriptionFilter, ApiError> {
        let state = self.state.as_deref().map(read_state);
        let user = self.user.as_deref().map(|text| {
            UserId::parse(text).ok_or_else(|| {
                ApiError::query(
                    "user",
                    "must have 1 to 128 octets and no control characters",
                )
            })
        });
        Ok(SubscriptionFilter {
            state: state.transpose()?,
            user: user.transpose()?,
        })
    }
}

/// The parameter `state`.
pub(super) fn read_state(name: &str) -> Result<SubscriptionState, ApiError> {
    SubscriptionState::parse(name)
        .ok_or_else(|| ApiError::query("state", "must be active, gone, suspect or ended"))
}
