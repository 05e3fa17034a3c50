//! What browsers load: the SDK and the demo.

use std::borrow::Cow;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::response::{Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use rust_embed::Embed;

use crate::conditional::Representation;
use crate::problem::ApiError;
use crate::state::AppState;

/// Asked for each time, and answered with 304 mostly: an old worker must not outlive an update.
const CACHE_CONTROL: &str = "no-cache";

/// The demo loads nothing from elsewhere, runs no inline script, and cannot be framed.
const DEMO_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; \
    style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

#[derive(Embed)]
#[folder = "../../sdk"]
#[include = "tidings.js"]
#[include = "tidings-calls.js"]
#[include = "tidings-prompt.js"]
#[include = "tidings-sw.js"]
#[include = "tidings-sw-renew.js"]
#[include = "tidings.d.ts"]
#[include = "tidings-prompt.d.ts"]
#[include = "tidings-sw.d.ts"]
#[include = "demo/*"]
struct Files;

/// The SDK, and the demo if it is served.
pub(crate) fn routes(demo: bool) -> Router<AppState> {
    let sdk = Router::new().route("/sdk/{file}", get(serve_sdk));
    if !demo {
        return sdk;
    }
    sdk.route("/demo", get(serve_demo))
        .route("/", get(async || Redirect::temporary("demo")))
        .route("/demo/", get(async || Redirect::permanent("../demo")))
        .route("/demo/{*file}", get(serve_demo))
}

/// Scripts for pages of any origin.
async fn serve_sdk(
    FileName(file): FileName,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if file.contains('/') {
        return Err(ApiError::NotFound);
    }
    let mut response = load(&file)?.answer(&method, &headers);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        CROSS_ORIGIN_RESOURCE_POLICY,
        HeaderValue::from_static("cross-origin"),
    );
    if file == "tidings-sw.js" {
        // So that the demo, and a site behind the same origin, can use it as it is for all pages.
        headers.insert(SERVICE_WORKER_ALLOWED, HeaderValue::from_static("/"));
    }
    Ok(response)
}

/// The demo's page and what it needs.
async fn serve_demo(
    FileName(file): FileName,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = if file.is_empty() { "index.html" } else { &file };
    let mut response = load(&format!("demo/{file}"))?.answer(&method, &headers);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(DEMO_POLICY),
    );
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        CROSS_ORIGIN_RESOURCE_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    Ok(response)
}

fn load(path: &str) -> Result<Representation, ApiError> {
    // Only debug builds, which read from the disk, would follow these.
    if path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(ApiError::NotFound);
    }
    let file = Files::get(path).ok_or(ApiError::NotFound)?;
    let body = match file.data {
        Cow::Borrowed(octets) => Bytes::from_static(octets),
        Cow::Owned(octets) => octets.into(),
    };
    Ok(Representation {
        content_type: content_type(path),
        cache_control: CACHE_CONTROL,
        body,
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("ico") => "image/x-icon",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("ts") => "application/typescript; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("webmanifest") => "application/manifest+json",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The path's `{file}`; empty if there is none.
struct FileName(String);

impl<S: Send + Sync> FromRequestParts<S> for FileName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let file = Option::<Path<String>>::from_request_parts(parts, state).await;
        let file = file.map_err(|_| ApiError::NotFound)?;
        Ok(Self(file.map(|Path(file)| file).unwrap_or_default()))
    }
}
