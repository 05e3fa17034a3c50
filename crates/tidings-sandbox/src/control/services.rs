use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use url::Host;

use crate::service::PushService;

/// `GET /sandbox/services`: the push services played, and what a server must be told of them.
pub(crate) async fn list(State(service): State<Arc<PushService>>) -> Json<Services> {
    let services = service.services().map(|(listener, site)| Service {
        name: site.personality.as_str(),
        origin: service.origin(listener).to_owned(),
        address: site.address.to_string(),
    });
    Json(Services {
        services: services.collect(),
        settings: settings(&service),
    })
}

/// The environment with which `tidings serve` takes the played services for the real ones, but for
/// `TIDINGS_PUSH_EXTRA_CA`, whose file the caller knows.
pub(crate) fn settings(service: &PushService) -> BTreeMap<&'static str, String> {
    let sites = || service.services().map(|(_, site)| site);
    let join = |texts: Vec<String>| texts.join(",");
    let hosts = sites().map(|site| format!("{}:{}", site.host, site.address.port()));
    let names = sites().filter(|site| matches!(site.host, Host::Domain(_)));
    let resolve = names.map(|site| format!("{}={}", site.host, site.address.ip()));
    let mut networks: Vec<_> = sites()
        .map(|site| {
            let length = if site.address.is_ipv4() { 32 } else { 128 };
            format!("{}/{length}", site.address.ip())
        })
        .collect();
    networks.sort();
    networks.dedup();
    BTreeMap::from([
        ("TIDINGS_PUSH_HOSTS", join(hosts.collect())),
        ("TIDINGS_PUSH_RESOLVE", join(resolve.collect())),
        ("TIDINGS_PUSH_ALLOW_NETWORKS", join(networks)),
    ])
}

#[derive(Serialize)]
pub(crate) struct Services {
    services: Vec<Service>,
    settings: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Service {
    name: &'static str,
    /// What its endpoints begin with.
    origin: String,
    /// Where it listens.
    address: String,
}
