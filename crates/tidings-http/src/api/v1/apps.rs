//! What pages and service workers call.

mod change_subscription;
mod end_subscription;
mod register_subscription;
mod report_receipts;
mod test_subscription;
mod vapid_public_key;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(vapid_public_key::get, vapid_public_key::post))
        .routes(routes!(register_subscription::register))
        .routes(routes!(change_subscription::change, end_subscription::end))
        .routes(routes!(test_subscription::test))
        .routes(routes!(report_receipts::report))
}
