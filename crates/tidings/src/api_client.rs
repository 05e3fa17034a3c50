//! Talks to a running server through its API.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use crate::cli::ServerArgs;
use crate::data_directory::DataDirectory;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct ApiClient {
    agent: Agent,
    base: String,
    token: String,
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
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base: args.url.trim_end_matches('/').to_owned(),
            token,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.call(&Method::GET, path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(&Method::POST, path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        self.call(&Method::DELETE, path, None).map(drop)
    }

    fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body.map(Value::to_string).unwrap_or_default())
            .context("the server's URL or the token cannot be used")?;
        let mut response = self.agent.run(request).with_context(|| {
            format!("no answer from {}: is `tidings serve` running?", self.base)
        })?;
        let status = response.status();
        let text = response
            .body_mut()
            .read_to_string()
            .context("reading the answer")?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !status.is_success() {
            bail!("{}", explain(status.as_u16(), &value));
        }
        Ok(value)
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
