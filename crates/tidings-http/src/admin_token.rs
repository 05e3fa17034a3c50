//! The admin token.

use std::fmt;

use aws_lc_rs::constant_time;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::extract::body::sha256;

/// The fewest characters of an admin token.
const MIN_CHARACTERS: usize = 32;

/// The first token there is: whoever shows it may do everything. Only its SHA-256 is kept.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AdminToken {
    sha256: [u8; 32],
}

/// Why a text is not an admin token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminTokenError {
    /// It could be guessed.
    #[error("the admin token has {got} characters and needs at least 32: make a random one")]
    TooShort {
        /// How many characters it has.
        got: usize,
    },
    /// It could not be sent in a header.
    #[error("the admin token has control characters: no header can carry them")]
    Character,
}

impl AdminToken {
    /// Takes any text of 32 characters or more that a header can carry. White space around it does
    /// not count.
    pub fn parse(text: &str) -> Result<Self, AdminTokenError> {
        let text = text.trim();
        let got = text.chars().count();
        if got < MIN_CHARACTERS {
            return Err(AdminTokenError::TooShort { got });
        }
        if text.chars().any(char::is_control) {
            return Err(AdminTokenError::Character);
        }
        Ok(Self {
            sha256: sha256(text.as_bytes()),
        })
    }

    /// Whether `shown` is this token. Constant time.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.sha256, &sha256(shown)).is_ok()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_fits_a_header() {
        let token = AdminToken::parse(&"x".repeat(32)).unwrap();
        assert!(token.is("x".repeat(32).as_bytes()));
        assert!(!token.is("x".repeat(33).as_bytes()));
        assert!(!token.is(b""));
        assert_eq!(format!("{token:?}"), "AdminToken");
        assert_eq!(
            AdminToken::parse("short").unwrap_err(),
            AdminTokenError::TooShort { got: 5 }
        );
        assert!(
            AdminToken::parse(&format!(" {}\n", "x".repeat(32)))
                .unwrap()
                .is(&[b'x'; 32])
        );
        let broken = format!("{}\n{}", "x".repeat(16), "x".repeat(16));
        assert_eq!(
            AdminToken::parse(&broken).unwrap_err(),
            AdminTokenError::Character
        );
    }
}
