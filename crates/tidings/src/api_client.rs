//! Talks to a running server through its API.

mod call_error;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use ureq::http::{Method, Request, Response, StatusCode, request};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, AsSendBody, Body, BodyReader, Proxy, SendBody};

pub(crate) use crate::api_client::call_error::{CallError, insist};
use crate::cli::ServerArgs;
use crate::data_directory::DataDirectory;

/// How long a call may take that sends and gets little.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The slowest uplink that lines are sent over: 32 kbit/s.
const OCTETS_PER_MILLISECOND: u64 = 4;

/// How long nothing of a long answer may come.
const IDLE: Duration = Duration::from_mins(1);

/// The most octets of an import's report. The server ends it after 4 MiB of refused lines.
const MAX_REPORT_BYTES: u64 = 16 * 1024 * 1024;

const UNUSABLE: &str = "the server's URL or the token cannot be used";
const READING: &str = "reading the answer";

pub(crate) struct ApiClient {
    agent: Agent,
    base: String,
    token: Option<String>,
    timeout: Duration,
    idle: Duration,
}

impl ApiClient {
    pub(crate) fn new(args: &ServerArgs) -> Result<Self> {
        let token = match &args.token {
            Some(token) => token.clone(),
            None => DataDirectory::read_admin_token(&args.data_dir)?
                .with_context(|| {
                    format!(
                        "no API token: set TIDINGS_TOKEN, or name the server's data directory \
                         (there is no admin token in {})",
                        args.data_dir.display()
                    )
                })?
                .to_string(),
        };
        Ok(Self {
            agent: agent(Proxy::try_from_env(), TIMEOUT),
            base: args.url.trim_end_matches('/').to_owned(),
            token: Some(token),
            timeout: TIMEOUT,
            idle: IDLE,
        })
    }

    /// For a process on this machine, which is asked without a proxy.
    pub(crate) fn on_this_machine(origin: &str, token: Option<&str>) -> Self {
        Self {
            agent: agent(None, TIMEOUT),
            base: origin.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
            timeout: TIMEOUT,
            idle: IDLE,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.look(path).map_err(CallError::into_error)
    }

    /// The same, for who asks again if that may help.
    pub(crate) fn look(&self, path: &str) -> Result<Value, CallError> {
        self.call(self.json_request(&Method::GET, path), String::new())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.json_request(&Method::POST, path);
        let answer = self.call(request, body.to_string());
        answer.map_err(CallError::into_error)
    }

    /// A request that is the same one however often it is sent with this key.
    pub(crate) fn post_once(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: &str,
    ) -> Result<Value, CallError> {
        let request = self
            .json_request(&Method::POST, path)
            .header("idempotency-key", idempotency_key);
        self.call(request, body.to_string())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.json_request(&Method::PUT, path);
        let answer = self.call(request, body.to_string());
        answer.map_err(CallError::into_error)
    }

    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        let request = self.json_request(&Method::DELETE, path);
        let answer = self.call(request, String::new());
        answer.map(drop).map_err(CallError::into_error)
    }

