use std::str::FromStr;

use thiserror::Error;

/// How much a message is worth to the battery of the user agent's device.
///
/// Spec: RFC 8030 §5.3. A device that sleeps to save power is woken by `High` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// Wait for power and Wi-Fi.
    VeryLow,
    /// Wait for power or Wi-Fi.
    Low,
    /// Deliver unless the battery is low.
    #[default]
    Normal,
    /// Deliver even then: the user should see it now.
    High,
}

impl Urgency {
    /// All four, in rising order.
    ///
    /// Spec: RFC 8030 §5.3.
    pub const ALL: [Self; 4] = [Self::VeryLow, Self::Low, Self::Normal, Self::High];

    /// The name on the wire.
    ///
    /// Spec: RFC 8030 §5.3.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VeryLow => "very-low",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// Reads the `Urgency` header as a push service does: `Normal` if there is none, any case
    /// (RFC 5234 §2.3), one value only.
    pub fn parse_header(value: Option<&[u8]>) -> Result<Self, UrgencyError> {
        let Some(value) = value else {
            return Ok(Self::default());
        };
        Self::ALL
            .into_iter()
            .find(|urgency| urgency.as_str().as_bytes().eq_ignore_ascii_case(value))
            .ok_or(UrgencyError)
    }
}

impl FromStr for Urgency {
    type Err = UrgencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|urgency| urgency.as_str() == text)
            .ok_or(UrgencyError)
    }
}

/// The text is not the name of an urgency.
///
/// Spec: RFC 8030 §5.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an urgency: use very-low, low, normal or high")]
pub struct UrgencyError;
