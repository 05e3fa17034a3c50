//! Repeatable chance: what is drawn follows from a seed and from what it is drawn for.
//!
//! Not from the order of requests, which no two runs share. So a test can know beforehand whom a
//! fault will meet.

use std::hash::Hasher as _;

/// How far the 99th of a hundred is above the median of a normal distribution, in deviations.
const P99_DEVIATIONS: f64 = 2.326_347_874_040_841;

/// 2⁻⁵³: what a draw of 53 bits is divided by.
const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;

/// A source of draws for one purpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    state: u64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// The draws for this thing, independent of those for any other.
    pub(crate) fn of(self, thing: u64) -> Self {
        Self {
            state: mix(self.state ^ mix(thing.wrapping_add(0x9e37_79b9_7f4a_7c15))),
        }
    }

    /// Evenly from 0 (may be) to 1 (never is).
    pub(crate) fn unit(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 bits are what a float holds exactly"
        )]
        let high = (self.state >> 11) as f64;
        high * STEP
    }

    /// Log-normally, with this median and 99th percentile.
    pub(crate) fn log_normal(self, p50: f64, p99: f64) -> f64 {
        // Box and Muller; 1 - u is never 0.
        let radius = (-2.0 * (1.0 - self.of(1).unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.of(2).unit()).cos();
        p50 * ((p99 / p50).ln() / P99_DEVIATIONS * normal).exp()
    }
}

/// What to draw for, where there is only a text. The same in every run.
pub(crate) fn thing(text: &str) -> u64 {
    #[expect(
        deprecated,
        reason = "unlike its successor it is the same in every run"
    )]
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The last step of `SplitMix64`: every bit in depends on every bit out.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_from_seed_and_thing() {
        let draw = |seed, thing| Draw::new(seed).of(thing).unit();
        assert!((draw(1, 2) - draw(1, 2)).abs() < f64::EPSILON);
        assert!((draw(1, 2) - draw(1, 3)).abs() > f64::EPSILON);
        assert!((draw(1, 2) - draw(2, 2)).abs() > f64::EPSILON);
    }

    #[test]
    fn draws_are_even() {
        let below = |limit: f64| {
            let draw = Draw::new(7);
            (0..100_000)
                .filter(|thing| draw.of(*thing).unit() < limit)
                .count()
        };
        for (limit, expected) in [(0.01, 1_000), (0.1, 10_000), (0.5, 50_000)] {
            let got = below(limit);
            let near = expected - expected / 10..expected + expected / 10;
            assert!(near.contains(&got), "{got} below {limit}");
        }
    }

    #[test]
    fn log_normal_draws_have_their_percentiles() {
        let draw = Draw::new(7);
        let below = |limit: f64| {
            (0..100_000)
                .filter(|thing| draw.of(*thing).log_normal(50.0, 400.0) < limit)
                .count()
        };
        assert!((49_000..51_000).contains(&below(50.0)));
        assert!((98_800..99_200).contains(&below(400.0)));
    }
}
