use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};

use crate::{EncryptedPayload, PushResource, Topic, Ttl, Urgency};

const ENCRYPTION: HeaderName = HeaderName::from_static("encryption");
const CRYPTO_KEY: HeaderName = HeaderName::from_static("crypto-key");
const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

/// One push message, ready to be sent.
///
/// Spec: RFC 8030 §5.
#[derive(Debug, Clone)]
pub struct PushMessage<'a> {
    /// Where it goes.
    pub resource: &'a PushResource,
    /// The encrypted payload; none to wake the service worker without data.
    pub payload: Option<EncryptedPayload>,
    /// How long the push service keeps it. Sent as 1 s at least where the service refuses 0.
    pub ttl: Ttl,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Which undelivered message it replaces, if any.
    pub topic: Option<&'a Topic>,
    /// From [`TokenCache::authorization`](crate::TokenCache::authorization) or
    /// [`VapidToken::authorization`](crate::VapidToken::authorization).
    pub authorization: HeaderValue,
}

impl PushMessage<'_> {
    /// The HTTP request, with the headers that every push service accepts.
    ///
    /// `Content-Length` is always set and must be sent as it is: WNS refuses chunked bodies.
    ///
    /// Spec: RFC 8030 §5, RFC 8291 §4.
    pub fn into_request(self) -> Result<Request<Bytes>, http::Error> {
        let mut ttl = self.ttl.as_secs();
        if self.resource.push_service().refuses_ttl_zero() {
            ttl = ttl.max(1);
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.resource.expose())
            .header(TTL, ttl)
            .header(URGENCY, HeaderValue::from_static(self.urgency.as_str()))
            .header(AUTHORIZATION, self.authorization);
        if let Some(topic) = self.topic {
            request = request.header(TOPIC, topic.as_str());
        }
        let Some(payload) = self.payload else {
            return request.header(CONTENT_LENGTH, 0).body(Bytes::new());
        };
        if let Some(encryption) = payload.encryption() {
            request = request.header(ENCRYPTION, encryption);
        }
        if let Some(crypto_key) = payload.crypto_key() {
            request = request.header(CRYPTO_KEY, crypto_key);
        }
        let encoding = payload.content_encoding();
        let body = payload.body().clone();
        request
            .header(
                CONTENT_ENCODING,
                HeaderValue::from_static(encoding.as_str()),
            )
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            )
            .header(CONTENT_LENGTH, body.len())
            .body(body)
    }
}
