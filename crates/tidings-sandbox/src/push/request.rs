use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use thiserror::Error;
use tidings_webpush::aesgcm::{self, Parameters, ParametersError};
use tidings_webpush::{DecryptError, Topic, Ttl, Urgency, UserAgentKeys, decrypt};

use crate::personality::Personality;
use crate::refusal::Refusal;

/// Names that `http` does not know, parsed beforehand: they are looked up for each message.
const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");
const ENCRYPTION: HeaderName = HeaderName::from_static("encryption");
const CRYPTO_KEY: HeaderName = HeaderName::from_static("crypto-key");
const CACHE_POLICY: HeaderName = HeaderName::from_static("x-wns-cache-policy");

/// The headers of a push message, understood, and its body.
#[derive(Debug)]
pub(crate) struct PushRequest {
    /// As granted, in seconds.
    pub(crate) ttl_s: u32,
    pub(crate) urgency: Urgency,
    pub(crate) topic: Option<Topic>,
    /// `None` for a push without payload.
    pub(crate) payload: Option<Payload>,
}

/// A body and what the user agent must be told to decrypt it.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) encoding: Encoding,
    pub(crate) body: Bytes,
}

/// How a body is encrypted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// RFC 8291.
    Aes128gcm,
    /// The draft before it, whose parameters are in two headers.
    Aesgcm {
        encryption: String,
        crypto_key: String,
    },
}

impl Encoding {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Aes128gcm => "aes128gcm",
            Self::Aesgcm { .. } => "aesgcm",
        }
    }
}

/// Why a user agent could not make anything of a body.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
}

impl Payload {
    /// Does what the user agent with these keys does.
    pub(crate) fn decrypt(&self, keys: &UserAgentKeys) -> Result<Vec<u8>, OpenError> {
        Ok(match &self.encoding {
            Encoding::Aes128gcm => decrypt(keys, &self.body)?,
            Encoding::Aesgcm {
                encryption,
                crypto_key,
            } => {
                let parameters = Parameters::parse(encryption, crypto_key)?;
                aesgcm::decrypt(keys, &parameters, &self.body)?
            }
        })
    }
}

impl PushRequest {
    /// Reads what RFC 8030 §5 and RFC 8291 §4 put into headers, by the rules of a push service.
    pub(crate) fn parse(
        headers: &HeaderMap,
        body: Bytes,
        personality: Personality,
    ) -> Result<Self, Refusal> {
        if personality == Personality::Wns && headers.contains_key(TRANSFER_ENCODING) {
            return Err(Refusal::Chunked);
        }
        let ttl = octets(single(headers, &TTL, "TTL")?);
        if ttl.is_some_and(is_negative) {
            return Err(Refusal::NegativeTtl);
        }
        let ttl = Ttl::parse_header(ttl).map_err(Refusal::Ttl)?;
        check_ttl(headers, ttl, personality)?;
        let urgency = Urgency::parse_header(octets(single(headers, &URGENCY, "Urgency")?))
            .map_err(Refusal::Urgency)?;
        let topic = Topic::parse_header(octets(single(headers, &TOPIC, "Topic")?))
            .map_err(Refusal::Topic)?;
        if let (Personality::Apple, Some(topic)) = (personality, &topic) {
            // Apple decodes it, so it must have a length that base64url can have.
            Topic::parse(topic.as_str()).map_err(Refusal::Topic)?;
        }
        let payload = if body.is_empty() {
            None
        } else {
            Some(Payload {
                encoding: encoding(headers)?,
                body,
            })
        };
        Ok(Self {
            ttl_s: ttl.as_secs().min(personality.max_ttl_s()),
            urgency,
            topic,
            payload,
        })
    }
}

