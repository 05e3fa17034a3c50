//! What cases compare: records reduced to values that have `==` and can be printed.

use tidings_core::application::ApplicationId;
use tidings_core::attributes::Attributes;
use tidings_core::batch::Seq;
use tidings_core::clock::Timestamp;
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::message::{
    MessageCounts, MessageOptions, MessageRecord, MessageState, ReceiptCounts,
};
use tidings_core::subscription::{SubscriptionRecord, SubscriptionState};
use tidings_core::vapid_key::{VapidKeyRecord, VapidKeyState};
use tidings_webpush::{ContentEncoding, Subscription, VapidPublicKey};

/// The three parts of a subscription, readable.
#[derive(PartialEq, Debug)]
pub(crate) struct CapabilityView {
    endpoint: String,
    p256dh: String,
    auth: [u8; 16],
}

pub(crate) fn capability(subscription: &Subscription) -> CapabilityView {
    CapabilityView {
        endpoint: subscription.push_resource.expose().to_owned(),
        p256dh: subscription.p256dh.to_base64url(),
        auth: *subscription.auth.expose(),
    }
}

/// Everything that a [`SubscriptionRecord`] says.
#[derive(PartialEq, Debug)]
pub(crate) struct SubscriptionView {
    pub(crate) id: SubscriptionId,
    pub(crate) application: ApplicationId,
    pub(crate) seq: Seq,
    pub(crate) state: SubscriptionState,
    pub(crate) capability: CapabilityView,
    pub(crate) vapid_key: VapidKeyId,
    pub(crate) encoding: ContentEncoding,
    pub(crate) user: Option<String>,
    pub(crate) attributes: Attributes,
    pub(crate) locale: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
}

pub(crate) fn subscription(record: &SubscriptionRecord) -> SubscriptionView {
    let details = &record.details;
    SubscriptionView {
        id: record.id,
        application: record.application,
        seq: record.seq,
        state: record.state,
        capability: capability(&record.subscription),
        vapid_key: details.vapid_key,
        encoding: details.encoding,
        user: details.user.as_ref().map(|user| user.as_str().to_owned()),
        attributes: details.attributes.clone(),
        locale: details
            .locale
            .as_ref()
            .map(|locale| locale.as_str().to_owned()),
        timezone: details
            .timezone
            .as_ref()
            .map(|timezone| timezone.as_str().to_owned()),
        created_at: record.created_at,
        last_seen_at: record.last_seen_at,
    }
}

/// Everything that a [`MessageRecord`] says.
#[derive(PartialEq, Debug)]
pub(crate) struct MessageView {
    pub(crate) id: MessageId,
    pub(crate) application: ApplicationId,
    pub(crate) state: MessageState,
    pub(crate) options: MessageOptions,
    pub(crate) accepted_at: Timestamp,
    pub(crate) due_at: Timestamp,
    pub(crate) done_at: Option<Timestamp>,
    pub(crate) counts: MessageCounts,
    pub(crate) receipts: ReceiptCounts,
}

pub(crate) fn message(record: &MessageRecord) -> MessageView {
    MessageView {
        id: record.id,
        application: record.application,
        state: record.state,
        options: record.options.clone(),
        accepted_at: record.accepted_at,
        due_at: record.due_at,
        done_at: record.done_at,
        counts: record.counts,
        receipts: record.receipts,
    }
}

/// Everything that a [`VapidKeyRecord`] says.
#[derive(PartialEq, Debug)]
pub(crate) struct VapidKeyView {
    pub(crate) id: VapidKeyId,
    pub(crate) application: ApplicationId,
    pub(crate) public_key: VapidPublicKey,
    pub(crate) state: VapidKeyState,
    pub(crate) created_at: Timestamp,
}

pub(crate) fn vapid_key(record: &VapidKeyRecord) -> VapidKeyView {
    VapidKeyView {
        id: record.id,
        application: record.application,
        public_key: record.public_key.clone(),
        state: record.state,
        created_at: record.created_at,
    }
}
