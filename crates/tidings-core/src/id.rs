//! Identifiers: UUIDv7 values with a prefix that says what they name.

use std::fmt;
use std::str::FromStr;

use tidings_webpush::Randomness;
use uuid::Uuid;

use crate::clock::Timestamp;

/// Text that is not an identifier of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of this kind: expected `{prefix}` and 32 hexadecimal digits")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        ///
        #[doc = concat!("On the wire: `", $prefix, "` and 32 lower-case hexadecimal digits.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier; later ones sort after it (UUIDv7, RFC 9562 §5.7).
            pub fn new(now: Timestamp, randomness: &dyn Randomness) -> Self {
                Self(new_uuid(now, randomness))
            }

            /// From the 16 octets a store keeps.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 octets a store keeps.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid(text, $prefix).map(Self)
            }
        }
    };
}

identifier!(
    /// Names a subscription.
    SubscriptionId,
    "sub_"
);
identifier!(
    /// Names a message.
    MessageId,
    "msg_"
);
identifier!(
    /// Names a VAPID key.
    VapidKeyId,
    "key_"
);
identifier!(
    /// Names an API token. It is no secret.
    ApiTokenId,
    "tok_"
);

fn new_uuid(now: Timestamp, randomness: &dyn Randomness) -> Uuid {
    let mut random = [0; 10];
    randomness.fill(&mut random);
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}

fn parse_uuid(text: &str, prefix: &'static str) -> Result<Uuid, IdError> {
    let digits = text.strip_prefix(prefix).filter(|digits| {
        digits.len() == 32
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    digits
        .and_then(|digits| Uuid::try_parse(digits).ok())
        .ok_or(IdError { prefix })
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;

    #[test]
    fn prints_and_reads_its_wire_form() {
        let id = SubscriptionId::new(Timestamp::from_millis(1_764_000_000_123), &SystemRandomness);
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(SubscriptionId::from_bytes(*id.as_bytes()), id);
    }

    #[test]
    fn refuses_other_kinds_and_other_spellings() {
        let id = MessageId::new(Timestamp::from_millis(1), &SystemRandomness).to_string();
        assert!(id.parse::<SubscriptionId>().is_err());
        assert!(id.to_uppercase().parse::<MessageId>().is_err());
        assert!("msg_".parse::<MessageId>().is_err());
        assert!(
            "msg_0198c5a0-0000-7000-8000-000000000000"
                .parse::<MessageId>()
                .is_err()
        );
    }

    #[test]
    fn later_ids_sort_later() {
        let earlier = MessageId::new(Timestamp::from_millis(1_000), &SystemRandomness);
        let later = MessageId::new(Timestamp::from_millis(1_001), &SystemRandomness);
        assert!(earlier < later);
        assert!(earlier.to_string() < later.to_string());
    }
}
