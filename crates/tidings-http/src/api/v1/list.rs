//! Lists, a part at a time.

use serde::Serialize;
use tidings_core::store::Page;
use utoipa::ToSchema;

use crate::cursor::{self, CursorKey};

/// A part of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The entries.
    items: Vec<T>,
    /// The `cursor` to ask for the next part with; `null` at the end.
    #[schema(required)]
    next: Option<String>,
}

impl<T> List<T> {
    /// A part of a longer list.
    pub(crate) fn part<R, K: CursorKey>(page: Page<R, K>, show: impl Fn(R) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(show).collect(),
            next: page.next.as_ref().map(cursor::write),
        }
    }

    /// A whole list.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
