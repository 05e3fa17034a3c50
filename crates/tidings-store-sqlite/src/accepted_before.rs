//! Which subscriptions a push service has accepted a message for, signed with the key they have now.
//!
//! A bit for each, 4096 to a row: learning it of a whole window costs one small write, and of those
//! known already none.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{Connection, OptionalExtension as _};
use tidings_core::application::ApplicationId;
use tidings_core::batch::{Bitmap, Seq};
use tidings_core::store::StoreError;

use crate::database::refused;

/// Seqs in a row.
const ROW: i64 = 4096;

/// What is known of some seqs.
#[derive(Default)]
pub(crate) struct AcceptedBefore {
    rows: BTreeMap<i64, Bitmap>,
}

impl AcceptedBefore {
    pub(crate) fn of(
        connection: &Connection,
        application: ApplicationId,
        seqs: impl IntoIterator<Item = Seq>,
    ) -> Result<Self, StoreError> {
        let mut rows = BTreeMap::new();
        for seq in seqs {
            let (row, _) = place(seq);
            if let Entry::Vacant(place) = rows.entry(row) {
                place.insert(read(connection, application, row)?);
            }
        }
        Ok(Self { rows })
    }

    pub(crate) fn has(&self, seq: Seq) -> bool {
        let (row, bit) = place(seq);
        self.rows.get(&row).is_some_and(|bits| bits.get(bit))
    }
}

/// These have accepted a message.
pub(crate) fn remember(
    connection: &Connection,
    application: ApplicationId,
    seqs: &[Seq],
) -> Result<(), StoreError> {
    let mut known = AcceptedBefore::of(connection, application, seqs.iter().copied())?;
    for (row, bits) in &mut known.rows {
        let places = seqs.iter().map(|seq| place(*seq));
        let mut is_news = false;
        for (_, bit) in places.filter(|place| place.0 == *row) {
            is_news |= bits.set(bit);
        }
        if is_news {
            write(connection, application, *row, bits)?;
        }
    }
    Ok(())
}

/// Whatever this one accepted does not count any more.
pub(crate) fn forget(
    connection: &Connection,
    application: ApplicationId,
    seq: Seq,
) -> Result<(), StoreError> {
    let (row, bit) = place(seq);
    let mut bits = read(connection, application, row)?;
    if bits.clear(bit) {
        write(connection, application, row, &bits)?;
    }
    Ok(())
}

/// The row of a seq, and its bit there.
fn place(seq: Seq) -> (i64, u16) {
    let bit = seq.as_i64().rem_euclid(ROW);
    (seq.as_i64() - bit, u16::try_from(bit).unwrap_or(u16::MAX))
}

fn read(
    connection: &Connection,
    application: ApplicationId,
    row: i64,
) -> Result<Bitmap, StoreError> {
    // Index: the primary key.
    let sql = "-- load_members, record, register, import
        SELECT accepted
        FROM accepted_before
        WHERE application_id = ?1 AND first_seq = ?2";
    let octets = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let values = (application.as_i64(), row);
            statement.query_row(values, |row| row.get(0)).optional()
        })
        .map_err(refused)?;
    let length = u16::try_from(ROW).unwrap_or(u16::MAX);
    // One that is damaged is learnt again.
    let bits = octets.and_then(|octets| Bitmap::from_octets(octets, length));
    Ok(bits.unwrap_or_else(|| Bitmap::new(length)))
}

fn write(
    connection: &Connection,
    application: ApplicationId,
    row: i64,
    bits: &Bitmap,
) -> Result<(), StoreError> {
    let sql = "-- record, register, import
        INSERT INTO accepted_before (application_id, first_seq, accepted)
        VALUES (?1, ?2, ?3)
        ON CONFLICT (application_id, first_seq) DO UPDATE SET accepted = excluded.accepted";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((application.as_i64(), row, bits.as_octets())))
        .map(drop)
        .map_err(refused)
}
