use thiserror::Error;

const MAX_CHARACTERS: usize = 32;

/// The name under which a message replaces an undelivered one of the same subscription.
///
/// The push service reads it: let it be random or a hash, not a speaking name.
///
/// Spec: RFC 8030 §5.4.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    text: Box<str>,
}

impl Topic {
    /// The sender's rule, that of the strictest push service: 1 to 32 characters of
    /// `A-Za-z0-9_-`, and a length that base64url text can have.
    ///
    /// Apple decodes the topic and refuses a length of 1, 5, 9, … characters (length mod 4 = 1).
    ///
    /// Spec: RFC 8030 §5.4.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let topic = Self::from_octets(text.as_bytes())?;
        if text.len() % 4 == 1 {
            Err(TopicError::NotBase64Length)
        } else {
            Ok(topic)
        }
    }

    /// Reads the `Topic` header as a push service does: 1 to 32 characters of `A-Za-z0-9_-`.
    ///
    /// Spec: RFC 8030 §5.4.
    pub fn parse_header(value: Option<&[u8]>) -> Result<Option<Self>, TopicError> {
        value.map(Self::from_octets).transpose()
    }

    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn from_octets(octets: &[u8]) -> Result<Self, TopicError> {
        if octets.is_empty() {
            return Err(TopicError::Empty);
        }
        if !octets
            .iter()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(octet))
        {
            return Err(TopicError::Character);
        }
        if octets.len() > MAX_CHARACTERS {
            return Err(TopicError::TooLong { got: octets.len() });
        }
        Ok(Self {
            text: octets.iter().copied().map(char::from).collect(),
        })
    }
}

/// Why a topic was refused.
///
/// Spec: RFC 8030 §5.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// No character at all.
    #[error("the topic is empty: leave it out instead")]
    Empty,
    /// A character outside `A-Za-z0-9_-`.
    #[error("the topic has a character other than A-Z a-z 0-9 _ -: use a hash in base64url")]
    Character,
    /// More than 32 characters.
    #[error("the topic has {got} characters, at most 32 are allowed: use a hash in base64url")]
    TooLong {
        /// Characters found.
        got: usize,
    },
    /// A length that no base64url text has.
    #[error(
        "Apple refuses topics of 1, 5, 9, … characters: add or drop one (22 and 32 are good lengths)"
    )]
    NotBase64Length,
}
