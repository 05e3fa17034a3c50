use std::fmt;

use tidings_webpush::Randomness;
use uuid::Uuid;

/// A user agent's id: 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Uaid {
    text: String,
}

impl Uaid {
    /// `None` for what this service would never have handed out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |octet: &u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.as_bytes().iter().all(is_digit)).then(|| Self {
            text: text.to_owned(),
        })
    }

    pub(crate) fn random(randomness: &dyn Randomness) -> Self {
        let mut octets = [0; 16];
        randomness.fill(&mut octets);
        Self {
            text: uuid::Builder::from_random_bytes(octets)
                .into_uuid()
                .simple()
                .to_string(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// A subscription's id, chosen by the user agent: a UUID, on the wire lower-case with dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChannelId {
    uuid: Uuid,
}

impl ChannelId {
    /// `None` unless it is spelled as user agents must spell it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uuid = Uuid::try_parse(text).ok()?;
        (uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text)
            .then_some(Self { uuid })
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.hyphenated().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_with_dashes_is_a_channel_id() {
        let good = "b1b7d1b7-6d9f-4f6b-9a58-9e8a5a6b1c11";
        assert_eq!(ChannelId::parse(good).unwrap().to_string(), good);
        let urn = format!("urn:uuid:{good}");
        for bad in [
            &good.to_uppercase(),
            &good.replace('-', ""),
            &urn,
            "",
            "b1b7",
        ] {
            assert!(ChannelId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_32_lower_case_hex_digits_are_a_uaid() {
        assert!(Uaid::parse("01234567abcdabcdabcd01234567abcd").is_some());
        for bad in [
            "",
            "01234567ABCDABCDABCD01234567ABCD",
            "01234567-abcd-abcd-abcd-01234567abcd",
        ] {
            assert!(Uaid::parse(bad).is_none(), "{bad}");
        }
    }
}
