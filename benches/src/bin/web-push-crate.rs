//! The crate `web-push` as a sender, by the ways that its documentation shows.

use std::fs::File;

use futures_util::{StreamExt as _, stream};
use hyper::client::HttpConnector;
use hyper_tls::HttpsConnector;
use tidings_benches::job::{self, Job, Outcome};
use tidings_benches::{Error, Result};
use web_push::{
    ContentEncoding, HyperWebPushClient, IsahcWebPushClient, SubscriptionInfo, VapidSignature,
    VapidSignatureBuilder, WebPushClient, WebPushMessage, WebPushMessageBuilder,
};

fn main() -> Result<()> {
    let job = Job::from_arguments()?;
    let way = std::env::args().nth(2);
    let way = way.ok_or("say how to send: readme, isahc or hyper")?;
    let sender = Sender {
        subscriptions: job.subscriptions(|subscription| {
            let keys = subscription.keys;
            Ok(SubscriptionInfo::new(
                subscription.endpoint,
                keys.p256dh,
                keys.auth,
            ))
        })?,
        job,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    job::wait_for_the_start()?;
    let outcome = runtime.block_on(async {
        match way.as_str() {
            "readme" => sender.one_by_one().await,
            "isahc" => {
                let client = isahc::HttpClient::builder()
                    .max_connections_per_host(sender.job.connections)
                    .build()?;
                sender.many_at_once(&IsahcWebPushClient::from(client)).await
            }
            "hyper" => {
                let client = hyper::Client::builder()
                    .pool_max_idle_per_host(sender.job.in_flight)
                    .build::<_, hyper::Body>(HttpsConnector::<HttpConnector>::new());
                sender.many_at_once(&HyperWebPushClient::from(client)).await
            }
            other => Err(format!("there is no way called {other}").into()),
        }
    })?;
    outcome.tell()
}

struct Sender {
    job: Job,
    subscriptions: Vec<SubscriptionInfo>,
}

impl Sender {
    /// As the README has it: the key is read from its file and a token signed for each message.
    async fn one_by_one(&self) -> Result<Outcome> {
        let client = IsahcWebPushClient::new()?;
        let mut outcome = Outcome::default();
        for subscription in &self.subscriptions {
            let signature = self.sign(subscription)?;
            let message = self.message(subscription, signature)?;
            outcome.count(client.send(message).await);
        }
        Ok(outcome)
    }

    /// One client, whose clones share its connections, and one token for the push service.
    async fn many_at_once(&self, client: &impl WebPushClient) -> Result<Outcome> {
        let first = self.subscriptions.first().ok_or("nobody to send to")?;
        let signature = self.sign(first)?;
        let send = |subscription| {
            let message = self.message(subscription, signature.clone());
            async move { Ok::<_, Error>(client.send(message?).await?) }
        };
        let mut results = stream::iter(&self.subscriptions)
            .map(send)
            .buffer_unordered(self.job.in_flight);
        let mut outcome = Outcome::default();
        while let Some(result) = results.next().await {
            outcome.count(result);
        }
        Ok(outcome)
    }

    fn sign(&self, subscription: &SubscriptionInfo) -> Result<VapidSignature> {
        let file = File::open(&self.job.private_key_file)?;
        let mut builder = VapidSignatureBuilder::from_pem(file, subscription)?;
        // The crate leaves the port out of the audience that it finds by itself.
        builder.add_claim("aud", self.job.audience.as_str());
        builder.add_claim("sub", self.job.contact.as_str());
        Ok(builder.build()?)
    }

    fn message(
        &self,
        subscription: &SubscriptionInfo,
        signature: VapidSignature,
    ) -> Result<WebPushMessage> {
        let mut builder = WebPushMessageBuilder::new(subscription);
        builder.set_payload(ContentEncoding::Aes128Gcm, self.job.payload.as_bytes());
        builder.set_ttl(self.job.ttl);
        builder.set_vapid_signature(signature);
        Ok(builder.build()?)
    }
}
