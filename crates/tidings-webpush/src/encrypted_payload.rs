use bytes::Bytes;

use crate::{
    ContentEncoding, EncryptError, KeyAgreementSource, Padding, Randomness, Subscription,
    VapidPublicKey, aesgcm, encrypt,
};

/// An encrypted payload: the body of a push message, and the headers that belong to it.
///
/// Spec: RFC 8291 §4 for `aes128gcm`; draft-ietf-webpush-encryption-04 §4 for `aesgcm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedPayload {
    body: Bytes,
    content_encoding: ContentEncoding,
    encryption: Option<String>,
    crypto_key: Option<String>,
}

impl EncryptedPayload {
    /// Takes what [`encrypt`] made: its salt and key are in the body (RFC 8291 §4).
    pub fn aes128gcm(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            content_encoding: ContentEncoding::Aes128gcm,
            encryption: None,
            crypto_key: None,
        }
    }

    pub(crate) fn aesgcm(body: Vec<u8>, encryption: String, crypto_key: String) -> Self {
        Self {
            body: body.into(),
            content_encoding: ContentEncoding::Aesgcm,
            encryption: Some(encryption),
            crypto_key: Some(crypto_key),
        }
    }

    /// Adds the application server's public key to `Crypto-Key`, for
    /// [`VapidToken::legacy_authorization`](crate::VapidToken::legacy_authorization), which does
    /// not carry it.
    ///
    /// In the same list element as `dh`: some push services take another element for another key.
    ///
    /// Spec: draft-ietf-webpush-vapid-01 §4.
    #[must_use]
    pub fn with_vapid_key(mut self, key: &VapidPublicKey) -> Self {
        let parameter = format!("p256ecdsa={}", key.to_base64url());
        self.crypto_key = Some(match self.crypto_key {
            Some(others) => format!("{others};{parameter}"),
            None => parameter,
        });
        self
    }

    /// The body, in octets as they are sent.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The `Content-Encoding` header.
    ///
    /// Spec: RFC 8291 §4.
    pub fn content_encoding(&self) -> ContentEncoding {
        self.content_encoding
    }

    /// The `Encryption` header, `salt=…`, which `aesgcm` needs.
    ///
    /// Spec: draft-ietf-httpbis-encryption-encoding-03 §3.
    pub fn encryption(&self) -> Option<&str> {
        self.encryption.as_deref()
    }

    /// The `Crypto-Key` header, `dh=…`, which `aesgcm` needs.
    ///
    /// Spec: draft-ietf-httpbis-encryption-encoding-03 §4.
    pub fn crypto_key(&self) -> Option<&str> {
        self.crypto_key.as_deref()
    }
}

impl Subscription {
    /// Encrypts one message for this subscription, in a content encoding that its user agent
    /// takes: [`encrypt`] or [`aesgcm::encrypt`].
    ///
    /// Spec: RFC 8291 §3 and §4.
    pub fn encrypt(
        &self,
        content_encoding: ContentEncoding,
        plaintext: &[u8],
        padding: Padding,
        keys: &dyn KeyAgreementSource,
        randomness: &dyn Randomness,
    ) -> Result<EncryptedPayload, EncryptError> {
        let (key, auth) = (&self.p256dh, &self.auth);
        match content_encoding {
            ContentEncoding::Aes128gcm => encrypt(key, auth, plaintext, padding, keys, randomness)
                .map(EncryptedPayload::aes128gcm),
            ContentEncoding::Aesgcm => {
                aesgcm::encrypt(key, auth, plaintext, padding, keys, randomness)
            }
        }
    }
}
