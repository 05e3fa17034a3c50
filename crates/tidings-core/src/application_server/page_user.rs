//! Whom a page may say a subscription belongs to.

use crate::application::{Application, PageUsers};
use crate::clock::Timestamp;
use crate::subscription::UserId;
use crate::user_token::{UserToken, UserTokenError};

/// Why a page was not believed about `user`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PageUserError {
    /// It named a person and brought no proof.
    #[error("`user` was not proved")]
    NotProved,
    /// It brought a token, and the application has no key to check it with.
    #[error("the application has no key for user tokens")]
    NoKey,
    /// Its token is not good.
    #[error("the user token was refused: {0}")]
    Refused(#[from] UserTokenError),
    /// Its token is good, and proves somebody else.
    #[error("the user token's `sub` is not `user`")]
    OtherUser,
}

/// The person that a page names or brings a token of. A token is checked even where pages are
/// believed without: one that is wrong is a mistake that its maker wants to hear of.
pub(super) fn believed(
    application: &Application,
    named: Option<UserId>,
    token: Option<&UserToken>,
    now: Timestamp,
) -> Result<Option<UserId>, PageUserError> {
    let Some(token) = token else {
        let is_believed = named.is_none() || application.page_users == PageUsers::Trusted;
        return is_believed.then_some(named).ok_or(PageUserError::NotProved);
    };
    let keys = &application.user_token_keys;
    if keys.is_empty() {
        return Err(PageUserError::NoKey);
    }
    let proved = keys.verify(token, &application.name, now)?;
    match named {
        Some(named) if named != proved => Err(PageUserError::OtherUser),
        _ => Ok(Some(proved)),
    }
}
