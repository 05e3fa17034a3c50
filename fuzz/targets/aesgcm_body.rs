//! Bodies in `aesgcm`: two octets of record size, then what a sender sealed, lengths of the
//! padding included.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidings_fuzz::Receiver;
use tidings_webpush::aesgcm::{Parameters, decrypt};

static RECEIVER: LazyLock<Receiver> = LazyLock::new(Receiver::of_the_draft);

const CRYPTO_KEY: &str =
    "dh=BNoRDbb84JGm8g5Z5CFxurSqsXWJ11ItfXEWYVLE85Y7CYkDjXsIEc4aqxYaQ1G8BqkXCJ6DPpDrWtdWj_mugHU";

fuzz_target!(|input: &[u8]| {
    let Some((record_size, sealed)) = input.split_first_chunk() else {
        return;
    };
    let record_size = u16::from_be_bytes(*record_size);
    let encryption = format!("salt=lngarbyKfMoi9Z75xYXmkg;rs={record_size}");
    let Ok(parameters) = Parameters::parse(&encryption, CRYPTO_KEY) else {
        assert!(record_size < 3);
        return;
    };
    let _ = decrypt(&RECEIVER.keys, &parameters, sealed);

    let mut body = Vec::new();
    for (number, record) in (0..).zip(sealed.chunks(usize::from(record_size))) {
        body.extend(RECEIVER.seal(number, record));
    }
    if let Ok(plaintext) = decrypt(&RECEIVER.keys, &parameters, &body) {
        assert!(plaintext.len() < sealed.len());
    }
});
