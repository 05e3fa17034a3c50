//! The columns that hold sealed values: what is sealed is listed here, and what is listed here is
//! resealed when the key changes.

use rusqlite::types::Value;
use tidings_core::id::{MessageId, SubscriptionId, VapidKeyId};
use tidings_core::sealing::Place;

/// The three keys of keyed hashes.
pub(crate) const SECRETS: SealedColumn = SealedColumn {
    table: "secrets",
    column: "sealed",
    row: "name",
    cursor: "name",
    start: Value::Text(String::new()),
    name_of: |row| String::from_utf8_lossy(row).into_owned(),
};

/// The private halves of VAPID keys.
pub(crate) const PRIVATE_KEYS: SealedColumn = SealedColumn {
    table: "vapid_keys",
    column: "private_key",
    row: "public_id",
    cursor: "id",
    start: Value::Integer(i64::MIN),
    name_of: |row| named(row, |id| VapidKeyId::from_bytes(id).to_string()),
};

/// VAPID tokens.
pub(crate) const TOKENS: SealedColumn = SealedColumn {
    table: "vapid_tokens",
    column: "token",
    row: "bound_to",
    cursor: "id",
    start: Value::Integer(i64::MIN),
    name_of: |row| match row.split_at_checked(16) {
        Some((key, origin)) => {
            let key = named(key, |id| VapidKeyId::from_bytes(id).to_string());
            format!("{key} for {}", String::from_utf8_lossy(origin))
        }
        None => named(row, |id| VapidKeyId::from_bytes(id).to_string()),
    },
};

/// Endpoint, `p256dh` and `auth` of subscriptions.
pub(crate) const CAPABILITIES: SealedColumn = SealedColumn {
    table: "subscriptions",
    column: "capability",
    row: "id",
    // In the order of the table, not of its ids: a million rows are then read once, in a row.
    cursor: "rowid",
    start: Value::Integer(i64::MIN),
    name_of: |row| named(row, |id| SubscriptionId::from_bytes(id).to_string()),
};

/// What messages say.
pub(crate) const CONTENTS: SealedColumn = SealedColumn {
    table: "messages",
    column: "content",
    row: "id",
    cursor: "id",
    start: Value::Blob(Vec::new()),
    name_of: |row| named(row, |id| MessageId::from_bytes(id).to_string()),
};

/// All of them. The secrets come last: a server needs them to start, so one that was given only the
/// new key while some values still need the old one does not start, and so does not fail later.
pub(crate) const ALL: [SealedColumn; 5] = [PRIVATE_KEYS, TOKENS, CONTENTS, CAPABILITIES, SECRETS];

/// A column of sealed values.
pub(crate) struct SealedColumn {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    /// The column whose octets a value is bound to.
    pub(crate) row: &'static str,
    /// The column in whose order a walk over the table costs least.
    pub(crate) cursor: &'static str,
    /// Below every value of `cursor`.
    pub(crate) start: Value,
    /// How operators know a row, by the octets of `row`.
    pub(crate) name_of: fn(&[u8]) -> String,
}

impl SealedColumn {
    /// What the value of this row is bound to.
    pub(crate) fn place<'a>(&self, row: &'a [u8]) -> Place<'a> {
        Place {
            table: self.table,
            column: self.column,
            row,
        }
    }
}

fn named(row: &[u8], name: impl Fn([u8; 16]) -> String) -> String {
    // The schema lets in nothing else than 16 octets.
    row.try_into().map_or_else(|_| format!("{row:02x?}"), name)
}
