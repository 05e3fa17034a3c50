//! Members whose origin has no room at present, put aside while others go first.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tidings_core::batch::Position;
use tidings_core::store::LoadedMember;
use tokio::time::Instant;

/// So many are put aside at once.
const MOST: usize = 256;

/// Whoever was aside for so long has an origin that is slow: it is not waited for any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Aside {
    members: VecDeque<(Instant, LoadedMember)>,
    slow: HashSet<String>,
}

impl Aside {
    /// Puts a member aside, unless its origin is slow. Whether it did.
    pub(super) fn put(&mut self, member: LoadedMember, now: Instant) -> bool {
        let waits = !self.slow.contains(origin(&member));
        if waits {
            self.members.push_back((now, member));
        }
        waits
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.members.len() >= MOST
    }

    /// The one who waits longest.
    pub(super) fn first(&self) -> Option<&LoadedMember> {
        self.members.front().map(|(_, member)| member)
    }

    /// All who wait, to be tried again; whoever has no luck is to be kept.
    pub(super) fn take(&mut self) -> VecDeque<(Instant, LoadedMember)> {
        std::mem::take(&mut self.members)
    }

    pub(super) fn keep(&mut self, since: Instant, member: LoadedMember) {
        self.members.push_back((since, member));
    }

    /// Drops those that have waited for long; their origins are slow. Who they are.
    pub(super) fn give_up(&mut self, now: Instant) -> Vec<Position> {
        let mut given_up = Vec::new();
        let slow = &mut self.slow;
        self.members.retain(|(since, member)| {
            let waits = now.saturating_duration_since(*since) < PATIENCE;
            if !waits {
                slow.insert(origin(member).to_owned());
                given_up.push(member.position);
            }
            waits
        });
        given_up
    }
}

/// The origin of a member's push resource.
pub(super) fn origin(member: &LoadedMember) -> &str {
    let target = member.target.as_ref();
    target.map_or("", |target| target.subscription.push_resource.origin())
}
