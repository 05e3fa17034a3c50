use std::str::FromStr;

use thiserror::Error;

/// How the body of a push message is encrypted; the `Content-Encoding` header.
///
/// Non-exhaustive because `aesgcm`, the encoding of browsers from before 2018, has its place here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ContentEncoding {
    /// RFC 8188 with the keys of RFC 8291; every current browser takes it.
    #[default]
    Aes128gcm,
}

impl ContentEncoding {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes128gcm => "aes128gcm",
        }
    }
}

impl FromStr for ContentEncoding {
    type Err = ContentEncodingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "aes128gcm" => Ok(Self::Aes128gcm),
            _ => Err(ContentEncodingError),
        }
    }
}

/// The name is not that of a content encoding of Web Push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a content encoding of Web Push: use aes128gcm")]
pub struct ContentEncodingError;
