//! What a stranger hands in as the result of `PushSubscription.toJSON()`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_webpush::{Admission, PushResource, Subscription};

fuzz_target!(|input: &[u8]| {
    let subscription = match Subscription::from_json(input) {
        Ok(subscription) => subscription,
        Err(error) => {
            assert!(error.to_string().starts_with(error.member()));
            return;
        }
    };
    let resource = &subscription.push_resource;
    assert_eq!(
        PushResource::parse(resource.expose()).as_ref(),
        Ok(resource),
        "printed and parsed again"
    );
    let uri: http::Uri = resource
        .expose()
        .parse()
        .expect("it must be possible to request it");
    assert_eq!(uri, resource.expose());
    if Admission::new().admit(resource).is_ok() {
        assert!(resource.scheme_is_https() && resource.port() == 443);
    }
});
