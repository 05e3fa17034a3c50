//! Bodies in `aes128gcm`. Even first octet: the rest is a body. Odd: the rest is what a sender
//! sealed, delimiter and padding included.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidings_fuzz::{Receiver, decode};
use tidings_webpush::{DecryptStage, decrypt};

static RECEIVER: LazyLock<Receiver> = LazyLock::new(Receiver::of_rfc_8291);

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    if mode % 2 == 0 {
        let _ = decrypt(&RECEIVER.keys, rest);
        return;
    }
    let salt: [u8; 16] = decode("DGv6ra1nlYgDCS1FRnbzlw");
    let sender: [u8; 65] = decode(
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
    );
    let mut body = [&salt[..], &u32::MAX.to_be_bytes(), &[65], &sender].concat();
    body.extend(RECEIVER.seal(0, rest));
    match decrypt(&RECEIVER.keys, &body) {
        Ok(plaintext) => {
            let padding = rest
                .strip_prefix(&*plaintext)
                .and_then(|rest| rest.strip_prefix(&[2]))
                .expect("plaintext, delimiter, padding");
            assert!(padding.iter().all(|octet| *octet == 0));
        }
        Err(error) if rest.is_empty() => assert_eq!(error.stage(), DecryptStage::Decrypt),
        Err(error) => assert_eq!(error.stage(), DecryptStage::Padding, "{error}"),
    }
});
