//! One HTTP request on a connection of its own: all that a test needs of a client.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

const DEADLINE: Duration = Duration::from_secs(30);

/// Sends `request`, whose URI is absolute and `http:`, and returns the whole answer.
pub(crate) async fn send(request: Request<Bytes>) -> Result<Response<Bytes>> {
    let what = format!("{} {}", request.method(), request.uri());
    timeout(DEADLINE, exchange(request))
        .await
        .with_context(|| format!("waited {DEADLINE:?} in vain for the answer to {what}"))?
        .context(what)
}

async fn exchange(request: Request<Bytes>) -> Result<Response<Bytes>> {
    let (mut head, body) = request.into_parts();
    let authority = head
        .uri
        .authority()
        .context("a URI without authority")?
        .clone();
    head.headers.insert(HOST, authority.as_str().parse()?);
    head.uri = head
        .uri
        .path_and_query()
        .context("a URI without path")?
        .as_str()
        .parse()?;
    let request = Request::from_parts(head, Full::new(body));

    let stream = TcpStream::connect(authority.as_str()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    tokio::pin!(answered, connection);
    tokio::select! {
        answer = &mut answered => answer,
        // The answer may still be in memory when the other side has closed the connection.
        closed = &mut connection => {
            closed?;
            answered.await
        }
    }
}
