use aws_lc_rs::aead::Aad;
use aws_lc_rs::error::Unspecified;

use super::{PADDING_LENGTH_BYTES, Parameters, RecordKeys, TAG_BYTES};
use crate::key_agreement::shared_secret;
use crate::{DecryptError, UserAgentKeys};

/// Opens the body of a push message in `aesgcm` as old user agents do, whatever the number of
/// records. The inverse of [`encrypt`](super::encrypt()), where there is an example.
///
/// # Errors
///
/// If a user agent would throw the body away; [`DecryptError::stage`] says how far it came.
///
/// Spec: draft-ietf-webpush-encryption-04 §3, draft-ietf-httpbis-encryption-encoding-03 §2.
pub fn decrypt(
    keys: &UserAgentKeys,
    parameters: &Parameters,
    body: &[u8],
) -> Result<Vec<u8>, DecryptError> {
    let record_keys =
        agree(keys, parameters).map_err(|Unspecified| DecryptError::Authentication)?;
    open(&record_keys, parameters.record_size(), body)
}

fn agree(keys: &UserAgentKeys, parameters: &Parameters) -> Result<RecordKeys, Unspecified> {
    let sender = parameters.sender_key();
    RecordKeys::agreed(
        &*shared_secret(keys.private(), sender.point())?,
        keys.auth(),
        keys.public_key().as_bytes(),
        sender.as_bytes(),
        parameters.salt(),
    )
}

/// Opens all records. The last one must be shorter than the others: a body that ends in a full
/// one was cut off behind it.
pub(super) fn open(
    keys: &RecordKeys,
    record_size: u32,
    body: &[u8],
) -> Result<Vec<u8>, DecryptError> {
    let sealed_bytes = usize::try_from(record_size)
        .unwrap_or(usize::MAX)
        .saturating_add(TAG_BYTES);
    if body.is_empty() {
        return Err(short_record(body));
    }
    if body.len().is_multiple_of(sealed_bytes) {
        return Err(DecryptError::CutOff { record_size });
    }
    let mut plaintext = Vec::with_capacity(body.len());
    for (number, sealed) in (0..).zip(body.chunks(sealed_bytes)) {
        if sealed.len() < PADDING_LENGTH_BYTES + TAG_BYTES {
            return Err(short_record(sealed));
        }
        let mut record = sealed.to_vec();
        let opened = keys
            .key
            .open_in_place(keys.nonce(number), Aad::empty(), &mut record)
            .map_err(|Unspecified| DecryptError::Authentication)?;
        plaintext.extend_from_slice(without_padding(opened)?);
    }
    Ok(plaintext)
}

fn short_record(record: &[u8]) -> DecryptError {
    DecryptError::ShortRecord {
        got: record.len(),
        least: PADDING_LENGTH_BYTES + TAG_BYTES,
    }
}

fn without_padding(record: &[u8]) -> Result<&[u8], DecryptError> {
    let (length, rest) = record
        .split_first_chunk::<PADDING_LENGTH_BYTES>()
        .ok_or_else(|| short_record(record))?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (padding, content) = rest
        .split_at_checked(length)
        .ok_or(DecryptError::PaddingLength {
            got: length,
            left: rest.len(),
        })?;
    if padding.iter().any(|octet| *octet != 0) {
        return Err(DecryptError::PaddingContent);
    }
    Ok(content)
}
