//! A site that uses Tidings, on an origin of its own: a bakery that says when the bread is ready.

use anyhow::{Context, Result};
use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{Html, IntoResponse},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinSet};

const WITH_SDK: &str = include_str!("site/with_sdk.html");
const SDK_WORKER: &str = include_str!("site/sdk_worker.js");
const PLAIN: &str = include_str!("site/plain.html");
const PLAIN_WORKER: &str = include_str!("site/plain_worker.js");
const ANY_SERVER: &str = include_str!("site/any_server.html");
const LOAF: &str = include_str!("site/loaf.html");

/// What stands in the site's files for the origin of the Tidings server.
const SERVER: &str = "{{tidings}}";

/// The site's address, before anything is served there: Tidings must be told it at its start, and
/// the site's pages name Tidings.
pub(crate) struct Address {
    listener: TcpListener,
    origin: String,
}

/// The running site; it ends when this is dropped.
pub(crate) struct Site {
    origin: String,
    _server: JoinSet<()>,
}

impl Address {
    pub(crate) async fn reserve() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("an address for the site")?;
        // By its name and not by its number: so it is another host than that of Tidings, too.
        let origin = format!("http://localhost:{}", listener.local_addr()?.port());
        Ok(Self { listener, origin })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Serves the site, whose pages use the Tidings server at the origin `tidings`.
    pub(crate) fn serve(self, tidings: &str) -> Site {
        let page = |text: &str| {
            let text = text.replace(SERVER, tidings);
            get(async move || Html(text))
        };
        let worker = |text: &str| {
            let text = text.replace(SERVER, tidings);
            get(async move || ([(CONTENT_TYPE, "text/javascript")], text).into_response())
        };
        let router = Router::new()
            .route("/with-sdk", page(WITH_SDK))
            .route("/sdk-worker.js", worker(SDK_WORKER))
            .route("/plain", page(PLAIN))
            .route("/plain-worker.js", worker(PLAIN_WORKER))
            .route("/any-server", page(ANY_SERVER))
            .route("/loaves/{name}", page(LOAF));
        let mut server = JoinSet::new();
        server.spawn(async move {
            if let Err(error) = axum::serve(self.listener, router).await {
                eprintln!("the site failed: {error}");
            }
        });
        Site {
            origin: self.origin,
            _server: server,
        }
    }
}

impl Site {
    /// The absolute URL of a path of the site.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}
