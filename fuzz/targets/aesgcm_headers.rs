//! `Encryption` and `Crypto-Key`, one in each line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_webpush::aesgcm::Parameters;

fuzz_target!(|input: &str| {
    let (encryption, crypto_key) = input.split_once('\n').unwrap_or((input, ""));
    if let Ok(parameters) = Parameters::parse(encryption, crypto_key) {
        assert!(parameters.record_size() > 2);
        // Whatever was accepted consists of what it claims to.
        assert!(encryption.to_ascii_lowercase().contains("salt"));
        assert!(crypto_key.to_ascii_lowercase().contains("dh"));
    }
});
