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
        slowed && policy.is_distress(self.slowed_count, policy.distress_endpoints)
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_takes_more_than_a_fifth_of_the_endpoints() {
        let (policy, now) = (MannersPolicy::default(), Instant::now());
        let mut distress = Distress::default();
        for endpoint in 0..160 {
            assert!(!distress.answered(endpoint, false, now, &policy));
        }
        for endpoint in 160..200 {
            assert!(
                !distress.answered(endpoint, true, now, &policy),
                "{endpoint}"
            );
        }
        assert!(distress.answered(200, true, now, &policy));
        assert!(
            !distress.answered(201, false, now, &policy),
            "only who is told to slow down slows down"
        );
        distress.forget();
        assert!(!distress.answered(202, true, now, &policy));
    }

    #[test]
    fn few_endpoints_are_never_many() {
        let (policy, now) = (MannersPolicy::default(), Instant::now());
        let mut distress = Distress::default();
        for _ in 0..1000 {
            for endpoint in 0..40 {
                assert!(!distress.answered(endpoint, true, now, &policy));
            }
        }
    }

    #[test]
    fn what_was_said_a_while_ago_is_forgotten() {
        let (policy, mut now) = (MannersPolicy::default(), Instant::now());
        let mut distress = Distress::default();
        for endpoint in 0..40 {
            distress.answered(endpoint, true, now, &policy);
        }
        now += policy.distress_memory + Duration::from_millis(1);
        assert!(!distress.answered(40, true, now, &policy));
    }

    proptest! {
        /// The numbers kept agree with a recount after any history.
        #[test]
        fn counts_are_right(history in prop::collection::vec((0..300_u64, any::<bool>(), 0..2000_u64), 0..600)) {
            let (policy, mut now) = (MannersPolicy::default(), Instant::now());
            let mut distress = Distress::default();
            let mut last = HashMap::new();
            for (endpoint, slowed, pause) in history {
                now += Duration::from_millis(pause / 100);
                distress.answered(endpoint, slowed, now, &policy);
                last.insert(endpoint, slowed);
                prop_assert!(distress.order.len() <= policy.distress_endpoints);
            }
            prop_assert_eq!(distress.order.len(), distress.slowed.len());
            let recount = distress.order.iter().filter(|(it, _)| last[it]).count();
            prop_assert_eq!(distress.slowed_count, recount);
        }
    }
}
