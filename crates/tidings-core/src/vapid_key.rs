//! VAPID keys as Tidings keeps them: several are live at once, so that a rotation loses nobody.

use tidings_webpush::VapidPublicKey;

use crate::application::ApplicationId;
use crate::clock::Timestamp;
use crate::id::VapidKeyId;

/// A VAPID key without its private half.
#[derive(Clone, Debug)]
pub struct VapidKeyRecord {
    /// Its identifier.
    pub id: VapidKeyId,
    /// Whose it is.
    pub application: ApplicationId,
    /// What pages subscribe with.
    pub public_key: VapidPublicKey,
    /// Whether it is handed out and signed with.
    pub state: VapidKeyState,
    /// When it was made or imported.
    pub created_at: Timestamp,
}

/// The states of a VAPID key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VapidKeyState {
    /// Handed out to pages, and signed with. One an application.
    Active,
    /// Signed with for the subscriptions made with it.
    Live,
    /// Not used any more.
    Retired,
}

impl VapidKeyState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Live, Self::Retired];

    /// The state's name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Live => "live",
            Self::Retired => "retired",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
