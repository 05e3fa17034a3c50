//! Which messages were accepted before, so that a repeated one is noticed.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;

use crate::inbox::ReceiverId;

const SHARDS: usize = 64;

/// How many fingerprints a shard keeps before the older half is forgotten; 64 shards remember at
/// least four million messages in at most 150 MB, and grow with what is sent.
const SHARD_GENERATION: usize = 65_536;

/// A set of (subscription, content) with a bounded memory.
///
/// Each is kept as 64 bits of a SHA-256: among a million messages, one is wrongly called a
/// duplicate with a probability of about 3 in 100 million.
pub(crate) struct Fingerprints {
    /// Fingerprints in one generation of a shard.
    generation: usize,
    shards: [Mutex<Generations>; SHARDS],
}

#[derive(Default)]
struct Generations {
    current: HashSet<u64, BuildHasherDefault<AlreadyHashed>>,
    previous: HashSet<u64, BuildHasherDefault<AlreadyHashed>>,
}

impl Fingerprints {
    pub(crate) fn new() -> Self {
        Self::with_generation(SHARD_GENERATION)
    }

    fn with_generation(generation: usize) -> Self {
        Self {
            generation,
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Remembers the content; true if the receiver had it before.
    pub(crate) fn was_known(&self, receiver: ReceiverId, content: &[u8]) -> bool {
        let fingerprint = fingerprint(receiver, content);
        let shard = usize::try_from(fingerprint % SHARDS as u64).ok();
        let Some(shard) = shard.and_then(|shard| self.shards.get(shard)) else {
            return false;
        };
        let mut generations = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.current.len() >= self.generation {
            generations.previous = mem::take(&mut generations.current);
        }
        !generations.current.insert(fingerprint) || generations.previous.contains(&fingerprint)
    }
}

fn fingerprint(receiver: ReceiverId, content: &[u8]) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&receiver.octets());
    context.update(content);
    let digest = context.finish();
    digest
        .as_ref()
        .first_chunk()
        .map_or(0, |octets| u64::from_be_bytes(*octets))
}

/// Takes eight octets of a SHA-256 as they are.
#[derive(Default)]
struct AlreadyHashed {
    value: u64,
}

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        // The shard is chosen by the low bits, so within one they are all alike.
        self.value.rotate_right(6)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.value = self.value.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.value = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_known_for_the_same_receiver_only() {
        let fingerprints = Fingerprints::new();
        assert!(!fingerprints.was_known(ReceiverId::Virtual(1), b"a"));
        assert!(!fingerprints.was_known(ReceiverId::Virtual(2), b"a"));
        assert!(!fingerprints.was_known(ReceiverId::Virtual(1), b"b"));
        assert!(fingerprints.was_known(ReceiverId::Virtual(1), b"a"));
    }

    #[test]
    fn a_full_generation_is_remembered_until_the_next_is_full() {
        let fingerprints = Fingerprints::with_generation(8);
        let fill = |indices: std::ops::Range<u32>| {
            for index in indices {
                fingerprints.was_known(ReceiverId::Virtual(index), b"");
            }
        };
        let remembered = || {
            let shards = fingerprints
                .shards
                .iter()
                .map(|shard| shard.lock().unwrap());
            shards
                .map(|shard| shard.current.len() + shard.previous.len())
                .sum::<usize>()
        };
        fill(0..256);
        assert_eq!(remembered(), 256, "half a generation was not kept whole");
        fill(256..10_000);
        assert!((8 * SHARDS..=16 * SHARDS).contains(&remembered()));
        assert!(fingerprints.was_known(ReceiverId::Virtual(9_999), b""));
        assert!(!fingerprints.was_known(ReceiverId::Virtual(0), b""));
    }
}
