//! The three options of RFC 8030 §5.2 to §5.4.

pub(crate) mod topic;
pub(crate) mod ttl;
pub(crate) mod urgency;