    /// Sends lines, and tells failures that may pass from those that will not.
    pub(crate) fn import(&self, path: &str, lines: &[u8]) -> Result<Value, CallError> {
        let request = self
            .request(&Method::POST, path, "application/x-ndjson")
            .body(lines)
            .context(UNUSABLE)
            .map_err(CallError::for_good)?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_connect(Some(self.timeout))
            .timeout_global(Some(self.time_for(lines)))
            .build();
        let answer = self.agent.run(request);
        let mut response =
            answer.map_err(|error| CallError::unanswered(error, self.no_answer()))?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = response.body_mut().with_config().limit(MAX_REPORT_BYTES);
        let text = body.read_to_string().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                CallError::for_good(anyhow!(error).context(READING))
            }
            other => CallError::unanswered(other, READING.to_owned()),
        })?;
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            // What counts nothing is not from Tidings: nobody knows what became of the lines.
            return if value.get("lines").is_some_and(Value::is_u64) {
                Ok(value)
            } else {
                Err(CallError::for_good(anyhow!(
                    "{} answered {} without the report of an import: is it Tidings?",
                    self.base,
                    status.as_u16()
                )))
            };
        }
        Err(CallError::refused(
            status,
            retry_after,
            anyhow!("{}", explain_import(status.as_u16(), &value, lines.len())),
        ))
    }

    /// What is sent last waits in buffers of this machine, so waiting for the answer has no limit of
    /// its own.
    fn time_for(&self, lines: &[u8]) -> Duration {
        self.timeout + Duration::from_millis(lines.len() as u64 / OCTETS_PER_MILLISECOND)
    }

    /// The body of an answer of any length. A peer that falls silent is given up.
    pub(crate) fn download(&self, path: &str) -> Result<BodyReader<'static>> {
        let request = self.request(&Method::GET, path, "application/json");
        let request = self
            .agent
            .configure_request(request.body(()).context(UNUSABLE)?);
        let request = request
            .timeout_connect(Some(self.timeout))
            .timeout_recv_response(Some(self.idle))
            .timeout_per_read(Some(self.idle));
        self.stream(request.build())
    }

    /// POSTs lines as they come, for however long that takes; so is the answer.
    pub(crate) fn post_lines(
        &self,
        path: &str,
        lines: &mut dyn Read,
    ) -> Result<BodyReader<'static>> {
        let request = self.request(&Method::POST, path, "application/x-ndjson");
        let lines = SendBody::from_reader(lines);
        self.stream(request.body(lines).context(UNUSABLE)?)
    }

    /// Bodies of any length, for however long they take.
    fn stream(&self, request: Request<impl AsSendBody>) -> Result<BodyReader<'static>> {
        let request = self.agent.configure_request(request);
        let request = request.timeout_global(None).build();
        let answer = self.agent.run(request).with_context(|| self.no_answer());
        let mut response = answer?;
        let status = response.status();
        if !status.is_success() {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            let value = serde_json::from_str(&text).unwrap_or(Value::Null);
            bail!("{}", explain(status.as_u16(), &value));
        }
        Ok(response.into_body().into_reader())
    }

    fn json_request(&self, method: &Method, path: &str) -> request::Builder {
        self.request(method, path, "application/json")
    }

    fn request(&self, method: &Method, path: &str, media_type: &str) -> request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", media_type);
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn no_answer(&self) -> String {
        format!("no answer from {}: is `tidings serve` running?", self.base)
    }

    fn call(&self, request: request::Builder, body: String) -> Result<Value, CallError> {
        let request = request.body(body).context(UNUSABLE);
        let answer = self.agent.run(request.map_err(CallError::for_good)?);
        let mut response =
            answer.map_err(|error| CallError::unanswered(error, self.no_answer()))?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let text = response.body_mut().read_to_string();
        let text = text.map_err(|error| CallError::unanswered(error, READING.to_owned()))?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !status.is_success() {
            let error = anyhow!("{}", explain(status.as_u16(), &value));
            return Err(CallError::refused(status, retry_after, error));
        }
        Ok(value)
    }
}

/// How long the server says to wait.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get("retry-after")?;
    let seconds = value.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn agent(proxy: Option<Proxy>, timeout: Duration) -> Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .timeout_global(Some(timeout))
        // Earlier, so that who was never reached can be told from who does not answer.
        .timeout_resolve(Some(timeout / 2))
        .timeout_connect(Some(timeout / 2))
        .http_status_as_error(false)
        .build()
        .new_agent()
}

/// A problem document (RFC 9457) in words.
fn explain(status: u16, problem: &Value) -> String {
    let text = |member: &str| problem.get(member).and_then(Value::as_str);
    let mut words = format!("the server answered {status}");
    let errors = problem.get("errors").and_then(Value::as_array);
    // `detail` repeats what `errors` lists.
    let detail = text("detail").filter(|_| errors.is_none());
    for part in [text("title"), detail].into_iter().flatten() {
        words = format!("{words}: {part}");
    }
    for error in errors.into_iter().flatten() {
        let member = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        words = format!("{words}\n  {}: {}", member("pointer"), member("detail"));
    }
    words
}

