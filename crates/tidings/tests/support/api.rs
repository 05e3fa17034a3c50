//! JSON over HTTP: the API of the server, and the controls of the sandbox.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{
    Method, Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;

use crate::http::send;

/// An origin that is talked to in JSON.
pub(crate) struct Api {
    origin: String,
    token: Option<String>,
}

impl Api {
    /// One that asks nobody who they are.
    pub(crate) fn open(origin: String) -> Self {
        Self {
            origin,
            token: None,
        }
    }

    /// One that wants to see a token.
    pub(crate) fn with_token(origin: String, token: String) -> Self {
        Self {
            origin,
            token: Some(token),
        }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// One request; anything but success is an error. An empty answer is null.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let answer = self.ask(method.clone(), path, body).await?;
        read(&method, path, &answer)
    }

    /// One request and whatever is answered.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Bytes>> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.exchange(method, path, "application/json", body.unwrap_or_default())
            .await
    }

    /// One request with a body of any kind and whatever is answered.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .header(CONTENT_TYPE, content_type);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        send(request.body(body)?).await
    }
}

/// The JSON of a successful answer; null if it is empty.
pub(crate) fn read(method: &Method, path: &str, answer: &Response<Bytes>) -> Result<Value> {
    let what = format!("{method} {path} was answered {}", answer.status());
    let text = String::from_utf8_lossy(answer.body());
    ensure!(answer.status().is_success(), "{what}: {text}");
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{what} without JSON: {text}"))
}
