use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse, Response};

use crate::connections::{Connection, Listener};
use crate::service::PushService;
use crate::websocket;

/// `GET /`: a user agent begins to speak WebSocket, or somebody looks at it with a browser.
pub(crate) async fn open(
    State(service): State<Arc<PushService>>,
    Extension(connection): Extension<Arc<Connection>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return page(&service).into_response();
    };
    let listener = connection.listener;
    let running = service.tasks.token();
    upgrade
        .protocols([websocket::SUBPROTOCOL])
        .max_message_size(websocket::MAX_FRAME_BYTES)
        .max_frame_size(websocket::MAX_FRAME_BYTES)
        .on_upgrade(move |socket| async move {
            websocket::serve(service, socket, listener).await;
            drop(running);
        })
}

fn page(service: &PushService) -> String {
    let mut text = String::from(
        "This is the Tidings sandbox: a Web Push service for development and tests.\n\
         Everything is in memory and is lost when it stops; browsers then lose their\n\
         subscriptions with it.\n\n",
    );
    let services = service.services().map(|(listener, _)| listener);
    for listener in [Listener::Http, Listener::Https]
        .into_iter()
        .chain(services)
    {
        if service.vapid(listener).is_some() {
            text.push_str(&addresses(service.origin(listener)));
        }
    }
    text
}

fn addresses(origin: &str) -> String {
    let socket = origin.replacen("http", "ws", 1);
    format!(
        "Under {origin}\n\
         \n\
         For user agents\n\
         \x20 {socket}/                      dom.push.serverURL of a Firefox profile\n\
         \n\
         For application servers\n\
         \x20 POST   /wpush/v1/TOKEN          a push message, no VAPID key needed\n\
         \x20 POST   /wpush/v2/TOKEN          the same, signed with the subscription's key\n\
         \x20 DELETE /m/ID                    withdraws a message that waits\n\
         \n\
         For you\n\
         \x20 POST   /sandbox/subscriptions?count=N&applicationServerKey=KEY\n\
         \x20                                 N virtual user agents, one subscription a line\n\
         \x20                                 &service=fcm,mozilla  at services played besides\n\
         \x20 GET    /sandbox/services        these services, and what a server must be told\n\
         \x20 DELETE /sandbox/subscriptions?subscription=ENDPOINT\n\
         \x20                                 it unsubscribes: its endpoint answers 410\n\
         \x20 GET    /sandbox/messages?subscription=ENDPOINT\n\
         \x20                                 what it got, decrypted\n\
         \x20 GET    /sandbox/stats           counters; DELETE sets them to zero\n\
         \x20 PUT    /sandbox/behaviour       {{\"withhold\":true}}, {{\"delay_ms\":500}}, {{\"reset\":true}},\n\
         \x20                                 {{\"status\":429,\"retry_after\":\"2\",\"times\":3}};\n\
         \x20                                 DELETE brings honest answers back; by chance:\n\
         \x20                                 {{\"probability\":0.1,\"status\":503}}, {{\"share\":0.01,\"status\":410}}\n\
         \x20 PUT    /sandbox/behaviour/NAME  the same under a name, for tests that run beside others;\n\
         \x20                                 DELETE removes the rules of this name\n\
         \x20 PUT    /sandbox/outage          {{\"services\":[\"fcm\"],\"seconds\":60}}; DELETE ends it\n\
         \x20 GET    /sandbox/subscriptions   what each virtual user agent got, one a line\n\n"
    )
}