fn explain_import(status: u16, problem: &Value, octets: usize) -> String {
    let words = explain(status, problem);
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return format!(
            "{words}: that is the limit of a proxy, for Tidings has none here; let it pass on {octets} \
             octets and more (nginx: client_max_body_size)"
        );
    }
    words
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use serde_json::json;

    use super::*;

    /// A client of a server that answers `begin` and then falls silent, until the client goes.
    fn silent_after(begin: String) -> (ApiClient, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let (mut peer, _): (TcpStream, _) = listener.accept().unwrap();
            // Who gives up while this is written has seen enough.
            let _ = peer.write_all(begin.as_bytes());
            let _ = std::io::copy(&mut peer, &mut std::io::sink());
        });
        let mut client = ApiClient::on_this_machine(&origin, Some("a token"));
        client.idle = Duration::from_millis(50);
        (client, serving)
    }

    #[test]
    fn a_peer_that_falls_silent_does_not_hold_a_download() {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let (client, serving) = silent_after(format!("{head}5\r\nline\n\r\n"));
        let mut body = client.download("/").unwrap();
        let mut line = [0; 5];
        body.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"line\n");
        assert!(body.read_exact(&mut line).is_err());
        drop((body, client));
        serving.join().unwrap();

        let (client, serving) = silent_after(String::new());
        assert!(client.download("/").is_err());
        drop(client);
        serving.join().unwrap();
    }

    #[test]
    fn an_answer_that_is_no_report_is_a_failure_for_good() {
        let length = MAX_REPORT_BYTES + 1;
        let too_long = format!(
            "content-length: {length}\r\n\r\n{}",
            " ".repeat(usize::try_from(length).unwrap())
        );
        for rest in [
            "content-length: 2\r\n\r\n{}".to_owned(),
            "content-length: 5\r\n\r\nhello".to_owned(),
            "content-length: 10\r\n\r\n{\"lines\":1".to_owned(),
            too_long,
        ] {
            let (client, serving) = silent_after(format!("HTTP/1.1 200 OK\r\n{rest}"));
            let error = client.import("/", b"{}\n").unwrap_err();
            assert!(!error.may_pass, "{:#}", error.into_error());
            drop(client);
            serving.join().unwrap();
        }
    }

    #[test]
    fn lines_have_time_for_a_slow_uplink() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let mut client = ApiClient::on_this_machine(&origin, Some("a token"));
        client.timeout = Duration::from_millis(50);
        client.agent = agent(None, client.timeout);
        // By ten seconds.
        let lines = vec![b'\n'; 40_000];
        std::thread::scope(|threads| {
            let importing = threads.spawn(|| client.import("/", &lines));
            let (mut peer, _) = listener.accept().unwrap();
            peer.read_exact(&mut vec![0; lines.len()]).unwrap();
            assert!(client.get("/").is_err(), "the time of a short call is over");
            let report = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"lines\":1}";
            peer.write_all(report.as_bytes()).unwrap();
            assert!(importing.join().unwrap().is_ok());
        });
    }

    #[test]
    fn a_body_that_a_proxy_refuses_is_explained() {
        let (client, serving) = silent_after(
            "HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 6\r\n\r\n<html>".to_owned(),
        );
        let error = client.import("/", b"{}\n").unwrap_err();
        assert!(!error.may_pass);
        let words = error.into_error().to_string();
        assert!(
            words.contains("413") && words.contains("proxy") && words.contains(" 3 octets"),
            "{words}"
        );
        drop(client);
        serving.join().unwrap();
    }

    #[test]
    fn a_problem_document_becomes_words() {
        let problem = json!({
            "title": "Wrong input",
            "detail": "A member is wrong.",
            "errors": [{"pointer": "/ttl", "detail": "at most 28 days"}],
        });
        let words = explain(422, &problem);
        assert_eq!(
            words,
            "the server answered 422: Wrong input\n  /ttl: at most 28 days"
        );
        let plain = json!({"title": "Gone", "detail": "It ended."});
        assert_eq!(
            explain(410, &plain),
            "the server answered 410: Gone: It ended."
        );
        assert_eq!(explain(502, &Value::Null), "the server answered 502");
    }
}