fn check_ttl(headers: &HeaderMap, ttl: Ttl, personality: Personality) -> Result<(), Refusal> {
    let is_zero = ttl.as_secs() == 0;
    match personality {
        Personality::Apple if is_zero => Err(Refusal::TtlZero),
        Personality::Wns => {
            let policy = single(headers, &CACHE_POLICY, "X-WNS-Cache-Policy")?;
            let is_cached = policy.is_none_or(|policy| policy != "no-cache");
            if is_zero == is_cached {
                Err(Refusal::CachePolicy)
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

/// A number for Mozilla, which has an error of its own for it.
fn is_negative(ttl: &[u8]) -> bool {
    ttl.strip_prefix(b"-")
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

/// The only value of a header; `name` is how people write it.
fn single<'a>(
    headers: &'a HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(header).iter();
    let first = values.next();
    if values.next().is_some() {
        Err(Refusal::RepeatedHeader { name })
    } else {
        Ok(first)
    }
}

fn octets(value: Option<&HeaderValue>) -> Option<&[u8]> {
    value.map(HeaderValue::as_bytes)
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let encryption = joined(headers, &ENCRYPTION);
    let crypto_key = joined(headers, &CRYPTO_KEY);
    let has_dh = crypto_key
        .as_deref()
        .is_some_and(|header| has_parameter(header, "dh"));
    match joined(headers, &CONTENT_ENCODING).as_deref() {
        Some("aes128gcm") if encryption.is_some() || has_dh => Err(Refusal::Encryption(
            "aes128gcm has salt and key in the body: leave out Encryption and dh of Crypto-Key",
        )),
        Some("aes128gcm") => Ok(Encoding::Aes128gcm),
        Some("aesgcm") => match (encryption, crypto_key) {
            (Some(encryption), Some(crypto_key))
                if has_dh && has_parameter(&encryption, "salt") =>
            {
                Ok(Encoding::Aesgcm {
                    encryption: bare(&encryption),
                    crypto_key: bare(&crypto_key),
                })
            }
            _ => Err(Refusal::Encryption(
                "aesgcm needs Encryption: salt=… and Crypto-Key: dh=…",
            )),
        },
        Some(_) => Err(Refusal::Encryption(
            "Content-Encoding must be aes128gcm or aesgcm",
        )),
        None => Err(Refusal::Encryption(
            "a body needs Content-Encoding: aes128gcm; bodies must be encrypted",
        )),
    }
}

/// All values of a list header as one text (RFC 9110 §5.3).
fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let values = headers.get_all(name).iter();
    let mut values = values.filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    // Nearly always there is no other.
    Some(values.fold(first.into(), |joined, value| {
        format!("{joined},{value}").into()
    }))
}

fn has_parameter(header: &str, name: &str) -> bool {
    header
        .split([',', ';'])
        .filter_map(|parameter| parameter.split_once('='))
        .any(|(key, value)| key.trim().eq_ignore_ascii_case(name) && !value.trim().is_empty())
}

/// Without quotes and base64 padding, which Firefox does not take.
fn bare(header: &str) -> String {
    let elements = header.split(',').map(|element| {
        let parameters = element
            .split(';')
            .map(|parameter| match parameter.split_once('=') {
                Some((name, value)) => {
                    let value = value.trim().trim_matches('"').trim_end_matches('=');
                    format!("{}={value}", name.trim())
                }
                None => parameter.trim().to_owned(),
            });
        parameters.collect::<Vec<_>>().join(";")
    });
    elements.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[(&'static str, &str)]) -> Result<PushRequest, Refusal> {
        let mut map = HeaderMap::new();
        map.insert("TTL", HeaderValue::from_static("60"));
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        PushRequest::parse(&map, Bytes::from_static(b"body"), Personality::Mozilla)
    }

    #[test]
    fn aesgcm_headers_lose_quotes_and_padding() {
        let request = parse(&[
            ("Content-Encoding", "aesgcm"),
            (
                "Encryption",
                "keyid=p256dh; salt=\"lngarbyKfMoi9Z75xYXmkg==\"",
            ),
            ("Crypto-Key", "dh=BNoRDbb84"),
            ("Crypto-Key", "p256ecdsa=BP4z"),
        ])
        .unwrap();
        assert_eq!(
            request.payload.unwrap().encoding,
            Encoding::Aesgcm {
                encryption: "keyid=p256dh;salt=lngarbyKfMoi9Z75xYXmkg".to_owned(),
                crypto_key: "dh=BNoRDbb84,p256ecdsa=BP4z".to_owned(),
            }
        );
    }

    #[test]
    fn encryption_headers_must_fit_the_encoding() {
        type Headers = &'static [(&'static str, &'static str)];
        const CASES: &[(&str, Headers)] = &[
            ("no encoding", &[]),
            ("unknown encoding", &[("Content-Encoding", "gzip")]),
            (
                "two encodings",
                &[
                    ("Content-Encoding", "aes128gcm"),
                    ("Content-Encoding", "gzip"),
                ],
            ),
            ("aesgcm alone", &[("Content-Encoding", "aesgcm")]),
            (
                "aesgcm without dh",
                &[("Content-Encoding", "aesgcm"), ("Encryption", "salt=a")],
            ),
            (
                "aesgcm without salt",
                &[("Content-Encoding", "aesgcm"), ("Crypto-Key", "dh=a")],
            ),
            (
                "salt twice",
                &[("Content-Encoding", "aes128gcm"), ("Encryption", "salt=a")],
            ),
            (
                "key twice",
                &[("Content-Encoding", "aes128gcm"), ("Crypto-Key", "dh=a")],
            ),
        ];
        for (name, headers) in CASES {
            assert!(
                matches!(parse(headers), Err(Refusal::Encryption(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_header_given_twice_is_refused() {
        for name in ["TTL", "Urgency", "Topic"] {
            let headers = [
                (name, "60"),
                (name, "60"),
                ("Content-Encoding", "aes128gcm"),
            ];
            assert_eq!(
                parse(&headers).err(),
                Some(Refusal::RepeatedHeader { name })
            );
        }
    }
}
