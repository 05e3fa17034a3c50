//! Voluntary application server identification: RFC 8292.

pub(crate) mod cache;
pub(crate) mod contact;
pub(crate) mod key;
pub(crate) mod key_file;
mod pem;
pub(crate) mod public_key;
pub(crate) mod token;
pub mod verify;
