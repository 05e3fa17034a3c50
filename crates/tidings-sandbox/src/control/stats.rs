use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::service::PushService;
use crate::stats::StatsReport;

/// `GET /sandbox/stats`: what happened since the start or the last reset.
pub(crate) async fn show(State(service): State<Arc<PushService>>) -> Json<StatsReport> {
    let user_agents = &service.user_agents;
    Json(
        service
            .stats
            .report(user_agents.connected(), user_agents.known()),
    )
}

/// `DELETE /sandbox/stats`: counts from zero again. What subscriptions got stays.
pub(crate) async fn reset(State(service): State<Arc<PushService>>) -> StatusCode {
    service.stats.reset();
    service.virtual_agents.reset_reached();
    StatusCode::NO_CONTENT
}
