mod der;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::Deserialize;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use self::der::Structure;
use crate::{PrivateKeyError, PublicKeyError, VapidKey, VapidPublicKey, base64url};

/// Octets of a scalar that lost its leading zeros in an older tool. One in 2³² keys is shorter
/// than this; a shorter text more likely is something else, an `auth` secret for instance.
const SHORTEST_SCALAR: usize = 28;

const SCALAR_BYTES: usize = 32;

/// Finds out what form `file` has, and reads the key in it.
pub(crate) fn read(file: &[u8]) -> Result<VapidKey, KeyFileError> {
    // DER holds octets that no text holds, so there is no guessing.
    match str::from_utf8(file) {
        Ok(text) if !text.contains(is_binary) => read_text(text.trim_start_matches('\u{feff}')),
        _ => read_der(file),
    }
}

fn is_binary(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
}

fn read_text(text: &str) -> Result<VapidKey, KeyFileError> {
    let text = text.trim();
    if text.is_empty() {
        Err(KeyFileError::Empty)
    } else if text.contains("-----BEGIN ") {
        // With the space: base64url may say the rest.
        read_pem(text)
    } else if text.starts_with('{') {
        read_json(text)
    } else {
        read_base64(text)
    }
}

/// Takes the only private key among the blocks of a PEM file, by structure: labels lie.
fn read_pem(text: &str) -> Result<VapidKey, KeyFileError> {
    let blocks = pem::parse_many(text).map_err(|_| KeyFileError::Pem)?;
    if blocks.is_empty() {
        return Err(KeyFileError::Pem);
    }
    let mut key = None;
    let mut first_error = None;
    for block in blocks {
        let is_encrypted = block.headers().get("DEK-Info").is_some();
        let der = Zeroizing::new(block.into_contents());
        if is_encrypted {
            return Err(KeyFileError::Encrypted);
        }
        match read_der(&der) {
            Ok(_) if key.is_some() => return Err(KeyFileError::SeveralKeys),
            Ok(found) => key = Some(found),
            // Says less than what follows it.
            Err(KeyFileError::ParametersOnly) => {}
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match (key, first_error) {
        (Some(key), _) => Ok(key),
        (None, Some(error)) => Err(error),
        (None, None) => Err(KeyFileError::ParametersOnly),
    }
}

fn read_der(der: &[u8]) -> Result<VapidKey, KeyFileError> {
    match der::classify(der) {
        Some(Structure::Parameters) => Err(KeyFileError::ParametersOnly),
        Some(Structure::PublicKey) => Err(KeyFileError::PublicKey),
        Some(Structure::EncryptedPrivateKey) => Err(KeyFileError::Encrypted),
        Some(Structure::PrivateKeyOfOtherKind) => Err(KeyFileError::NotEllipticCurve),
        Some(Structure::EcPrivateKey { curve }) => {
            if let Some(curve) = curve.filter(|curve| *curve != der::P256) {
                return Err(KeyFileError::Curve {
                    got: der::curve_name(curve),
                });
            }
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                .ok()
                .and_then(|pair| VapidKey::from_pair(pair).ok())
                .ok_or(KeyFileError::Damaged)
        }
        None => Err(KeyFileError::Unrecognised),
    }
}

fn read_base64(text: &str) -> Result<VapidKey, KeyFileError> {
    // A base64 text may be broken into lines.
    let mut joined = Zeroizing::new(text.to_owned());
    joined.retain(|c| !c.is_whitespace());
    let octets = base64url::decode_lenient(&joined).ok_or(KeyFileError::Unrecognised)?;
    let octets = Zeroizing::new(octets);
    if octets.first() == Some(&0x30) && der::classify(&octets).is_some() {
        return read_der(&octets);
    }
    if VapidPublicKey::from_bytes(&octets).is_ok() {
        return Err(KeyFileError::PublicKey);
    }
    VapidKey::from_raw(&*scalar(&octets)?).map_err(KeyFileError::PrivateKey)
}

/// Fills a scalar up to 32 octets: older tools dropped leading zeros.
fn scalar(octets: &[u8]) -> Result<Zeroizing<[u8; SCALAR_BYTES]>, KeyFileError> {
    if !(SHORTEST_SCALAR..=SCALAR_BYTES).contains(&octets.len()) {
        return Err(KeyFileError::Length { got: octets.len() });
    }
    let mut scalar = Zeroizing::new([0; SCALAR_BYTES]);
    for (target, source) in scalar.iter_mut().rev().zip(octets.iter().rev()) {
        *target = *source;
    }
    Ok(scalar)
}

/// The two kinds of JSON at once: a JWK (RFC 7517, RFC 7518 §6.2), and what
/// `web-push generate-vapid-keys --json` prints.
#[derive(Deserialize)]
struct JsonKey {
    kty: Option<String>,
    crv: Option<String>,
    d: Option<String>,
    x: Option<String>,
    y: Option<String>,
    #[serde(rename = "privateKey")]
    private_key: Option<String>,
    #[serde(rename = "publicKey")]
    public_key: Option<String>,
}

impl Drop for JsonKey {
    fn drop(&mut self) {
        self.d.zeroize();
        self.private_key.zeroize();
    }
}

fn read_json(text: &str) -> Result<VapidKey, KeyFileError> {
    let json: JsonKey = serde_json::from_str(text).map_err(|_| KeyFileError::Json)?;
    let (private, public) = match &json.private_key {
        Some(private) => {
            let public = json
                .public_key
                .as_deref()
                .map(VapidPublicKey::parse)
                .transpose();
            (private, public.map_err(KeyFileError::JsonPublicKey)?)
        }
        None => jwk_halves(&json)?,
    };
    let octets = base64url::decode_lenient(private).ok_or(KeyFileError::Json)?;
    let scalar = scalar(&Zeroizing::new(octets))?;
    match public {
        Some(public) => VapidKey::from_raw_pair(&scalar, &public),
        None => VapidKey::from_raw(&scalar).map_err(KeyFileError::PrivateKey),
    }
}

fn jwk_halves(json: &JsonKey) -> Result<(&String, Option<VapidPublicKey>), KeyFileError> {
    match (json.kty.as_deref(), json.crv.as_deref()) {
        (Some("EC"), Some("P-256")) => {}
        (Some("EC"), Some("P-384")) => return Err(KeyFileError::Curve { got: "P-384" }),
        (Some("EC"), Some("P-521")) => return Err(KeyFileError::Curve { got: "P-521" }),
        (Some("EC"), Some("secp256k1")) => return Err(KeyFileError::Curve { got: "secp256k1" }),
        (Some("EC"), Some(_)) => {
            return Err(KeyFileError::Curve {
                got: "another curve",
            });
        }
        (Some(_), _) => return Err(KeyFileError::NotEllipticCurve),
        (None, _) => return Err(KeyFileError::Json),
    }
    let private = json.d.as_ref().ok_or(KeyFileError::PublicKey)?;
    let (Some(x), Some(y)) = (&json.x, &json.y) else {
        return Ok((private, None));
    };
    let mut point = vec![0x04];
    for coordinate in [x, y] {
        point.extend(base64url::decode_lenient(coordinate).ok_or(KeyFileError::Json)?);
    }
    let public = VapidPublicKey::from_bytes(&point).map_err(KeyFileError::JsonPublicKey)?;
    Ok((private, Some(public)))
}

/// Why a key file was refused, and what to do about it. No message repeats the file.
///
/// Spec: RFC 5208, RFC 5915, RFC 7468, RFC 7518 §6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Nothing in it.
    #[error("the key file is empty")]
    Empty,
    /// No form that is known.
    #[error(
        "not a key file that is known: give a PEM or DER private key, a JWK, or the private key in base64url"
    )]
    Unrecognised,
    /// The armour of a PEM file is damaged.
    #[error(
        "the PEM text is damaged: copy the file again, from -----BEGIN to the end of the -----END line"
    )]
    Pem,
    /// JSON without a key in it.
    #[error(r#"the JSON holds no key: give a JWK ("kty", "crv", "d", "x", "y"), or "publicKey" and "privateKey""#)]
    Json,
    /// The public key in the JSON is none.
    #[error("the public key in the JSON: {0}")]
    JsonPublicKey(#[source] PublicKeyError),
    /// Protected by a pass phrase.
    #[error(
        "the key is encrypted with a pass phrase: decrypt it first (openssl pkcs8 -in key.pem -out plain.pem)"
    )]
    Encrypted,
    /// A public key, or a certificate.
    #[error("this is a public key or a certificate: give the private key that belongs to it")]
    PublicKey,
    /// Only the parameters of a curve.
    #[error(
        "the file holds curve parameters but no key: make one with openssl ecparam -name prime256v1 -genkey -noout"
    )]
    ParametersOnly,
    /// More than one private key.
    #[error("the file holds several private keys: leave the one to use")]
    SeveralKeys,
    /// A key on another curve.
    #[error(
        "the key is on {got}, VAPID needs P-256: make a new one with openssl ecparam -name prime256v1 -genkey -noout"
    )]
    Curve {
        /// Name of the curve.
        got: &'static str,
    },
    /// A key of another algorithm.
    #[error(
        "the key is not an elliptic curve key (RSA or Ed25519 perhaps), VAPID needs P-256: make a new one with openssl ecparam -name prime256v1 -genkey -noout"
    )]
    NotEllipticCurve,
    /// A key structure whose parts are wrong or do not match.
    #[error(
        "the key structure is damaged: its number is out of range, or its public key belongs to another private key"
    )]
    Damaged,
    /// Not the length of a scalar.
    #[error(
        "the text decodes to {got} octets, a private key has 32: give the private key of the pair in base64url, 43 characters"
    )]
    Length {
        /// Octets found.
        got: usize,
    },
    /// The number is not a private key.
    #[error("the private key: {0}")]
    PrivateKey(#[source] PrivateKeyError),
    /// The halves belong to different keys.
    #[error("private and public key belong to different pairs: give both from the same one")]
    MismatchedPair,
}
