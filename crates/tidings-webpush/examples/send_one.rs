//! Makes the request for one push message and prints it: sending is up to your HTTP client.
//!
//! `cargo run -p tidings-webpush --example send_one < subscription.json`

use std::error::Error;
use std::io::{self, Read as _};
use std::time::SystemTime;

use tidings_webpush::{
    Admission, Contact, ContentEncoding, FreshKeyPair, Padding, PushMessage, Subscription,
    SystemRandomness, TokenCache, Ttl, Urgency, VapidKey,
};

#[expect(
    clippy::disallowed_methods,
    reason = "a program reads the clock; the crate does not"
)]
#[expect(clippy::print_stdout, reason = "the request is this program's output")]
fn main() -> Result<(), Box<dyn Error>> {
    // What `JSON.stringify(subscription)` gave in the browser.
    let mut json = Vec::new();
    io::stdin().read_to_end(&mut json)?;
    let subscription = Subscription::from_json(&json)?;
    Admission::new().admit(&subscription.push_resource)?;

    // Keep this key: subscriptions are tied to the one that they were made with.
    let key = VapidKey::generate()?;
    let tokens = TokenCache::new(Some(Contact::parse("mailto:push@example.org")?));

    let payload = br#"{"title": "Parcel delivered"}"#;
    let payload = subscription.encrypt(
        ContentEncoding::Aes128gcm,
        payload,
        Padding::default(),
        &FreshKeyPair,
        &SystemRandomness,
    )?;
    let request = PushMessage {
        resource: &subscription.push_resource,
        payload: Some(payload),
        ttl: Ttl::from_secs(3600)?,
        urgency: Urgency::Normal,
        topic: None,
        authorization: tokens.authorization(
            &key,
            &subscription.push_resource,
            SystemTime::now(),
        )?,
    }
    .into_request()?;

    println!("{} {}", request.method(), request.uri());
    for (name, value) in request.headers() {
        println!("{name}: {}", value.to_str()?);
    }
    println!("\n({} octets)", request.body().len());
    Ok(())
}
