use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::{Break, FixedAnswer, Hold, Plan, PlannedAnswer, RuleDocument, Target};
use crate::draw::{self, Draw};

/// Rules that were given together.
pub(super) struct RuleSet {
    rules: Vec<Rule>,
    releases: watch::Sender<u64>,
    /// What decides about POSTs.
    chance: Draw,
    /// What says where among all subscriptions each is.
    places: Draw,
}

/// One rule in force.
pub(super) struct Rule {
    pub(super) document: RuleDocument,
    pub(super) deed: Deed,
    pub(super) tokens: Option<HashSet<String>>,
    /// Which subscriptions it applies to, as part of those from 0 to 1.
    pub(super) share: Option<Range<f64>>,
    /// How many more POSTs it applies to.
    pub(super) remaining: Option<AtomicU64>,
}

#[derive(Clone)]
pub(super) enum Deed {
    Honest,
    Fixed(Arc<FixedAnswer>),
    WrongKey,
    Break(Break),
    BreakAfter(Break),
    Stall,
}

impl RuleSet {
    pub(super) fn unnamed(seed: u64) -> Self {
        Self::new(Draw::new(seed), Draw::new(!seed))
    }

    /// Its draws are independent of those for any other name.
    pub(super) fn named(seed: u64, name: &str) -> Self {
        let name = draw::thing(name);
        Self::new(Draw::new(seed).of(name), Draw::new(!seed).of(name))
    }

    fn new(chance: Draw, places: Draw) -> Self {
        Self {
            rules: Vec::new(),
            releases: watch::Sender::new(0),
            chance,
            places,
        }
    }

    /// Replaces its rules. Answers held so far are released unless a new rule withholds too.
    pub(super) fn put(&mut self, rules: Vec<Rule>) {
        let withholds = rules.iter().any(|rule| rule.document.withhold);
        self.rules = rules;
        if !withholds {
            // Nobody plans meanwhile: a plan made before sees this release, one made after is new.
            self.releases.send_modify(|release| *release += 1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Makes the plan for a POST; false if no rule decided about it.
    pub(super) fn decide(&self, target: &Target<'_>, plan: &mut Plan) -> bool {
        let place = self.place(target.subject);
        let subject = self.chance.of(target.subject);
        let draw = subject.of(target.nth);
        // Of the rules that exclude each other, each has its part of one and the same draw.
        let drawn = draw.unit();
        let mut passed = 0.0;
        for (number, rule) in (1..).zip(&self.rules) {
            if !rule.is_about(target, place) {
                continue;
            }
            let draws_alone = rule.document.draws_alone();
            let own = if draws_alone {
                subject.of(target.posts).of(number)
            } else {
                draw.of(number)
            };
            if let Some(probability) = rule.document.probability {
                let is_hit = if draws_alone || rule.document.and_next {
                    own.of(0).unit() < probability
                } else {
                    passed += probability;
                    drawn < passed
                };
                if !is_hit {
                    continue;
                }
            }
            if !rule.take_turn() {
                continue;
            }
            plan.delay += rule.document.delay_ms.draw(own);
            if !rule.document.and_next {
                self.carry_out(rule, plan);
                plan.is_undrawn = draws_alone;
                return true;
            }
        }
        false
    }

    fn carry_out(&self, rule: &Rule, plan: &mut Plan) {
        plan.answer = match rule.deed.clone() {
            Deed::Honest => PlannedAnswer::Honest,
            Deed::Fixed(answer) => PlannedAnswer::Fixed(answer),
            Deed::WrongKey => PlannedAnswer::WrongKey,
            Deed::Break(how) => PlannedAnswer::Break(how),
            Deed::BreakAfter(how) => PlannedAnswer::BreakAfter(how),
            Deed::Stall => PlannedAnswer::Stall,
        };
        plan.wind_down = rule.document.winds_down();
        plan.hold = rule.document.withhold.then(|| Hold {
            releases: self.releases.subscribe(),
        });
    }

    /// The numbers, from 0, of the rules whose `share` this subscription is in.
    pub(super) fn shares_of(&self, subject: u64) -> Vec<usize> {
        let place = self.place(subject);
        let shares = self.rules.iter().map(|rule| rule.share.as_ref());
        let numbered = shares.enumerate();
        numbered
            .filter(|(_, share)| share.is_some_and(|share| share.contains(&place)))
            .map(|(number, _)| number)
            .collect()
    }

    /// Where among all subscriptions this one is, from 0 to 1.
    fn place(&self, subject: u64) -> f64 {
        self.places.of(subject).unit()
    }

    /// The rules as they were given, each with how many POSTs it still applies to.
    pub(super) fn show(&self) -> Vec<RuleDocument> {
        let shown = self.rules.iter().map(|rule| {
            let mut document = rule.document.clone();
            let remaining = rule.remaining.as_ref();
            document.times = remaining.map(|left| left.load(Ordering::Relaxed));
            document
        });
        shown.collect()
    }
}

impl Rule {
    /// Whether it is about such a POST, chance and `times` apart. `place` is where among all
    /// subscriptions this one is, from 0 to 1.
    fn is_about(&self, target: &Target<'_>, place: f64) -> bool {
        let is_named = |tokens: &HashSet<String>| tokens.contains(target.token);
        let is_in = |share: &Range<f64>| share.contains(&place);
        let is_there = |names: &Vec<String>| {
            let site = target.site;
            site.is_some_and(|site| names.iter().any(|name| site.is_called(name)))
        };
        let is_turn = |every: u64| target.on_connection.is_multiple_of(every);
        self.tokens.as_ref().is_none_or(is_named)
            && self.share.as_ref().is_none_or(is_in)
            && self.document.services.as_ref().is_none_or(is_there)
            && self.document.every.is_none_or(is_turn)
    }

    /// Takes one of the times that it applies; false if none is left.
    fn take_turn(&self) -> bool {
        self.remaining.as_ref().is_none_or(|remaining| {
            remaining
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
        })
    }
}
