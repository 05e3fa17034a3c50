use tidings_webpush::{
    AuthSecret, ContentEncoding, FreshKeyPair, Padding, PushResource, Subscription,
    SystemRandomness, UserAgentKeys, aesgcm, decrypt,
};

#[test]
fn the_old_encoding_is_chosen_only_where_the_new_one_is_not_listed() {
    const NEW: Option<ContentEncoding> = Some(ContentEncoding::Aes128gcm);
    const OLD: Option<ContentEncoding> = Some(ContentEncoding::Aesgcm);
    let cases: [(&[&str], Option<ContentEncoding>); 8] = [
        (&["aes128gcm"], NEW),
        (&["aes128gcm", "aesgcm"], NEW),
        (&["aesgcm", "aes128gcm"], NEW),
        (&["aesgcm"], OLD),
        (&["aesgcm128", "aesgcm"], OLD),
        (&["aesgcm128"], None),
        (&["AES128GCM", "aesgem"], None),
        (&[], None),
    ];
    for (supported, expected) in cases {
        assert_eq!(
            ContentEncoding::choose(supported),
            expected,
            "{supported:?}"
        );
    }
    assert_eq!(ContentEncoding::choose(&["aesgcm".to_owned()]), OLD);
}

#[test]
fn names_print_what_they_were_parsed_from() {
    for encoding in [ContentEncoding::Aes128gcm, ContentEncoding::Aesgcm] {
        assert_eq!(encoding.as_str().parse(), Ok(encoding));
    }
    for other in ["", "aesgem", "aesgcm128", "AESGCM", "gzip"] {
        assert!(other.parse::<ContentEncoding>().is_err(), "{other:?}");
    }
}

#[test]
fn a_subscription_is_sent_to_in_either_encoding() {
    let auth = AuthSecret::from_bytes(&[7; 16]).unwrap();
    let keys = UserAgentKeys::from_parts(&[9; 32], auth).unwrap();
    let subscription = Subscription {
        push_resource: PushResource::parse("https://push.example.net/x").unwrap(),
        p256dh: keys.public_key().clone(),
        auth: keys.auth().clone(),
    };
    for encoding in [ContentEncoding::Aes128gcm, ContentEncoding::Aesgcm] {
        let payload = subscription
            .encrypt(
                encoding,
                b"hello",
                Padding::default(),
                &FreshKeyPair,
                &SystemRandomness,
            )
            .unwrap();
        assert_eq!(payload.content_encoding(), encoding);
        let opened = match payload.encryption().zip(payload.crypto_key()) {
            None => decrypt(&keys, payload.body()),
            Some((encryption, crypto_key)) => {
                let parameters = aesgcm::Parameters::parse(encryption, crypto_key).unwrap();
                aesgcm::decrypt(&keys, &parameters, payload.body())
            }
        };
        assert_eq!(opened.as_deref(), Ok(&b"hello"[..]));
        let has_headers = encoding == ContentEncoding::Aesgcm;
        assert_eq!(payload.encryption().is_some(), has_headers);
    }
}
