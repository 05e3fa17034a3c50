use std::str::FromStr;

use thiserror::Error;

/// How the body of a push message is encrypted; the `Content-Encoding` header.
///
/// Spec: RFC 8291 §4, draft-ietf-webpush-encryption-04 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ContentEncoding {
    /// RFC 8188 with the keys of RFC 8291; every current browser takes it.
    #[default]
    Aes128gcm,
    /// The encoding of browsers from before 2018; see [`aesgcm`](crate::aesgcm).
    Aesgcm,
}

impl ContentEncoding {
    /// Chooses among what a user agent lists in `PushManager.supportedContentEncodings`:
    /// `aesgcm` only where `aes128gcm` is not in the list, nothing where neither is.
    ///
    /// Names that are not known are ignored. Firefox before 134 has no such list and takes
    /// `aes128gcm`: what to make of a missing list is up to the caller.
    ///
    /// Spec: Push API, `supportedContentEncodings`.
    pub fn choose(supported: &[impl AsRef<str>]) -> Option<Self> {
        let lists = |encoding: &Self| {
            supported
                .iter()
                .any(|name| name.as_ref() == encoding.as_str())
        };
        [Self::Aes128gcm, Self::Aesgcm].into_iter().find(lists)
    }

    /// The name on the wire.
    ///
    /// Spec: RFC 9110 §8.4.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes128gcm => "aes128gcm",
            Self::Aesgcm => "aesgcm",
        }
    }
}

impl FromStr for ContentEncoding {
    type Err = ContentEncodingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "aes128gcm" => Ok(Self::Aes128gcm),
            "aesgcm" => Ok(Self::Aesgcm),
            _ => Err(ContentEncodingError),
        }
    }
}

/// The name is not that of a content encoding of Web Push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a content encoding of Web Push: use aes128gcm, or aesgcm for old browsers")]
pub struct ContentEncodingError;
