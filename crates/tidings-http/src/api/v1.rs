//! The first version of the API.

pub(crate) mod alerts;
pub(crate) mod api_tokens;
pub(crate) mod apps;
mod list;
pub(crate) mod messages;
mod registration;
pub(crate) mod subscriptions;
pub(crate) mod vapid_keys;
