//! An application's subscriptions.

use axum::extract::State;
use serde::Deserialize;
use tidings_core::store::SubscriptionFilter;
use tidings_core::subscription::{SubscriptionState, UserId};
use utoipa::IntoParams;

use crate::api::document;
use crate::api::v1::list::List;
use crate::api::v1::subscriptions::SubscriptionView;
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

/// Lists subscriptions, newest first.
#[utoipa::path(
    get,
    path = "/v1/subscriptions",
    operation_id = "list_subscriptions",
    tag = "subscriptions",
    security(("api_token" = ["subscriptions:read"])),
    params(SubscriptionsQuery),
    responses((status = 200, description = "A part of the list", body = List<SubscriptionView>)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    BackEnd { application, .. }: BackEnd<ReadSubscriptions>,
    Query(query): Query<SubscriptionsQuery>,
) -> Result<Json<List<SubscriptionView>>, ApiError> {
    let request = page(query.limit.as_deref(), query.cursor.as_deref())?;
    let page = state
        .server()
        .store()
        .subscriptions(application.id, query.filter()?, request)
        .await?;
    Ok(Json(List::part(page, SubscriptionView::new)))
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
