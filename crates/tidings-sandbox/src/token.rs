//! The secret part of an endpoint, which names its subscription.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_webpush::Randomness;

const CHANNEL_BYTES: usize = 24;
const INDEX_BYTES: usize = 4;
const MAC_BYTES: usize = 32;

/// What the text at the end of an endpoint says, before it was found to be true.
///
/// Both lengths are multiples of three octets, so each token has exactly one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// 192 random bits: a channel that a user agent registered.
    Channel(ChannelToken),
    /// The number of a virtual user agent, and the MAC that makes it unguessable.
    Virtual {
        /// Which one.
        index: u32,
        /// HMAC-SHA-256 over it.
        mac: [u8; MAC_BYTES],
    },
}

impl Token {
    /// Reads the text; `None` if no token looks like this.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; INDEX_BYTES + MAC_BYTES + 3];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut octets).ok()?;
        let octets = octets.get(..length)?;
        if let Ok(token) = octets.try_into() {
            return Some(Self::Channel(ChannelToken { octets: token }));
        }
        let (index, mac) = octets.split_first_chunk::<INDEX_BYTES>()?;
        Some(Self::Virtual {
            index: u32::from_be_bytes(*index),
            mac: mac.try_into().ok()?,
        })
    }

    /// The text for the endpoint.
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Channel(token) => token.encode(),
            Self::Virtual { index, mac } => {
                let mut octets = [0; INDEX_BYTES + MAC_BYTES];
                octets[..INDEX_BYTES].copy_from_slice(&index.to_be_bytes());
                octets[INDEX_BYTES..].copy_from_slice(mac);
                URL_SAFE_NO_PAD.encode(octets)
            }
        }
    }
}

/// The token of a registered channel. RFC 8030 §8.3 asks for 120 bits at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChannelToken {
    octets: [u8; CHANNEL_BYTES],
}

impl ChannelToken {
    pub(crate) fn random(randomness: &dyn Randomness) -> Self {
        let mut octets = [0; CHANNEL_BYTES];
        randomness.fill(&mut octets);
        Self { octets }
    }

    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.octets)
    }
}

/// A new message id, of 144 random bits: it is the capability to withdraw the message.
pub(crate) fn random_message_id(randomness: &dyn Randomness) -> String {
    let mut octets = [0; 18];
    randomness.fill(&mut octets);
    URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
mod tests {
    use tidings_webpush::SystemRandomness;

    use super::*;

    #[test]
    fn tokens_survive_the_way_through_an_endpoint() {
        let channel = Token::Channel(ChannelToken::random(&SystemRandomness));
        let index = Token::Virtual {
            index: 77,
            mac: [9; MAC_BYTES],
        };
        for token in [channel, index] {
            assert_eq!(Token::parse(&token.encode()), Some(token));
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        for text in [
            "",
            "abc",
            &"A".repeat(31),
            &"A".repeat(33),
            &"A".repeat(52),
            "=",
            "ä",
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
