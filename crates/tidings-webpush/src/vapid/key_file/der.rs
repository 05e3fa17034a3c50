//! Just enough DER to say what a file holds. Keys themselves are read by aws-lc.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// Context tag 0, constructed: the parameters in an `ECPrivateKey` (RFC 5915 §3).
const EC_PARAMETERS: u8 = 0xa0;

const ID_EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";

/// Object identifier of P-256 (prime256v1, secp256r1).
pub(super) const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";

const CURVE_NAMES: [(&[u8], &str); 5] = [
    (P256, "P-256"),
    (b"\x2b\x81\x04\x00\x21", "P-224"),
    (b"\x2b\x81\x04\x00\x22", "P-384"),
    (b"\x2b\x81\x04\x00\x23", "P-521"),
    (b"\x2b\x81\x04\x00\x0a", "secp256k1"),
];

/// What a DER file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Structure<'a> {
    /// A bare object identifier: the block `EC PARAMETERS` of OpenSSL.
    Parameters,
    /// `SubjectPublicKeyInfo`, or a certificate around one (RFC 5280 §4.1).
    PublicKey,
    /// `EncryptedPrivateKeyInfo` (RFC 5958 §3).
    EncryptedPrivateKey,
    /// `ECPrivateKey` (RFC 5915), or `PrivateKeyInfo` (RFC 5208) with one. The curve is that of
    /// its object identifier, if it has one.
    EcPrivateKey {
        /// Content of the object identifier.
        curve: Option<&'a [u8]>,
    },
    /// A private key of another algorithm: RSA, Ed25519, …
    PrivateKeyOfOtherKind,
}

/// The name people know a curve by.
pub(super) fn curve_name(curve: &[u8]) -> &'static str {
    CURVE_NAMES
        .iter()
        .find(|(oid, _)| *oid == curve)
        .map_or("another curve", |(_, name)| name)
}

/// Tells what `der` holds; `None` if it is none of these, or has anything behind it.
pub(super) fn classify(der: &[u8]) -> Option<Structure<'_>> {
    let (tag, content, rest) = element(der)?;
    if !rest.is_empty() {
        return None;
    }
    if tag == OBJECT_IDENTIFIER {
        return Some(Structure::Parameters);
    }
    if tag != SEQUENCE {
        return None;
    }
    let (first_tag, first, rest) = element(content)?;
    let (second_tag, second, rest) = element(rest)?;
    match (first_tag, second_tag) {
        (SEQUENCE, BIT_STRING | SEQUENCE) => Some(Structure::PublicKey),
        (SEQUENCE, OCTET_STRING) => Some(Structure::EncryptedPrivateKey),
        (INTEGER, OCTET_STRING) => Some(Structure::EcPrivateKey {
            curve: ec_parameters(rest),
        }),
        (INTEGER, SEQUENCE) => Some(pkcs8(second)),
        // RSAPrivateKey and its like: version, modulus, …
        (INTEGER, INTEGER) if first.len() == 1 => Some(Structure::PrivateKeyOfOtherKind),
        _ => None,
    }
}

fn pkcs8(algorithm: &[u8]) -> Structure<'_> {
    match element(algorithm) {
        Some((OBJECT_IDENTIFIER, oid, parameters)) if oid == ID_EC_PUBLIC_KEY => {
            Structure::EcPrivateKey {
                curve: object_identifier(parameters),
            }
        }
        _ => Structure::PrivateKeyOfOtherKind,
    }
}

fn ec_parameters(rest: &[u8]) -> Option<&[u8]> {
    let (tag, content, _) = element(rest)?;
    (tag == EC_PARAMETERS)
        .then(|| object_identifier(content))
        .flatten()
}

fn object_identifier(octets: &[u8]) -> Option<&[u8]> {
    let (tag, content, _) = element(octets)?;
    (tag == OBJECT_IDENTIFIER).then_some(content)
}

/// Splits off the first element: tag, content, and what follows. Lengths of up to two octets.
fn element(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
