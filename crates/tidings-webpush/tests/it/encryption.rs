use std::num::NonZeroU16;

use serde_json::Value;
use tidings_webpush::danger::{FixedKeyPair, FixedRandomness};
use tidings_webpush::{
    AuthSecret, DecryptError, EncryptError, FreshKeyPair, MAX_BODY_BYTES, MAX_PLAINTEXT_BYTES,
    Padding, SystemRandomness, UserAgentKeys, decrypt, encrypt,
};

use crate::vectors::{
    array, auth, cases, load, number, octets, text, user_agent, user_agent_public,
};

/// Octets of everything but plaintext and padding.
const OVERHEAD: usize = 103;

/// The record size that this crate announces, as the vectors do unless they are about it.
const RECORD_SIZE: usize = 4096;

/// Encrypts with the sender key and salt of a vector.
fn encrypt_case(case: &Value, plaintext: &[u8], padding: Padding) -> Vec<u8> {
    encrypt(
        &user_agent_public(case),
        &auth(case),
        plaintext,
        padding,
        &FixedKeyPair::from_private(&array(case, "as_private")).unwrap(),
        &FixedRandomness::new(array(case, "salt")),
    )
    .unwrap()
}

/// The padding rule that adds exactly `padding` octets to a plaintext of `length` octets.
fn padding_of(length: usize, padding: usize) -> Padding {
    match length + padding {
        _ if padding == 0 => Padding::None,
        MAX_PLAINTEXT_BYTES => Padding::Full,
        padded => multiple(u16::try_from(padded).unwrap()),
    }
}

fn multiple(step: u16) -> Padding {
    Padding::ToMultipleOf(NonZeroU16::new(step).unwrap())
}

fn receiver() -> UserAgentKeys {
    UserAgentKeys::generate(&SystemRandomness).unwrap()
}

fn encrypt_fresh(keys: &UserAgentKeys, plaintext: &[u8], padding: Padding) -> Vec<u8> {
    encrypt(
        keys.public_key(),
        keys.auth(),
        plaintext,
        padding,
        &FreshKeyPair,
        &SystemRandomness,
    )
    .unwrap()
}

#[test]
fn rfc_8291_example_is_reproduced_octet_for_octet() {
    let case = load("rfc8291-appendix-a.json");
    let body = encrypt_case(
        &case,
        text(&case, "plaintext_utf8").as_bytes(),
        Padding::None,
    );
    assert_eq!(body, octets(&case, "body"));
    assert_eq!(
        decrypt(&user_agent(&case), &body).unwrap(),
        octets(&case, "plaintext")
    );
    assert_eq!(user_agent(&case).public_key(), &user_agent_public(&case));
}

#[test]
fn edge_messages_are_reproduced_octet_for_octet() {
    let vectors = load("edge-aes128gcm.json");
    let mut reproduced = 0;
    for case in cases(&vectors, "ok") {
        let id = text(case, "id");
        let plaintext = octets(case, "plaintext");
        // Two vectors announce another record size, which this sender never does.
        if number(case, "rs") != RECORD_SIZE {
            continue;
        }
        let padding = padding_of(plaintext.len(), number(case, "pad"));
        let body = encrypt_case(case, &plaintext, padding);
        assert_eq!(body.len(), number(case, "body_length"), "{id}");
        assert_eq!(body, octets(case, "body"), "{id}");
        reproduced += 1;
    }
    assert_eq!(reproduced, 8);
}

#[test]
fn edge_messages_are_opened() {
    let vectors = load("edge-aes128gcm.json");
    for case in cases(&vectors, "ok") {
        let opened = decrypt(&user_agent(case), &octets(case, "body"));
        assert_eq!(
            opened,
            Ok(octets(case, "plaintext")),
            "{}",
            text(case, "id")
        );
    }
}

#[test]
fn broken_messages_are_refused_at_the_stage_where_they_break() {
    let vectors = load("edge-aes128gcm.json");
    for case in cases(&vectors, "fail") {
        let error = decrypt(&user_agent(case), &octets(case, "body")).unwrap_err();
        let id = text(case, "id");
        assert_eq!(
            error.stage().as_str(),
            text(case, "fails_at"),
            "{id}: {error}"
        );
    }
}

/// The lists `ikm_…` are about keys without Diffie-Hellman, which Web Push does not have.
#[test]
fn ecec_messages_of_one_record_are_opened_and_longer_ones_refused() {
    let vectors = load("ecec-aes128gcm.json");
    for case in cases(&vectors, "webpush_decrypt_ok") {
        let opened = decrypt(&user_agent(case), &octets(case, "body"));
        let expected = match number(case, "records") {
            1 => Ok(text(case, "plaintext_utf8").as_bytes().to_vec()),
            _ => Err(DecryptError::ManyRecords),
        };
        assert_eq!(opened, expected, "{}", text(case, "desc"));
    }
}

#[test]
fn ecec_broken_messages_are_refused() {
    let vectors = load("ecec-aes128gcm.json");
    for case in cases(&vectors, "webpush_decrypt_fail") {
        let name = text(case, "desc");
        let error = decrypt(&user_agent(case), &octets(case, "body")).unwrap_err();
        let expected = match text(&case["error"], "code") {
            "SHORT_HEADER" => DecryptError::Truncated { got: 18 },
            // The library reads a key id of any length; for a strict receiver it is not one.
            "COMPUTE_SECRET" => DecryptError::KeyIdLength { got: 1 },
            // Two records each, which a strict receiver does not begin to decrypt.
            "DECRYPT" | "DECRYPT_PADDING" => DecryptError::ManyRecords,
            other => panic!("{name}: no expectation for {other}"),
        };
        assert_eq!(error, expected, "{name}");
    }
}

