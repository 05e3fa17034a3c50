//! A row of `subscriptions`, and the sealed capability in it.

use rusqlite::Row;
use tidings_core::application::ApplicationId;
use tidings_core::attributes::Attributes;
use tidings_core::batch::Seq;
use tidings_core::clock::Timestamp;
use tidings_core::id::{SubscriptionId, VapidKeyId};
use tidings_core::store::StoreError;
use tidings_core::subscription::{
    Locale, SubscriptionDetails, SubscriptionRecord, SubscriptionState, TimeZoneName, UserId,
};
use tidings_webpush::{
    AuthSecret, ContentEncoding, PushResource, Subscription, UserAgentPublicKey,
};
use zeroize::Zeroizing;

use crate::Seals;
use crate::database::refused;
use crate::sealed_columns::CAPABILITIES;

const AUTH_BYTES: usize = 16;
const P256DH_BYTES: usize = 65;

/// Selects whole rows; [`read`] knows the order of the columns.
pub(super) fn select(method: &str, condition: &str) -> String {
    format!(
        "-- {method}
        SELECT s.id, s.application_id, s.seq, s.state, s.capability, s.encoding, s.user,
               s.attributes, s.locale, s.timezone, s.created_at, s.last_seen_at, k.public_id
        FROM subscriptions s
        JOIN vapid_keys k ON k.id = s.vapid_key_id
        WHERE {condition}"
    )
}

/// Which row it is. These columns are read where the others may be damaged.
pub(super) fn read_place(row: &Row<'_>) -> Result<(SubscriptionId, Seq), StoreError> {
    Ok((
        SubscriptionId::from_bytes(row.get(0).map_err(refused)?),
        Seq::from_i64(row.get(2).map_err(refused)?),
    ))
}

pub(super) fn read(row: &Row<'_>, seals: &Seals) -> Result<SubscriptionRecord, StoreError> {
    let (id, seq) = read_place(row)?;
    let capability: Vec<u8> = row.get(4).map_err(refused)?;
    let state: String = row.get(3).map_err(refused)?;
    Ok(SubscriptionRecord {
        id,
        application: ApplicationId::from_i64(row.get(1).map_err(refused)?),
        seq,
        state: SubscriptionState::parse(&state)
            .ok_or(StoreError::Unreadable("subscriptions.state"))?,
        subscription: open_capability(seals, id, &capability)?,
        details: read_details(row)?,
        created_at: Timestamp::from_millis(row.get(10).map_err(refused)?),
        last_seen_at: Timestamp::from_millis(row.get(11).map_err(refused)?),
    })
}

fn read_details(row: &Row<'_>) -> Result<SubscriptionDetails, StoreError> {
    let text = |column: usize| row.get::<_, Option<String>>(column).map_err(refused);
    let encoding: String = row.get(5).map_err(refused)?;
    let attributes = match text(7)? {
        None => Attributes::default(),
        Some(json) => serde_json::from_str(&json)
            .ok()
            .and_then(|object| Attributes::from_json(&object).ok())
            .ok_or(StoreError::Unreadable("subscriptions.attributes"))?,
    };
    Ok(SubscriptionDetails {
        vapid_key: VapidKeyId::from_bytes(row.get(12).map_err(refused)?),
        encoding: read_encoding(&encoding)?,
        user: text(6)?.and_then(|user| UserId::parse(&user)),
        attributes,
        locale: text(8)?.and_then(|tag| Locale::parse(&tag)),
        timezone: text(9)?.and_then(|name| TimeZoneName::parse(&name)),
    })
}

fn read_encoding(text: &str) -> Result<ContentEncoding, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Unreadable("subscriptions.encoding"))
}

/// Whoever has endpoint, `p256dh` and `auth` can send: they are one sealed blob (RFC 8030 §8.3).
pub(super) fn seal_capability(
    seals: &Seals,
    id: SubscriptionId,
    subscription: &Subscription,
) -> Result<Vec<u8>, StoreError> {
    let endpoint = subscription.push_resource.expose().as_bytes();
    let mut plain = Zeroizing::new(Vec::with_capacity(
        AUTH_BYTES + P256DH_BYTES + endpoint.len(),
    ));
    plain.extend_from_slice(subscription.auth.expose());
    plain.extend_from_slice(subscription.p256dh.as_bytes());
    plain.extend_from_slice(endpoint);
    Ok(seals.sealer.seal(
        CAPABILITIES.place(id.as_bytes()),
        &plain,
        seals.randomness.as_ref(),
    )?)
}

/// Whether a sealed capability has these keys. Cheaper than opening all of it: no point is checked to
/// be on the curve again.
pub(super) fn has_keys(
    seals: &Seals,
    id: SubscriptionId,
    sealed: &[u8],
    subscription: &Subscription,
) -> Result<bool, StoreError> {
    let plain = seals
        .sealer
        .open(CAPABILITIES.place(id.as_bytes()), sealed)?;
    let keys = || {
        let (auth, rest) = plain.split_at_checked(AUTH_BYTES)?;
        let (p256dh, _) = rest.split_at_checked(P256DH_BYTES)?;
        Some((AuthSecret::from_bytes(auth).ok()?, p256dh))
    };
    let (auth, p256dh) = keys().ok_or(StoreError::Unreadable("subscriptions.capability"))?;
    Ok(p256dh == subscription.p256dh.as_bytes() && auth.ct_eq(&subscription.auth))
}

/// What a message is encrypted for, and how; read from these columns.
pub(crate) fn read_receiver(
    row: &Row<'_>,
    (capability, encoding): (usize, usize),
    seals: &Seals,
    id: SubscriptionId,
) -> Result<(Subscription, ContentEncoding), StoreError> {
    // Borrowed: opening makes the one copy that is needed.
    let capability = row.get_ref(capability).map_err(refused)?;
    let capability = capability
        .as_blob()
        .map_err(|_| StoreError::Unreadable("subscriptions.capability"))?;
    let encoding = row.get_ref(encoding).map_err(refused)?;
    let encoding = encoding
        .as_str()
        .map_err(|_| StoreError::Unreadable("subscriptions.encoding"))?;
    Ok((
        open_capability(seals, id, capability)?,
        read_encoding(encoding)?,
    ))
}

fn open_capability(
    seals: &Seals,
    id: SubscriptionId,
    sealed: &[u8],
) -> Result<Subscription, StoreError> {
    let plain = seals
        .sealer
        .open(CAPABILITIES.place(id.as_bytes()), sealed)?;
    let parsed = || {
        let (auth, rest) = plain.split_at_checked(AUTH_BYTES)?;
        let (p256dh, endpoint) = rest.split_at_checked(P256DH_BYTES)?;
        Some(Subscription {
            push_resource: PushResource::parse(std::str::from_utf8(endpoint).ok()?).ok()?,
            p256dh: UserAgentPublicKey::from_bytes(p256dh).ok()?,
            auth: AuthSecret::from_bytes(auth).ok()?,
        })
    };
    parsed().ok_or(StoreError::Unreadable("subscriptions.capability"))
}
