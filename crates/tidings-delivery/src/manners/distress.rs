//! Whether a push service as a whole asks to be sent less.
//!
//! A 429 is about one endpoint, and delays that one. Only when many different endpoints are told so
//! is it about the sender. Endpoints are counted, not answers: one endpoint that is tried again and
//! again says nothing about the others.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::manners::policy::MannersPolicy;

/// The last answer of each of the endpoints that answered last.
#[derive(Debug, Default)]
pub(super) struct Distress {
    order: VecDeque<(u64, Instant)>,
    slowed: HashMap<u64, bool>,
    slowed_count: usize,
}

impl Distress {
    /// An endpoint answered. Whether, by all that is remembered, the push service is in distress.
    pub(super) fn answered(
        &mut self,
        endpoint: u64,
        slowed: bool,
        now: Instant,
        policy: &MannersPolicy,
    ) -> bool {
        self.forget_old(now, policy);
        match self.slowed.insert(endpoint, slowed) {
            Some(before) => self.slowed_count -= usize::from(before),
            None => self.order.push_back((endpoint, now)),
        }
        self.slowed_count += usize::from(slowed);
        if self.order.len() > policy.distress_endpoints {
            self.forget_oldest();
        }
        // Of all that could be remembered, not of the few that are: five endpoints out of ten are
        // five endpoints.
        slowed && self.slowed_count * 100 > policy.distress_endpoints * policy.distress_percent
    }

    /// What was answered before now has been heeded.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn forget_old(&mut self, now: Instant, policy: &MannersPolicy) {
        let old = |at: Instant| now.saturating_duration_since(at) > policy.distress_memory;
        while self.order.front().is_some_and(|(_, at)| old(*at)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front();
        let slowed = oldest.and_then(|(endpoint, _)| self.slowed.remove(&endpoint));
        self.slowed_count -= usize::from(slowed.unwrap_or(false));
    }
}
