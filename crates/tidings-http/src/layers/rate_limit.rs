//! Nobody asks without end.

use std::net::IpAddr;
use std::sync::Once;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tidings_core::api_token::ApiTokenSecret;

use crate::client_address::{ClientNetwork, PeerAddress, is_forwarded, is_nearby};
use crate::extract::body::sha256;
use crate::extract::caller::{Caller, bearer};
use crate::rate_limits::ShownSecret;
use crate::rate_limits::account::Account;
use crate::state::AppState;

/// What stands at the end of the path that receipts are reported to.
const RECEIPTS: &str = "/receipts";

/// Limits what pages ask, by address. Receipts are counted apart: after a broadcast every browser of
/// an office reports one, and must not use up what the same browsers need to subscribe.
pub(crate) async fn limit_pages(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(network) = limited_network(&request, &state) else {
        return next.run(request).await;
    };
    let account = Account::new(network);
    let reports = request.extensions().get::<MatchedPath>();
    let taken = if reports.is_some_and(|path| path.as_str().ends_with(RECEIPTS)) {
        state.rate_limits().take_receipts(network)
    } else {
        state.rate_limits().take_page(network)
    };
    let mut response = match account.enter(taken) {
        Ok(()) => {
            request.extensions_mut().insert(account.clone());
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    account.tell(response.headers_mut());
    response
}

/// Limits failures to authenticate, by address.
pub(crate) async fn limit_failures(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(network) = limited_network(&request, &state) else {
        return next.run(request).await;
    };
    let account = Account::new(network);
    let allowed = state
        .rate_limits()
        .may_authenticate(network, shown_secret(&request));
    let mut response = match account.enter(allowed.map(|()| None)) {
        Ok(()) => {
            request.extensions_mut().insert(account.clone());
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        state.rate_limits().failed_to_authenticate(network);
    }
    account.tell(response.headers_mut());
    response
}

/// Limits what back ends ask that have authenticated themselves, by token.
pub(crate) async fn limit_callers(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    if let (Some(account), Some(caller)) = (extensions.get::<Account>(), extensions.get::<Caller>())
    {
        let limits = state.rate_limits();
        if let Some(shown) = shown_secret(&request) {
            limits.authenticated(account.network(), shown.sha256);
        }
        if let Err(error) = account.enter(limits.take_api(caller.id())) {
            return error.into_response();
        }
    }
    next.run(request).await
}

fn shown_secret(request: &Request) -> Option<ShownSecret> {
    let shown = bearer(request.headers())?;
    let text = std::str::from_utf8(shown).ok();
    Some(ShownSecret {
        sha256: sha256(shown),
        is_random: text.and_then(ApiTokenSecret::parse).is_some(),
    })
}

/// Whose limits a request counts for. None for one of this machine, on a server that is there for
/// this machine only: the demo, a test, a benchmark.
fn limited_network(request: &Request, state: &AppState) -> Option<ClientNetwork> {
    let peer = PeerAddress::of(request.extensions())?;
    let proxies = state.trusted_proxies();
    let headers = request.headers();
    if !proxies.contains(peer) {
        if is_forwarded(headers) {
            warn_of_untrusted_proxy(peer);
        } else if peer.is_loopback() && state.is_for_this_machine() {
            return None;
        }
    }
    Some(ClientNetwork::of(proxies.client(peer, headers)))
}

/// Once, and without the address: it may be a person's.
fn warn_of_untrusted_proxy(peer: IpAddr) {
    static WARNED: Once = Once::new();
    if is_nearby(peer) {
        WARNED.call_once(|| {
            tracing::warn!(
                "a reverse proxy of this network says whose requests it passes on, and is not \
                 believed: all its visitors share one rate limit. Name the proxy's address in the \
                 setting `trusted_proxies` (TIDINGS_TRUSTED_PROXIES), 127.0.0.1/32 for example"
            );
        });
    }
}
