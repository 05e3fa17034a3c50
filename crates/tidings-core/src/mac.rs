//! Keyed hashes: the endpoint's identity, a subscription's token, a receipt's proof.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_webpush::{AuthSecret, PushResource, Randomness};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::application::ApplicationId;
use crate::id::{MessageId, SubscriptionId};

/// Octets of a receipt's proof before base64url: 128 bits, as much as nobody guesses.
const PROOF_BYTES: usize = 16;

/// Characters of a receipt's proof, always the same number.
pub const PROOF_CHARACTERS: usize = (PROOF_BYTES * 8).div_ceil(6);

/// The random master keys of the three keyed hashes. Made once, kept sealed in the database.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacSecrets {
    /// Key of the endpoint's keyed hash.
    pub endpoint: [u8; 32],
    /// Key of subscription tokens.
    pub subscription_token: [u8; 32],
    /// Key of receipt proofs.
    pub receipt_proof: [u8; 32],
}

impl MacSecrets {
    /// New random keys.
    pub fn generate(randomness: &dyn Randomness) -> Self {
        let mut made = Self {
            endpoint: [0; 32],
            subscription_token: [0; 32],
            receipt_proof: [0; 32],
        };
        randomness.fill(&mut made.endpoint);
        randomness.fill(&mut made.subscription_token);
        randomness.fill(&mut made.receipt_proof);
        made
    }
}

impl fmt::Debug for MacSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacSecrets")
    }
}

/// An endpoint's identity in the database: unique within an application, and useless to whoever
/// has the database without the sealing key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EndpointHash(pub(crate) [u8; 16]);

impl EndpointHash {
    /// The octets a store keeps.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a page shows to change, test or end its own subscription.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SubscriptionToken(String);

impl SubscriptionToken {
    /// The token's text, for the answer to the page that owns the subscription.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SubscriptionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubscriptionToken")
    }
}

/// Computes and checks the keyed hashes.
pub struct Macs {
    endpoint: hmac::Key,
    subscription_token: hmac::Key,
    receipt_proof: hmac::Key,
}

impl Macs {
    /// Ready to use with these secrets.
    pub fn new(secrets: &MacSecrets) -> Self {
        let key = |bytes: &[u8; 32]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Self {
            endpoint: key(&secrets.endpoint),
            subscription_token: key(&secrets.subscription_token),
            receipt_proof: key(&secrets.receipt_proof),
        }
    }

    /// The identity of a push resource within an application.
    pub fn endpoint(&self, application: ApplicationId, resource: &PushResource) -> EndpointHash {
        let mut context = hmac::Context::with_key(&self.endpoint);
        context.update(&application.as_i64().to_be_bytes());
        context.update(resource.expose().as_bytes());
        EndpointHash(first_16(context.sign().as_ref()))
    }

    /// The token of a subscription: the same whenever it is asked for, another for other keys.
    pub fn subscription_token(&self, id: SubscriptionId, auth: &AuthSecret) -> SubscriptionToken {
        SubscriptionToken(URL_SAFE_NO_PAD.encode(self.token_tag(id, auth)))
    }

    /// Whether `token` is the subscription's. Constant time in the token's octets.
    pub fn is_subscription_token(
        &self,
        token: &str,
        id: SubscriptionId,
        auth: &AuthSecret,
    ) -> bool {
        let expected = self.token_tag(id, auth);
        URL_SAFE_NO_PAD.decode(token).is_ok_and(|given| {
            constant_time::verify_slices_are_equal(&given, expected.as_ref()).is_ok()
        })
    }

    /// The proof that goes into an encrypted payload and comes back with a receipt.
    pub fn receipt_proof(&self, message: MessageId, subscription: SubscriptionId) -> String {
        URL_SAFE_NO_PAD.encode(self.proof_tag(message, subscription))
    }

    /// Whether `proof` belongs to this message and subscription.
    pub fn is_receipt_proof(
        &self,
        proof: &str,
        message: MessageId,
        subscription: SubscriptionId,
    ) -> bool {
        let expected = self.proof_tag(message, subscription);
        URL_SAFE_NO_PAD
            .decode(proof)
            .is_ok_and(|given| constant_time::verify_slices_are_equal(&given, &expected).is_ok())
    }

    fn token_tag(&self, id: SubscriptionId, auth: &AuthSecret) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.subscription_token);
        context.update(id.as_bytes());
        context.update(auth.expose());
        context.sign()
    }

    fn proof_tag(&self, message: MessageId, subscription: SubscriptionId) -> [u8; PROOF_BYTES] {
        let mut context = hmac::Context::with_key(&self.receipt_proof);
        context.update(message.as_bytes());
        context.update(subscription.as_bytes());
        first_16(context.sign().as_ref())
    }
}

impl fmt::Debug for Macs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Macs")
    }
}

fn first_16(tag: &[u8]) -> [u8; 16] {
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(tag) {
        *to = *from;
    }
    first
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_token_fits_one_subscription_with_one_auth_secret() {
        let macs = Macs::new(&MacSecrets::generate(&SystemRandomness));
        let id = SubscriptionId::new(Timestamp::from_millis(1), &SystemRandomness);
        let other_id = SubscriptionId::new(Timestamp::from_millis(1), &SystemRandomness);
        let auth = AuthSecret::from_bytes(&[1; 16]).unwrap();
        let other_auth = AuthSecret::from_bytes(&[2; 16]).unwrap();
        let token = macs.subscription_token(id, &auth);
        assert_eq!(token.expose(), macs.subscription_token(id, &auth).expose());
        assert!(macs.is_subscription_token(token.expose(), id, &auth));
        assert!(!macs.is_subscription_token(token.expose(), other_id, &auth));
        assert!(!macs.is_subscription_token(token.expose(), id, &other_auth));
        assert!(!macs.is_subscription_token("", id, &auth));
    }

    #[test]
    fn a_proof_has_a_fixed_width_and_fits_one_pair() {
        let macs = Macs::new(&MacSecrets::generate(&SystemRandomness));
        let message = MessageId::new(Timestamp::from_millis(1), &SystemRandomness);
        let id = SubscriptionId::new(Timestamp::from_millis(1), &SystemRandomness);
        let other = SubscriptionId::new(Timestamp::from_millis(1), &SystemRandomness);
        let proof = macs.receipt_proof(message, id);
        assert_eq!(proof.len(), PROOF_CHARACTERS);
        assert!(macs.is_receipt_proof(&proof, message, id));
        assert!(!macs.is_receipt_proof(&proof, message, other));
        assert!(!macs.is_receipt_proof("", message, id));
    }
}
