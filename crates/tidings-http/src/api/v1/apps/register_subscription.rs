//! A page hands over its subscription.

use axum::extract::State;
use http::StatusCode;
use tidings_core::application::Application;
use tidings_core::application_server::{RegistrationRequest, Said};

use crate::api::v1::registration::{RegisteredView, RegistrationBody};
use crate::extract::body::Json;
use crate::extract::object::Object;
use crate::extract::path::App;
use crate::problem::ApiError;
use crate::rate_limits::RateLimits;
use crate::rate_limits::account::{Account, Counted};
use crate::rate_limits::bucket::Standing;
use crate::state::AppState;

/// Registers a browser's subscription. The same endpoint with the same keys again updates it and
/// gives the same id and token.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/subscriptions",
    operation_id = "register_own_subscription",
    tag = "pages",
    params(("app" = String, Path, description = "The application, `default` for example")),
    request_body = RegistrationBody,
    responses(
        (status = 201, description = "Registered", body = RegisteredView),
        (status = 200, description = "Known, and updated", body = RegisteredView),
        (status = 403, description = "`user` was not proved, or the page's origin may not call"),
        (status = 409, description = "The endpoint is registered with other keys, or the user has too many active subscriptions"),
        (status = 422, description = "A member is wrong, or the endpoint may not be sent to"),
        (status = 429, description = "Too many requests, or too many new subscriptions, from this address"),
    ),
)]
pub(crate) async fn register(
    State(state): State<AppState>,
    App(application): App,
    Counted(account): Counted,
    Json(Object(body)): Json<Object<RegistrationBody>>,
) -> Result<(StatusCode, Json<RegisteredView>), ApiError> {
    let request = body.into_request(Said::ByPage)?;
    let counted = count_as_new(&state, account.as_ref(), &application, &request).await?;
    let registered = state
        .server()
        .register_subscription(&application, request)
        .await;
    if let Some(counted) = counted {
        counted.settle(registered.as_ref().is_ok_and(|it| it.created));
    }
    let registered = registered?;
    let status = if registered.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(RegisteredView::new(&registered))))
}

/// A subscription that is counted as new before it is registered: of two at once, two count. Not
/// any more if this is dropped, as when the client hangs up: it may be known.
struct CountedAsNew<'a> {
    limits: &'a RateLimits,
    account: &'a Account,
    left: Standing,
    is_new: bool,
}

/// `None` where nothing is counted: there is no limit, or it is reached and the subscription is
/// known. Who has subscribed can always say so again.
async fn count_as_new<'a>(
    state: &'a AppState,
    account: Option<&'a Account>,
    application: &Application,
    request: &RegistrationRequest,
) -> Result<Option<CountedAsNew<'a>>, ApiError> {
    let Some(account) = account else {
        return Ok(None);
    };
    let limits = state.rate_limits();
    match limits.take_new_subscription(account.network()) {
        Ok(left) => Ok(left.map(|left| CountedAsNew {
            limits,
            account,
            left,
            is_new: false,
        })),
        Err(exceeded) => {
            let resource = &request.subscription.push_resource;
            if state.server().knows(application.id, resource).await? {
                return Ok(None);
            }
            account.enter(Err(exceeded))?;
            Ok(None)
        }
    }
}

impl CountedAsNew<'_> {
    fn settle(mut self, is_new: bool) {
        self.is_new = is_new;
        if is_new {
            self.account.note(self.left);
        }
    }
}

impl Drop for CountedAsNew<'_> {
    fn drop(&mut self) {
        if !self.is_new {
            self.limits
                .give_back_new_subscription(self.account.network());
        }
    }
}
