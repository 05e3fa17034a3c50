//! What tests of Tidings share: a clock they set, randomness they can repeat, entities that are
//! valid without ado.
//!
//! Only ever a development dependency: nothing here is fit to guard a secret.

#![expect(
    clippy::expect_used,
    reason = "test code: what cannot be made here is a mistake in the test"
)]

mod entities;
mod fixed_clock;
mod seeded_randomness;

pub use crate::entities::Entities;
pub use crate::fixed_clock::FixedClock;
pub use crate::seeded_randomness::SeededRandomness;
