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
         subscriptions with it.\n\nIt listens under\n",
    );
    let services = service.services().map(|(listener, _)| listener);
    for listener in [Listener::Http, Listener::Https]
        .into_iter()
        .chain(services)
    {
        if service.vapid(listener).is_some() {
            text.extend(["  ", service.origin(listener), "\n"]);
        }
    }
    let origins = [Listener::Http, Listener::Https].map(|listener| service.origin(listener));
    let origins = origins.into_iter().filter(|origin| !origin.is_empty());
    let sockets: Vec<_> = origins
        .map(|origin| format!("{}/", origin.replacen("http", "ws", 1)))
        .collect();
    if !sockets.is_empty() {
        text.push_str("\nFor user agents, dom.push.serverURL of a Firefox profile is\n  ");
        text.push_str(&sockets.join(" or "));
        text.push('\n');
    }
    text.push_str(CONTROLS);
    text.push_str(RULES);
    text
}

const CONTROLS: &str = r#"
For application servers
  POST   /wpush/v1/TOKEN          a push message, no VAPID key needed
  POST   /wpush/v2/TOKEN          the same, signed with the subscription's key
  DELETE /m/ID                    withdraws a message that waits

For you
  POST   /sandbox/subscriptions?count=N&applicationServerKey=KEY
                                  N virtual user agents, one subscription a line
                                  &scheme=https         their endpoints are over TLS
                                  &service=fcm,mozilla  at services played besides
  GET    /sandbox/subscriptions   what each of them got, one a line
  DELETE /sandbox/subscriptions?subscription=ENDPOINT
                                  it unsubscribes: its endpoint answers 410
  GET    /sandbox/messages?subscription=ENDPOINT
                                  what it got, decrypted
  GET    /sandbox/services        the services played, and what a server must be told
  GET    /sandbox/stats           counters; DELETE sets them to zero
  PUT    /sandbox/behaviour       rules, in place of those that were there;
                                  GET shows all, DELETE brings honest answers back
  PUT    /sandbox/behaviour/NAME  the same under a name, for tests that run beside others;
                                  DELETE removes the rules of this name
  PUT    /sandbox/outage          {"services":["fcm"],"seconds":60,"how":"refuse"}, or
                                  "drop", "silence"; DELETE ends it
"#;

/// A member at the beginning of each line; a test compares them with those that there are.
const RULES: &str = r#"
Rules: one, or a list of which the first that applies to a POST decides, such as
{"status":429,"retry_after":"2","times":3}. What happens
  status         this answer, 200 to 599; nobody gets the message unless it is a 2xx
  retry_after    the Retry-After of this answer
  headers        further headers of this answer, {"x-name":"value"}
  body           the body of this answer: a text, or anything else as JSON
  wrong_key      true: what a message signed with another VAPID key is answered
  delay_ms       how long it takes: 500, {"from_ms":10,"to_ms":90} evenly between, or
                 {"p50_ms":50,"p99_ms":400} log-normally
  withhold       true: the message is taken in, and the answer waits until the rules change
  stall          true: no answer, ever
  reset          true: the stream is reset; over HTTP/1.1 the connection closes
  refuse_stream  true: the same with REFUSED_STREAM
  disconnect     true: the connection ends with a TCP reset
  after          true, beside reset or disconnect: the message is taken in before
  goaway         "graceful": the connection answers what it has and takes no more;
                 "abrupt": it answers nothing more
  continue       true: it only adds its delay_ms, and the next rules are asked
To whom; without any of these, to all
  subscriptions  a list of endpoints, or of the tokens at their end
  services       a list of push services that are played (fcm, a host, or all)
  share          0 to 1: this part of all subscriptions, always the same ones
  probability    0 to 1: this part of all POSTs
  every          N: each Nth POST of a connection
  times          N: so many POSTs, then none
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::RuleDocument;

    const BOOK: &str = include_str!("../../../docs/sandbox-in-ci.md");

    #[test]
    fn every_member_of_a_rule_is_told_of_here_and_in_the_book() {
        let rule = serde_json::to_value(RuleDocument::default()).unwrap();
        for member in rule.as_object().unwrap().keys() {
            assert!(RULES.contains(&format!("\n  {member} ")), "{member}: GET /");
            let told = BOOK
                .lines()
                .any(|line| line.starts_with(&format!("| `{member}`")));
            assert!(told, "{member}: docs/sandbox-in-ci.md");
        }
    }
}
