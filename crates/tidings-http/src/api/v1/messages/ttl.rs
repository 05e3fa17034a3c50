//! How long a message is worth delivering, as callers write it.

use std::time::Duration;

use tidings_core::message::MAX_TTL;

use crate::extract::duration::{DurationLimits, DurationMember};

/// The member `ttl`.
pub(super) type TtlMember = DurationMember<TtlLimits>;

/// Nothing at all, that is now or never, to 28 days.
pub(super) struct TtlLimits;

impl DurationLimits for TtlLimits {
    const EXPECTED: &'static str = "whole seconds, or a duration like \"4h\"; at most 28 days";
    const MIN: Duration = Duration::ZERO;
    const MAX: Duration = MAX_TTL;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_has_at_most_28_days() {
        for (json, seconds) in [
            ("0", Some(0)),
            ("60", Some(60)),
            ("2419200", Some(2_419_200)),
            ("2419201", None),
            (r#""28d""#, Some(2_419_200)),
            (r#""29d""#, None),
        ] {
            let read = serde_json::from_str::<TtlMember>(json).ok();
            assert_eq!(read.map(|ttl| ttl.duration.as_secs()), seconds, "{json}");
        }
    }
}
