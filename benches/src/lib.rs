//! What the programs of this workspace share.

pub mod bare;
pub mod job;

/// Whatever went wrong.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// It ends the program with a message.
pub type Result<T, E = Error> = std::result::Result<T, E>;
