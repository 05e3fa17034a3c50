//! Lists of subscriptions.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row, params_from_iter};
use tidings_core::application::ApplicationId;
use tidings_core::batch::Seq;
use tidings_core::id::SubscriptionId;
use tidings_core::store::{Page, PageRequest, StoreError, SubscriptionFilter, SubscriptionPage};
use tidings_core::subscription::{SubscriptionRecord, SubscriptionState};

use crate::Seals;
use crate::database::refused;
use crate::subscriptions::row;

pub(super) fn list(
    connection: &Connection,
    seals: &Seals,
    app: ApplicationId,
    filter: &SubscriptionFilter,
    page: PageRequest<Seq>,
) -> Result<SubscriptionPage, StoreError> {
    let (sql, values) = list_query(app, filter, page);
    let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(refused)?;
    let mut listed = Vec::new();
    while let Some(found) = rows.next().map_err(refused)? {
        listed.push(Listed::read(found, seals)?);
    }
    let part = Page::from_surplus(listed, page.limit, |listed| listed.seq);
    let mut items = Vec::with_capacity(part.items.len());
    let mut damaged = Vec::new();
    for listed in part.items {
        match listed.record {
            Some(record) => items.push(record),
            None => damaged.push(listed.id),
        }
    }
    Ok(SubscriptionPage {
        items,
        damaged,
        next: part.next,
    })
}

/// A row of a list: damaged or not, it has its place there.
struct Listed {
    id: SubscriptionId,
    seq: Seq,
    /// `None` if it is damaged.
    record: Option<SubscriptionRecord>,
}

impl Listed {
    fn read(row: &Row<'_>, seals: &Seals) -> Result<Self, StoreError> {
        let (id, seq) = row::read_place(row)?;
        let record = match row::read(row, seals) {
            Ok(record) => Some(record),
            Err(error) if error.is_damage() => {
                seals.told.tell(id, &error);
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { id, seq, record })
    }
}

// Index: the primary key; with a user subscriptions_by_user, with another state than `active`
// subscriptions_by_state.
fn list_query(
    app: ApplicationId,
    filter: &SubscriptionFilter,
    page: PageRequest<Seq>,
) -> (String, Vec<SqlValue>) {
    let mut condition = "s.application_id = ? AND s.seq < ?".to_owned();
    let mut values: Vec<SqlValue> = vec![
        app.as_i64().into(),
        page.after.map_or(i64::MAX, Seq::as_i64).into(),
    ];
    if let Some(state) = filter.state {
        condition.push_str(" AND s.state = ?");
        values.push(state.as_str().to_owned().into());
        if state != SubscriptionState::Active {
            // A partial index is used only where its own condition is repeated.
            condition.push_str(" AND s.state <> 'active'");
        }
    }
    if let Some(user) = &filter.user {
        condition.push_str(" AND s.user = ?");
        values.push(user.as_str().to_owned().into());
    }
    condition.push_str(" ORDER BY s.seq DESC LIMIT ?");
    values.push((i64::from(page.limit) + 1).into());
    (row::select("subscriptions", &condition), values)
}

#[cfg(test)]
mod tests {
    use tidings_core::clock::Timestamp;
    use tidings_core::subscription::UserId;

    use super::*;
    use crate::database::open_for_writing;

    #[test]
    fn no_list_walks_the_whole_table() {
        let directory = tempfile::tempdir().unwrap();
        let (_lock, connection) =
            open_for_writing(directory.path(), Timestamp::from_millis(0)).unwrap();
        let by_state = |state| SubscriptionFilter {
            state: Some(state),
            user: None,
        };
        let by_user = |state| SubscriptionFilter {
            state,
            user: UserId::parse("u"),
        };
        for (filter, index) in [
            (
                SubscriptionFilter::default(),
                "(application_id=? AND seq<?)",
            ),
            (
                by_state(SubscriptionState::Active),
                "(application_id=? AND seq<?)",
            ),
            (
                by_state(SubscriptionState::Gone),
                "subscriptions_by_state (application_id=? AND state=? AND seq<?)",
            ),
            (
                by_user(None),
                "subscriptions_by_user (application_id=? AND user=? AND seq<?)",
            ),
            (
                by_user(Some(SubscriptionState::Active)),
                "subscriptions_by_user (application_id=? AND user=? AND seq<?)",
            ),
        ] {
            let page = PageRequest {
                after: None,
                limit: 10,
            };
            let (sql, values) = list_query(ApplicationId::DEFAULT, &filter, page);
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let steps: Vec<String> = statement
                .query_map(params_from_iter(values), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert!(steps[0].contains(index), "{filter:?}: {steps:?}");
            assert!(
                !steps.iter().any(|step| step.contains("B-TREE")),
                "{steps:?}"
            );
        }
    }
}
