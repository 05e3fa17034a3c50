//! What a Prometheus server scrapes.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tidings_core::alert::{AlertBoard, AlertKind};
use tidings_core::batch::Lane;
use tidings_core::metrics::{AnswerClass, Metrics};
use tidings_webpush::PushService;

use crate::extract::caller::{BackEnd, Monitor};
use crate::problem::ApiError;
use crate::state::AppState;

/// What `prometheus_client` writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counters and gauges of the whole server, for Prometheus (`application/openmetrics-text`).
///
/// They begin at zero with each start, and are those of this process.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "read_metrics",
    tag = "operation",
    security(("api_token" = ["monitoring:read"])),
    responses((
        status = 200,
        description = "The metrics",
        body = String,
        content_type = "application/openmetrics-text",
    )),
)]
pub(crate) async fn read(
    State(state): State<AppState>,
    _: BackEnd<Monitor>,
) -> Result<Response, ApiError> {
    let mut registry = Registry::with_prefix("tidings");
    registry.register_collector(Box::new(Scrape {
        metrics: Arc::clone(state.metrics()),
        alerts: Arc::clone(state.server().alert_board()),
    }));
    let mut body = String::new();
    text::encode(&mut body, &registry).map_err(|error| ApiError::Internal(error.to_string()))?;
    let headers = [(CONTENT_TYPE, OPENMETRICS), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// Everything, as it is at the time of a scrape.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    alerts: Arc<AlertBoard>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.answers(&mut encoder)?;
        self.outcomes(&mut encoder)?;
        self.loads(&mut encoder)?;
        self.batches(&mut encoder)?;
        self.alerts(&mut encoder)
    }
}

impl Scrape {
    fn answers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests to push services, by how they ended";
        let mut family = describe(encoder, "answers", help, MetricType::Counter)?;
        for service in PushService::ALL {
            for class in AnswerClass::ALL {
                let labels = [
                    ("push_service", service.as_str()),
                    ("answer", class.as_str()),
                ];
                count(&mut family, &labels, self.metrics.answers(service, class))?;
            }
        }
        Ok(())
    }

    fn outcomes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "Outcomes of deliveries that were recorded; one that is retrying has another later";
        let mut family = describe(encoder, "outcomes_recorded", help, MetricType::Counter)?;
        for (outcome, number) in self.metrics.outcomes_recorded() {
            count(&mut family, &[("outcome", outcome)], number)?;
        }
        let help = "Attempts to record outcomes that failed and are tried again";
        let mut single = describe(encoder, "record_failures", help, MetricType::Counter)?;
        single.encode_counter::<NoLabelSet, _, u64>(&self.metrics.record_failures(), None)
    }

    fn loads(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Deliveries under way";
        let mut family = describe(encoder, "deliveries_under_way", help, MetricType::Gauge)?;
        for (labels, service, lane) in by_service_and_lane() {
            gauge(&mut family, &labels, self.metrics.under_way(service, lane))?;
        }
        let help = "Deliveries that may be under way at once";
        let mut family = describe(encoder, "deliveries_limit", help, MetricType::Gauge)?;
        for (labels, service, lane) in by_service_and_lane() {
            gauge(&mut family, &labels, self.metrics.limit(service, lane))?;
        }
        Ok(())
    }

    fn batches(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Batches of deliveries that were begun";
        let mut family = describe(encoder, "batches_claimed", help, MetricType::Counter)?;
        for (labels, service, lane) in by_service_and_lane() {
            let claimed = self.metrics.batches_claimed(service, lane);
            count(&mut family, &labels, claimed)?;
        }
        Ok(())
    }

    fn alerts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Conditions that need an operator: GET /v1/alerts says what to do";
        let mut family = describe(encoder, "alerts", help, MetricType::Gauge)?;
        for kind in AlertKind::ALL {
            let number = u64::try_from(self.alerts.count(kind)).unwrap_or(u64::MAX);
            gauge(&mut family, &[("kind", kind.as_str())], number)?;
        }
        Ok(())
    }
}

fn by_service_and_lane() -> impl Iterator<Item = (Labels, PushService, Lane)> {
    PushService::ALL.into_iter().flat_map(|service| {
        Lane::ALL.into_iter().map(move |lane| {
            let lane_name = match lane {
                Lane::Direct => "direct",
                Lane::Bulk => "bulk",
            };
            let labels = [("push_service", service.as_str()), ("lane", lane_name)];
            (labels, service, lane)
        })
    })
}

type Labels = [(&'static str, &'static str); 2];

fn describe<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

fn count<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&'static str, &'static str); N],
    number: u64,
) -> fmt::Result {
    family
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, _, u64>(&number, None)
}

fn gauge<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&'static str, &'static str); N],
    number: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(&number)
}
