//! What the fuzz targets share: receivers whose content keys are published, so that any record
//! can be sealed for them and the code behind the authentication is reached.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tidings_webpush::{AuthSecret, UserAgentKeys};

/// A receiver, and the key and nonce of one message to it.
pub struct Receiver {
    pub keys: UserAgentKeys,
    content_key: LessSafeKey,
    nonce: [u8; 12],
}

impl Receiver {
    /// RFC 8291, appendix A.
    pub fn of_rfc_8291() -> Self {
        Self::new(
            "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
            "BTBZMqHH6r4Tts7J_aSIgg",
            "oIhVW04MRdy2XN9CiKLxTg",
            "4h_95klXJ5E_qnoN",
        )
    }

    /// draft-ietf-webpush-encryption-04, appendix A.
    pub fn of_the_draft() -> Self {
        Self::new(
            "9FWl15_QUQAWDaD3k3l50ZBZQJ4au27F1V4F0uLSD_M",
            "R29vIGdvbyBnJyBqb29iIQ",
            "AN2-xhvFWeYh5z0fcDu0Ww",
            "JY1Okw5rw1Drkg9J",
        )
    }

    fn new(private: &str, auth: &str, content_key: &str, nonce: &str) -> Self {
        let auth = AuthSecret::parse(auth).expect("a published secret");
        let content_key = UnboundKey::new(&AES_128_GCM, &decode::<16>(content_key));
        Self {
            keys: UserAgentKeys::from_parts(&decode(private), auth).expect("a published key"),
            content_key: LessSafeKey::new(content_key.expect("a published key")),
            nonce: decode(nonce),
        }
    }

    /// Encrypts one record.
    pub fn seal(&self, number: u16, content: &[u8]) -> Vec<u8> {
        let mut nonce = self.nonce;
        let [.., high, low] = &mut nonce;
        let [of_high, of_low] = number.to_be_bytes();
        *high ^= of_high;
        *low ^= of_low;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut record = content.to_vec();
        self.content_key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
            .expect("a record of a few kilobytes");
        record
    }
}

/// Decodes a published value.
pub fn decode<const N: usize>(text: &str) -> [u8; N] {
    let octets = BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url");
    octets.try_into().expect("the length of a published value")
}
