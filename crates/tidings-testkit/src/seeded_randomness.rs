use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tidings_webpush::Randomness;

/// Octets that look random and are the same in every run with the same seed.
///
/// Each block of 32 octets is SHA-256 over the seed and a counter. Where several threads draw, who
/// gets which block depends on the scheduler.
#[derive(Debug)]
pub struct SeededRandomness {
    seed: u64,
    blocks_drawn: AtomicU64,
}

impl SeededRandomness {
    /// A source that begins at the start of the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            blocks_drawn: AtomicU64::new(0),
        }
    }

    /// The next octets, as many as the array has.
    pub fn octets<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }

    fn block(&self) -> [u8; SHA256_OUTPUT_LEN] {
        let number = self.blocks_drawn.fetch_add(1, Ordering::Relaxed);
        let input = [self.seed.to_be_bytes(), number.to_be_bytes()].concat();
        digest(&SHA256, &input)
            .as_ref()
            .try_into()
            .expect("SHA-256 makes 32 octets")
    }
}

impl Default for SeededRandomness {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(SHA256_OUTPUT_LEN) {
            for (octet, random) in chunk.iter_mut().zip(self.block()) {
                *octet = random;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_itself_with_the_same_seed_only() {
        let first = SeededRandomness::new(1);
        let again = SeededRandomness::new(1);
        let other = SeededRandomness::new(2);
        let drawn: [u8; 100] = first.octets();
        assert_eq!(drawn, again.octets());
        assert_ne!(drawn, other.octets());
        assert_ne!(drawn, first.octets(), "a second draw goes on");
    }
}