/// The other two entries of the list spread padding over many records.
#[test]
fn ecec_message_of_one_record_is_reproduced() {
    let vectors = load("ecec-aes128gcm.json");
    let mut reproduced = 0;
    for case in cases(&vectors, "webpush_encrypt") {
        if number(case, "records") == 1 {
            let plaintext = text(case, "plaintext_utf8").as_bytes();
            let body = encrypt_case(case, plaintext, Padding::None);
            assert_eq!(body, octets(case, "body"), "{}", text(case, "desc"));
            reproduced += 1;
        }
    }
    assert_eq!(reproduced, 1);
}

#[test]
fn padding_fills_up_to_the_step_and_stops_at_the_limits() {
    // Plaintext length, padding, length of plaintext and padding together.
    let cases = [
        (0, Padding::None, 0),
        (100, Padding::None, 100),
        (3993, Padding::None, 3993),
        (0, multiple(128), 0),
        (1, multiple(128), 128),
        (128, multiple(128), 128),
        (129, multiple(128), 256),
        // 2641 octets are a body of 2744, the most that Firefox for Android receives.
        (2600, multiple(128), 2641),
        (2641, multiple(128), 2641),
        (2642, multiple(128), 2688),
        (3990, multiple(128), 3993),
        (3993, multiple(128), 3993),
        (5, multiple(u16::MAX), 2641),
        (2642, multiple(u16::MAX), 3993),
        (5, multiple(1), 5),
        (0, Padding::Full, 3993),
        (3993, Padding::Full, 3993),
    ];
    let keys = receiver();
    for (length, padding, padded) in cases {
        let body = encrypt_fresh(&keys, &vec![b'x'; length], padding);
        assert_eq!(
            body.len(),
            padded + OVERHEAD,
            "{length} octets, {padding:?}"
        );
    }
}

#[test]
fn every_length_comes_back_under_every_padding() {
    let keys = receiver();
    for length in 0..=MAX_PLAINTEXT_BYTES {
        // Ends in what padding looks like, so that removing too much shows.
        let mut plaintext = vec![0x5a; length];
        plaintext
            .iter_mut()
            .rev()
            .take(3)
            .for_each(|octet| *octet = 0);
        plaintext
            .iter_mut()
            .rev()
            .skip(1)
            .take(1)
            .for_each(|octet| *octet = 2);
        for padding in [Padding::None, multiple(128), multiple(1000), Padding::Full] {
            let body = encrypt_fresh(&keys, &plaintext, padding);
            assert!(body.len() <= MAX_BODY_BYTES, "{length} octets, {padding:?}");
            let opened = decrypt(&keys, &body);
            assert_eq!(
                opened.as_ref(),
                Ok(&plaintext),
                "{length} octets, {padding:?}"
            );
        }
    }
}

#[test]
fn a_plaintext_over_the_limit_is_refused() {
    let keys = receiver();
    let result = encrypt(
        keys.public_key(),
        keys.auth(),
        &[0; MAX_PLAINTEXT_BYTES + 1],
        Padding::None,
        &FreshKeyPair,
        &SystemRandomness,
    );
    assert_eq!(
        result,
        Err(EncryptError::TooLong {
            got: 3994,
            limit: 3993
        })
    );
}

#[test]
fn each_message_has_a_salt_and_a_sender_key_of_its_own() {
    let keys = receiver();
    let first = encrypt_fresh(&keys, b"same", Padding::None);
    let second = encrypt_fresh(&keys, b"same", Padding::None);
    assert_ne!(first[..16], second[..16], "salt");
    assert_ne!(first[21..86], second[21..86], "sender key");
    assert_ne!(first[86..], second[86..], "ciphertext");
    assert_eq!(
        first[16..21],
        second[16..21],
        "record size and length of the key id"
    );
}

#[test]
fn a_message_is_allocated_once_and_exactly() {
    let body = encrypt_fresh(&receiver(), &[7; 200], multiple(128));
    assert_eq!(body.capacity(), body.len());
}

#[test]
fn a_change_of_any_octet_is_noticed() {
    let keys = receiver();
    let body = encrypt_fresh(&keys, b"hello", Padding::None);
    for position in 0..body.len() {
        let mut changed = body.clone();
        changed[position] ^= 0x80;
        let result = decrypt(&keys, &changed);
        // A larger record size means the same for a message of one record.
        let is_record_size = (16..20).contains(&position);
        assert!(result.is_err() || is_record_size, "octet {position}");
    }
}

#[test]
fn private_scalars_outside_the_group_are_refused() {
    let order = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
    let order: [u8; 32] = crate::vectors::decode(order).try_into().unwrap();
    for scalar in [[0; 32], order, [0xff; 32]] {
        let auth = AuthSecret::from_bytes(&[1; 16]).unwrap();
        assert!(UserAgentKeys::from_parts(&scalar, auth).is_err());
        assert!(FixedKeyPair::from_private(&scalar).is_err());
    }
}

#[test]
fn randomness_that_gives_no_key_is_reported_and_not_waited_for() {
    assert!(UserAgentKeys::generate(&FixedRandomness::new([0; 16])).is_err());
}
