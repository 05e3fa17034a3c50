//! Key files in every form. A key that is read must come back from every form it is written in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_webpush::VapidKey;

fuzz_target!(|input: &[u8]| {
    let Ok(key) = VapidKey::from_key_file(input) else {
        return;
    };
    let texts = [
        key.to_pkcs8_pem(),
        key.to_sec1_pem(),
        key.to_jwk(),
        key.to_raw_base64url(),
    ];
    let files = texts.iter().map(|text| text.as_bytes());
    let (pkcs8, sec1) = (key.to_pkcs8_der(), key.to_sec1_der());
    for file in files.chain([&**pkcs8, &**sec1]) {
        let again = VapidKey::from_key_file(file).expect("what was written");
        assert_eq!(again.public_key(), key.public_key());
    }
});
