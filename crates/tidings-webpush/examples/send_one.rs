//! Prints the request of one push message; sending it is up to your HTTP client.
//! `cargo run -p tidings-webpush --example send_one < subscription.json`

use tidings_webpush as push;

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What `JSON.stringify(subscription)` gave in the browser.
    let json = std::io::read_to_string(std::io::stdin())?;
    let subscription = push::Subscription::from_json(json.as_bytes())?;
    let resource = &subscription.push_resource;
    push::Admission::new().admit(resource)?;

    // Keep this key: subscriptions are tied to the one that they were made with.
    let key = push::VapidKey::generate()?;
    let tokens = push::TokenCache::new(Some(push::Contact::parse("mailto:push@example.org")?));

    let payload = subscription.encrypt(
        push::ContentEncoding::Aes128gcm,
        b"Your parcel is here",
        push::Padding::default(),
        &push::FreshKeyPair,
        &push::SystemRandomness,
    )?;
    let authorization = tokens.authorization(&key, resource, std::time::SystemTime::now())?;
    let message = push::PushMessage {
        resource,
        payload: Some(payload),
        ttl: push::Ttl::from_secs(3600)?,
        urgency: push::Urgency::Normal,
        topic: None,
        authorization,
    };
    // Give the answer to it to `interpret`.
    println!("{:?}", message.into_request()?);
    Ok(())
}
