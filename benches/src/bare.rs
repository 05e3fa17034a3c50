//! What any implementation on aws-lc-rs has to do for one message, and nothing else: no types, no
//! checks, no zeroizing.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, PrivateKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use aws_lc_rs::rand;

/// A receiver, with its public key parsed ahead of time.
pub struct Receiver {
    pub octets: [u8; 65],
    pub point: ParsedPublicKey,
    pub auth: [u8; 16],
}

/// RFC 8291 §3 and RFC 8188 §2 for one record without padding.
pub fn encrypt(receiver: &Receiver, plaintext: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let private = PrivateKey::generate(&ECDH_P256)?;
    let public = private.compute_public_key()?;
    let mut salt = [0; 16];
    rand::fill(&mut salt)?;

    let key_info = [
        b"WebPush: info\0",
        &receiver.octets[..],
        public.as_ref(),
        &[1],
    ];
    let key_info = key_info.concat();
    let ikm = agree(&private, receiver.point.clone(), Unspecified, |secret| {
        let prk = sign(&Key::new(HMAC_SHA256, &receiver.auth), secret);
        Ok(sign(&Key::new(HMAC_SHA256, prk.as_ref()), &key_info))
    })?;
    let prk = sign(&Key::new(HMAC_SHA256, &salt), ikm.as_ref());
    let prk = Key::new(HMAC_SHA256, prk.as_ref());
    let key = sign(&prk, b"Content-Encoding: aes128gcm\0\x01");
    let nonce = sign(&prk, b"Content-Encoding: nonce\0\x01");

    let mut body = Vec::with_capacity(plaintext.len() + 103);
    body.extend_from_slice(&salt);
    body.extend_from_slice(&4096_u32.to_be_bytes());
    body.push(65);
    body.extend_from_slice(public.as_ref());
    body.extend_from_slice(plaintext);
    body.push(2);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key.as_ref()[..16])?);
    let nonce = Nonce::try_assume_unique_for_key(&nonce.as_ref()[..12])?;
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut body[86..])?;
    body.extend_from_slice(tag.as_ref());
    Ok(body)
}
