//! What needs an operator: conditions that hold at present, each with its remedy.

mod board;

use tidings_webpush::PushService;

pub use crate::alert::board::AlertBoard;
use crate::application::ApplicationName;
use crate::clock::Timestamp;
use crate::id::VapidKeyId;

/// The kinds of conditions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AlertKind {
    /// A push service refuses a VAPID key, so that sending with it rests.
    KeyPaused,
    /// A push service has not answered for a while.
    PushServiceUnreachable,
    /// So many subscriptions were said to be gone at once that they are kept as suspects.
    SuspectedWave,
    /// What is to be sent, or what became of sends, cannot be written down.
    OutcomesNotRecorded,
    /// Push services are not told whom to write to.
    NoContact,
}

impl AlertKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::KeyPaused,
        Self::PushServiceUnreachable,
        Self::SuspectedWave,
        Self::OutcomesNotRecorded,
        Self::NoContact,
    ];

    /// The kind's name in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyPaused => "key_paused",
            Self::PushServiceUnreachable => "push_service_unreachable",
            Self::SuspectedWave => "suspected_wave",
            Self::OutcomesNotRecorded => "outcomes_not_recorded",
            Self::NoContact => "no_contact",
        }
    }

    /// Whether nothing is sent, or recorded, until somebody acts.
    pub(crate) const fn is_urgent(self) -> bool {
        matches!(self, Self::KeyPaused | Self::OutcomesNotRecorded)
    }
}

/// Something that is not as it should be, and that an operator can do something about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// A push service refuses a VAPID key.
    KeyPaused {
        /// The push service.
        push_service: PushService,
        /// The key.
        vapid_key: VapidKeyId,
    },
    /// A push service has not answered for a while.
    PushServiceUnreachable {
        /// The push service.
        push_service: PushService,
    },
    /// So many subscriptions were said to be gone at once that they are kept as suspects.
    SuspectedWave {
        /// Who said so.
        push_service: PushService,
        /// Whose subscriptions they are.
        application: ApplicationName,
        /// How many are suspects.
        subscriptions: u64,
        /// When the first of them became one.
        since: Timestamp,
    },
    /// What is to be sent, or what became of sends, cannot be written down.
    OutcomesNotRecorded {
        /// What the store says.
        error: String,
    },
    /// Push services are not told whom to write to.
    NoContact,
}

impl Condition {
    /// Its kind.
    pub const fn kind(&self) -> AlertKind {
        match self {
            Self::KeyPaused { .. } => AlertKind::KeyPaused,
            Self::PushServiceUnreachable { .. } => AlertKind::PushServiceUnreachable,
            Self::SuspectedWave { .. } => AlertKind::SuspectedWave,
            Self::OutcomesNotRecorded { .. } => AlertKind::OutcomesNotRecorded,
            Self::NoContact => AlertKind::NoContact,
        }
    }

    /// What it is about. Two conditions about the same are the same one, whatever else they say.
    pub fn subject(&self) -> Subject {
        match self {
            Self::KeyPaused {
                push_service,
                vapid_key,
            } => Subject {
                push_service: Some(*push_service),
                vapid_key: Some(*vapid_key),
                application: None,
            },
            Self::PushServiceUnreachable { push_service } => Subject {
                push_service: Some(*push_service),
                ..Subject::default()
            },
            Self::SuspectedWave {
                push_service,
                application,
                ..
            } => Subject {
                push_service: Some(*push_service),
                vapid_key: None,
                application: Some(application.clone()),
            },
            Self::OutcomesNotRecorded { .. } | Self::NoContact => Subject::default(),
        }
    }

    /// What is the matter, in a sentence.
    pub fn text(&self) -> String {
        match self {
            Self::KeyPaused {
                push_service,
                vapid_key,
            } => format!(
                "{push_service} refuses what is signed with the VAPID key {vapid_key}, so sending \
                 with it rests there; single messages are tried"
            ),
            Self::PushServiceUnreachable { push_service } => format!(
                "no connection to {push_service}, or no answer, for more than a minute; its \
                 messages wait, single ones are tried"
            ),
            Self::SuspectedWave {
                push_service,
                application,
                subscriptions,
                ..
            } => format!(
                "{push_service} says of unusually many subscriptions of the application \
                 {application} that they are gone; {subscriptions} of them are kept as suspects, \
                 and nothing is sent to them"
            ),
            Self::OutcomesNotRecorded { error } => format!(
                "what is to be sent, or what push services answered, cannot be written to the \
                 database ({error}), so no new sends are begun"
            ),
            Self::NoContact => "no contact is set, so Apple's push service will refuse all \
                                messages"
                .to_owned(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::KeyPaused { vapid_key, .. } => format!(
                "See GET /v1/vapid-keys whether {vapid_key} is the key that your pages subscribe \
                 with; import the right one (tidings vapid import) if it is not. Check the setting \
                 `contact`, this machine's clock, and the reasons in the log. Sending goes on by \
                 itself with the first message that is accepted; one is tried at least every 5 \
                 minutes."
            ),
            Self::PushServiceUnreachable { push_service } => format!(
                "Check this machine's name resolution, its route to the internet, firewall and \
                 certificate authorities{}. Sending goes on by itself with the first answer; one \
                 message is tried at least every minute. Once nothing was to be sent there for 10 \
                 minutes, this alert ends.",
                probe(*push_service)
            ),
            Self::SuspectedWave { push_service, .. } => format!(
                "If the push service was wrong, restore them with POST /v1/subscriptions/restore \
                 and {{\"push_service\": \"{push_service}\"}} (GET /v1/subscriptions?state=suspect \
                 lists them). If it was right, do nothing: after 7 days they count as gone, or at \
                 once with POST /v1/subscriptions/confirm-gone."
            ),
            Self::OutcomesNotRecorded { .. } => {
                "Make room on the disk of the data directory, and end what else holds the database \
                 locked (a backup, the sqlite3 program). Sending goes on by itself when the \
                 database can be written to; GET /readyz tells."
                    .to_owned()
            }
            Self::NoContact => {
                "Set `contact` (TIDINGS_CONTACT) to a mailto: or https: address where push \
                 services can reach you, and start the server again."
                    .to_owned()
            }
        }
    }

    /// When it began, if it says so itself.
    const fn since(&self) -> Option<Timestamp> {
        match self {
            Self::SuspectedWave { since, .. } => Some(*since),
            _ => None,
        }
    }
}

/// How to see whether a push service can be reached at all.
fn probe(push_service: PushService) -> String {
    let host = match push_service {
        PushService::Fcm => "fcm.googleapis.com",
        PushService::Mozilla => "updates.push.services.mozilla.com",
        PushService::Apple => "web.push.apple.com",
        _ => return String::new(),
    };
    format!(" (curl -v https://{host}/ from this machine gets any answer)")
}

/// What a condition is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Subject {
    /// A push service.
    pub push_service: Option<PushService>,
    /// A VAPID key.
    pub vapid_key: Option<VapidKeyId>,
    /// An application.
    pub application: Option<ApplicationName>,
}

/// A condition that holds at present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Since when.
    pub since: Timestamp,
    /// What holds.
    pub condition: Condition,
}
