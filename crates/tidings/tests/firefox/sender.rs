//! A second application server with the keys of the first: it can send what Tidings never would.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use http::StatusCode;
use serde_json::Value;
use tidings_webpush::{
    AuthSecret, EncryptedPayload, FreshKeyPair, Padding, PushMessage, Randomness, Subscription,
    SystemRandomness, Ttl, Urgency, VapidKey, encrypt,
};

use crate::http::send;

/// Sends to one subscription.
pub(crate) struct Sender {
    vapid_key: VapidKey,
    subscription: Subscription,
}

impl Sender {
    /// `subscription` is what `PushSubscription.toJSON()` returns in the page, and `vapid_key` the
    /// one that it was made with.
    pub(crate) fn new(vapid_key: VapidKey, subscription: &Value) -> Result<Self> {
        let subscription = Subscription::from_json(subscription.to_string().as_bytes())?;
        Ok(Self {
            vapid_key,
            subscription,
        })
    }

    /// Sends a payload in order.
    pub(crate) async fn send(&self, payload: &str) -> Result<()> {
        self.post(self.encrypted(payload, &self.subscription.auth)?)
            .await
    }

    /// Sends a payload of whose ciphertext one bit is not as it was.
    pub(crate) async fn send_with_a_flipped_bit(&self, payload: &str) -> Result<()> {
        let mut body = self.encrypted(payload, &self.subscription.auth)?;
        // In the middle of the ciphertext: the header, 86 octets, and the tag stay what they were.
        let middle = usize::midpoint(86, body.len() - 16);
        body[middle] ^= 0b0001_0000;
        self.post(body).await
    }

    /// Sends a payload that was encrypted with another authentication secret.
    pub(crate) async fn send_with_another_auth(&self, payload: &str) -> Result<()> {
        let mut octets = [0; 16];
        SystemRandomness.fill(&mut octets);
        self.post(self.encrypted(payload, &AuthSecret::from_bytes(&octets)?)?)
            .await
    }

    fn encrypted(&self, payload: &str, auth: &AuthSecret) -> Result<Vec<u8>> {
        Ok(encrypt(
            &self.subscription.p256dh,
            auth,
            payload.as_bytes(),
            Padding::None,
            &FreshKeyPair,
            &SystemRandomness,
        )?)
    }

    async fn post(&self, body: Vec<u8>) -> Result<()> {
        let resource = &self.subscription.push_resource;
        #[expect(
            clippy::disallowed_methods,
            reason = "the push service compares with its own"
        )]
        let expires_at = SystemTime::now() + Duration::from_hours(1);
        let token = self.vapid_key.sign(resource.origin(), None, expires_at)?;
        let message = PushMessage {
            resource,
            payload: Some(EncryptedPayload::aes128gcm(body)),
            ttl: Ttl::from_secs(60)?,
            urgency: Urgency::default(),
            topic: None,
            authorization: token.authorization(),
        };
        let answer = send(message.into_request()?).await?;
        // A push service cannot look inside, so it takes all of these alike.
        ensure!(
            answer.status() == StatusCode::CREATED,
            "the push service said {answer:?}"
        );
        Ok(())
    }
}
