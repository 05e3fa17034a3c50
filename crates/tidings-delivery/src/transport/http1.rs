//! One HTTP/1.1 connection: one request at a time.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::transport::http2::Change;
use crate::transport::strangers::Permit;
use crate::transport::wanted::{Wanted, wanted};
use crate::transport::{Limits, TransportError};

pub(super) struct Http1Connection {
    sender: SendRequest<Full<Bytes>>,
    limits: Arc<Limits>,
    _wanted: Wanted,
}

impl Http1Connection {
    pub(super) async fn open<S>(
        stream: S,
        limits: &Arc<Limits>,
        tasks: &TaskTracker,
        (tell, permit): (impl FnOnce(Change) + Send + 'static, Option<Permit>),
    ) -> Result<Self, TransportError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = Builder::new()
            .max_buf_size(
                usize::try_from(limits.header_bytes)
                    .unwrap_or(usize::MAX)
                    .max(8192),
            )
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| TransportError::Broken(error.to_string()))?;
        let (wanted, while_wanted) = wanted();
        tasks.spawn(async move {
            if let Some(Err(error)) = while_wanted.run(connection).await {
                tracing::debug!(%error, "an HTTP/1.1 connection to a push service ended");
            }
            tell(Change::GoingAway);
            drop(permit);
        });
        Ok(Self {
            sender,
            limits: Arc::clone(limits),
            _wanted: wanted,
        })
    }

    /// Whether another request can be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether the last answer has been read to its end, so that the connection can be used again.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) async fn post(
        &mut self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let limits = Arc::clone(&self.limits);
        let head = timeout(limits.request, self.ask(request)).await;
        let head = head.unwrap_or(Err(TransportError::TimedOut("waiting for the answer")));
        let (head, body) = head?.into_parts();
        let body = read_some(body, &limits).await;
        Ok(Response::from_parts(head, body))
    }

    /// Sends a request, and waits for the head of the answer.
    async fn ask(&mut self, request: Request<Bytes>) -> Result<Response<Incoming>, TransportError> {
        self.sender
            .ready()
            .await
            .map_err(|_| TransportError::NotProcessed)?;
        let request = in_origin_form(request)?;
        let answer = self.sender.try_send_request(request).await;
        answer.map_err(|mut error| {
            // Given back means never written.
            if error.take_message().is_some() {
                TransportError::NotProcessed
            } else {
                TransportError::Broken(error.into_error().to_string())
            }
        })
    }
}

/// `POST /path?query` and a `Host` header (RFC 9112 §3.2.1).
fn in_origin_form(request: Request<Bytes>) -> Result<Request<Full<Bytes>>, TransportError> {
    let unusable = |what: &str| TransportError::Broken(format!("the endpoint has no {what}"));
    let (mut head, body) = request.into_parts();
    let host = head.uri.authority().map(Authority::as_str);
    let host = host.and_then(|text| HeaderValue::try_from(text).ok());
    head.headers
        .insert(HOST, host.ok_or_else(|| unusable("host"))?);
    let path = head.uri.into_parts().path_and_query;
    head.uri = Uri::from(path.ok_or_else(|| unusable("path"))?);
    Ok(Request::from_parts(head, Full::new(body)))
}

/// Reads a bounded part. The status has come, so a body that stalls or breaks off is no failure.
async fn read_some(mut body: Incoming, limits: &Limits) -> Bytes {
    let (mut read, limit) = (Vec::new(), limits.body_bytes);
    if body.is_end_stream() {
        return Bytes::new();
    }
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(data) = frame.data_ref() else {
                continue;
            };
            let room = limit.saturating_sub(read.len());
            read.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if data.len() > room {
                break;
            }
        }
    };
    let _ = timeout(limits.body, reading).await;
    read.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Its peer takes part of a request and nothing more: what is left, and the end behind it, can
    /// never be written.
    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_though_its_peer_reads_nothing() {
        let (near, _far) = tokio::io::duplex(64);
        let (tasks, limits) = (TaskTracker::new(), Arc::new(Limits::default()));
        let opened = Http1Connection::open(near, &limits, &tasks, (|_| {}, None)).await;
        let mut connection = opened.unwrap_or_else(|error| panic!("not opened: {error:?}"));
        let request =
            Request::post("https://push.example.org/x").body(Bytes::from(vec![b'x'; 4000]));
        let answered = connection.post(request.unwrap()).await;
        assert!(
            matches!(answered, Err(TransportError::TimedOut(_))),
            "{answered:?}"
        );
        drop(connection);
        tasks.close();
        let ended = timeout(Duration::from_mins(1), tasks.wait()).await;
        assert!(ended.is_ok(), "it is still there");
    }
}
