//! What surrounds every handler.

pub(crate) mod answer;
pub(crate) mod authenticate;
pub(crate) mod lasting;
pub(crate) mod origin;
pub(crate) mod rate_limit;
pub(crate) mod timeout;
