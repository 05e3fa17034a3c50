use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, Signature,
};
use zeroize::Zeroizing;

use super::pem::pem;
use super::{key_file, token};
use crate::key_agreement::{private_key, public_octets};
use crate::{
    Contact, KeyFileError, PrivateKeyError, VapidError, VapidPublicKey, VapidToken, base64url,
};

/// The key pair that identifies an application server to push services.
///
/// For signing only, never for encryption (RFC 8292 §3.2). Subscriptions are tied to it: a new
/// key means new subscriptions. Cloning is cheap; the key is loaded once.
#[derive(Clone)]
pub struct VapidKey {
    inner: Arc<Inner>,
}

struct Inner {
    pair: EcdsaKeyPair,
    scalar: Zeroizing<[u8; 32]>,
    public: VapidPublicKey,
}

impl VapidKey {
    /// Makes a new key pair from the operating system's randomness.
    ///
    /// Spec: RFC 8292 §3.2.
    pub fn generate() -> Result<Self, VapidError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(Self::from_pair)
            .map_err(|Unspecified| VapidError::Generate)
    }

    /// Reads any form in which users keep such a key.
    ///
    /// SEC1 and PKCS#8 as PEM (whatever the label, with or without a parameter block, any line
    /// ends), as DER, and as DER in base64; the bare scalar in base64url or base64; a JWK; and
    /// the JSON that `web-push generate-vapid-keys --json` prints.
    ///
    /// Spec: RFC 5208, RFC 5915, RFC 7468, RFC 7518 §6.2.
    pub fn from_key_file(file: &[u8]) -> Result<Self, KeyFileError> {
        key_file::read(file)
    }

    /// Takes the private scalar, big-endian.
    pub fn from_raw(scalar: &[u8; 32]) -> Result<Self, PrivateKeyError> {
        let public = public_octets(&private_key(scalar)?).map_err(|_| PrivateKeyError)?;
        EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar,
            &public,
        )
        .ok()
        .and_then(|pair| Self::from_pair(pair).ok())
        .ok_or(PrivateKeyError)
    }

    /// Takes the private scalar, big-endian, and insists that `public` belongs to it.
    pub fn from_raw_pair(scalar: &[u8; 32], public: &VapidPublicKey) -> Result<Self, KeyFileError> {
        let key = Self::from_raw(scalar).map_err(KeyFileError::PrivateKey)?;
        if key.public_key() == public {
            Ok(key)
        } else {
            Err(KeyFileError::MismatchedPair)
        }
    }

    /// Signs a token for one push service.
    ///
    /// `audience_origin` is [`PushResource::origin`](crate::PushResource::origin). Push services
    /// refuse a token that expires more than 24 hours after they get it. Sign once and reuse the
    /// token for hours, as [`TokenCache`](crate::TokenCache) does. The inverse is
    /// [`verify::request`](crate::verify::request), where there is an example.
    ///
    /// # Errors
    ///
    /// If the expiry is no instant that a token can name, or the signature cannot be made.
    ///
    /// Spec: RFC 8292 §2.
    pub fn sign(
        &self,
        audience_origin: &str,
        contact: Option<&Contact>,
        expires_at: SystemTime,
    ) -> Result<VapidToken, VapidError> {
        token::sign(self, audience_origin, contact, expires_at)
    }

    /// The public half.
    ///
    /// Spec: RFC 8292 §3.2.
    pub fn public_key(&self) -> &VapidPublicKey {
        &self.inner.public
    }

    /// The key as PKCS#8 in PEM, `-----BEGIN PRIVATE KEY-----`: what most tools read.
    ///
    /// Spec: RFC 5208 §5, RFC 7468 §10.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        secret_pem("PRIVATE KEY", &self.to_pkcs8_der())
    }

    /// The key as SEC1 in PEM, `-----BEGIN EC PRIVATE KEY-----`.
    ///
    /// Spec: RFC 5915 §3 and §4.
    pub fn to_sec1_pem(&self) -> Zeroizing<String> {
        secret_pem("EC PRIVATE KEY", &self.to_sec1_der())
    }

    /// The key as PKCS#8 in DER, 138 octets.
    ///
    /// Spec: RFC 5208 §5.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.to_der(PKCS8_PARTS)
    }

    /// The key as SEC1 in DER, 121 octets.
    ///
    /// Spec: RFC 5915 §3.
    pub fn to_sec1_der(&self) -> Zeroizing<Vec<u8>> {
        self.to_der(SEC1_PARTS)
    }

    /// The key as JSON Web Key, with `d`, in one line.
    ///
    /// Spec: RFC 7518 §6.2.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        let scalar = self.to_raw_base64url();
        let (x, y) = self.inner.public.coordinates();
        let mut jwk = Zeroizing::new(String::with_capacity(192));
        jwk.extend([r#"{"kty":"EC","crv":"P-256","d":""#, &*scalar]);
        jwk.extend([r#"","x":""#, &*x, r#"","y":""#, &*y, r#""}"#]);
        jwk
    }

    /// The bare scalar in base64url without padding, 43 characters: what
    /// `web-push generate-vapid-keys` prints.
    pub fn to_raw_base64url(&self) -> Zeroizing<String> {
        Zeroizing::new(base64url::encode(&*self.inner.scalar))
    }

    /// ES256: 64 octets, `r || s` (RFC 7518 §3.4).
    pub(crate) fn sign_octets(&self, message: &[u8]) -> Result<Signature, Unspecified> {
        self.inner.pair.sign(&SystemRandom::new(), message)
    }

    pub(crate) fn from_pair(pair: EcdsaKeyPair) -> Result<Self, Unspecified> {
        let public =
            VapidPublicKey::from_bytes(pair.public_key().as_ref()).map_err(|_| Unspecified)?;
        let exported: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
        let mut scalar = Zeroizing::new([0; 32]);
        if exported.as_ref().len() != scalar.len() {
            return Err(Unspecified);
        }
        scalar.copy_from_slice(exported.as_ref());
        Ok(Self {
            inner: Arc::new(Inner {
                pair,
                scalar,
                public,
            }),
        })
    }

    fn to_der(&self, parts: DerParts) -> Zeroizing<Vec<u8>> {
        let (before_scalar, before_public) = parts;
        // Enough for both, so that no copy of the scalar stays behind where it grew.
        let mut der = Zeroizing::new(Vec::with_capacity(138));
        der.extend_from_slice(before_scalar);
        der.extend_from_slice(&*self.inner.scalar);
        der.extend_from_slice(before_public);
        der.extend_from_slice(self.inner.public.as_bytes());
        der
    }
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("VapidKey")
    }
}

fn secret_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    // Twice the length holds base64, line ends and labels, so nothing is left behind by growth.
    let mut text = Zeroizing::new(String::with_capacity(2 * der.len() + 128));
    pem(
        label,
        &Zeroizing::new(base64url::encode_standard(der)),
        &mut text,
    );
    text
}

/// The constant octets of a P-256 key's DER: in front of the scalar, and between it and the
/// public key. Every length in these structures is fixed, so nothing needs to be computed.
type DerParts = (&'static [u8], &'static [u8]);

/// `ECPrivateKey` of RFC 5915 with curve and public key.
const SEC1_PARTS: DerParts = (
    b"\x30\x77\x02\x01\x01\x04\x20",
    b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\xa1\x44\x03\x42\x00",
);

/// `PrivateKeyInfo` of RFC 5208 around an `ECPrivateKey` with public key.
const PKCS8_PARTS: DerParts = (
    b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\
      \xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20",
    b"\xa1\x44\x03\x42\x00",
);
