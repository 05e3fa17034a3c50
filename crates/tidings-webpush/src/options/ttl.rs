use thiserror::Error;

/// How long the push service keeps a message for a user agent that it cannot reach, in seconds.
///
/// 0 means: deliver now or drop.
///
/// Spec: RFC 8030 §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ttl {
    seconds: u32,
}

impl Ttl {
    /// The largest value, 2³¹ seconds: what a receiver makes of any number too large for it.
    ///
    /// Spec: RFC 8030 §5.2.
    pub const MAX: Self = Self { seconds: 1 << 31 };

    /// Takes 0 to 2³¹ seconds. Push services cut it, most of them at 28 or 30 days.
    ///
    /// Spec: RFC 8030 §5.2.
    pub fn from_secs(seconds: u32) -> Result<Self, TtlError> {
        if seconds > Self::MAX.seconds {
            Err(TtlError::TooLarge)
        } else {
            Ok(Self { seconds })
        }
    }

    /// Reads the `TTL` header as a push service does: required, digits only, and what does not
    /// fit counts as 2³¹.
    ///
    /// Spec: RFC 8030 §5.2.
    pub fn parse_header(value: Option<&[u8]>) -> Result<Self, TtlError> {
        let digits = value.ok_or(TtlError::Missing)?;
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(TtlError::NotANumber);
        }
        let seconds = digits.iter().fold(0_u32, |seconds, digit| {
            seconds
                .saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
        });
        Ok(Self {
            seconds: seconds.min(Self::MAX.seconds),
        })
    }

    /// The number of seconds.
    pub fn as_secs(self) -> u32 {
        self.seconds
    }
}

/// Why a TTL was refused.
///
/// Spec: RFC 8030 §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TtlError {
    /// More than 2³¹ seconds.
    #[error("more than 2147483648 seconds: push services keep nothing longer than about 28 days")]
    TooLarge,
    /// No `TTL` header.
    #[error("the TTL header is missing: every push message needs one")]
    Missing,
    /// Not a whole number of seconds.
    #[error("the TTL is not a whole number of seconds written in digits")]
    NotANumber,
}
