//! How answers are decided: by the standard, unless a rule given from outside says otherwise.
//!
//! The one concept is the [`Plan`]: what is to be done with one POST, made before it is judged.
//! Everything that bends answers, by command or by chance, is a rule, and a rule can only say what a plan can hold. How answers are worded is the personality's matter.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use crate::service::Site;

mod delay;
mod document;
mod set;

use set::RuleSet;

pub(crate) use document::{RuleDocument, parse};

/// The most names that have rules at once.
const MAX_NAMES: usize = 256;

/// What to do with one POST.
pub(crate) struct Plan {
    pub(crate) answer: PlannedAnswer,
    /// How long the answer, or the break in its place, is kept back after the message was taken in.
    pub(crate) delay: Duration,
    pub(crate) hold: Option<Hold>,
    /// Whether the connection takes no more streams afterwards.
    pub(crate) wind_down: bool,
    /// Whether a rule with a draw of its own decided: the next POST of the subscription meets the
    /// chance that this one would have met.
    pub(crate) is_undrawn: bool,
}

impl Plan {
    pub(crate) const HONEST: Self = Self {
        answer: PlannedAnswer::Honest,
        delay: Duration::ZERO,
        hold: None,
        wind_down: false,
        is_undrawn: false,
    };
}

/// Which answer a POST gets.
pub(crate) enum PlannedAnswer {
    /// The one that the request deserves.
    Honest,
    /// This one. With a 2xx status the request is judged and, if good, taken in; with any other
    /// nothing is looked at and nobody gets the message.
    Fixed(Arc<FixedAnswer>),
    /// The one that a message signed with another key than the subscription's deserves.
    WrongKey,
    /// None: the stream or its connection ends. Nobody gets the message.
    Break(Break),
    /// The same, but a good message is taken in before.
    BreakAfter(Break),
    /// None, ever, for as long as the sender waits. Nobody gets the message.
    Stall,
}

/// How a POST ends that is not answered. With HTTP/1.1, closing the connection is all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// `RST_STREAM` with `INTERNAL_ERROR`: it may have been processed.
    Reset,
    /// `RST_STREAM` with `REFUSED_STREAM`: it was not (RFC 9113 §8.7).
    Refuse,
    /// The connection says goodbye at once, and answers none of its streams.
    GoAway,
    /// The connection ends with a TCP reset.
    Disconnect,
}

/// What a plan is made for.
pub(crate) struct Target<'a> {
    /// The token at the end of the endpoint.
    pub(crate) token: &'a str,
    pub(crate) site: Option<&'a Site>,
    /// What names the subscription to chance; the same in every run, where it can be.
    pub(crate) subject: u64,
    /// How many POSTs its subscription had before.
    pub(crate) posts: u64,
    /// Of these, how many were not decided by a rule with a draw of its own.
    pub(crate) nth: u64,
    /// The how manieth POST of its connection it is, from 1.
    pub(crate) on_connection: u64,
}

/// A chosen answer.
pub(crate) struct FixedAnswer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<HeaderValue>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<FixedBody>,
}

/// A chosen body.
pub(crate) struct FixedBody {
    pub(crate) octets: Bytes,
    pub(crate) media_type: HeaderValue,
}

/// A withheld answer waits here.
pub(crate) struct Hold {
    releases: watch::Receiver<u64>,
}

impl Hold {
    /// Resolves when the answer may go.
    pub(crate) async fn released(mut self) {
        // An error means that its rules are gone, and then nothing is worth holding.
        let _ = self.releases.changed().await;
    }
}

/// The rules in force. The first one that applies to a POST decides.
///
/// Each set of them is somebody's own: tests that run beside each other have a name each.
pub(crate) struct Behaviour {
    /// Spares the honest sandbox the lock.
    any: AtomicBool,
    sets: RwLock<Sets>,
    seed: u64,
}

struct Sets {
    /// The oldest name first.
    named: Vec<(String, RuleSet)>,
    unnamed: RuleSet,
}

/// The rules of one name.
#[derive(Serialize)]
pub(crate) struct NamedRules {
    name: String,
    rules: Vec<RuleDocument>,
}

impl Behaviour {
    /// `seed` is what chance follows from.
    pub(crate) fn honest(seed: u64) -> Self {
        Self {
            any: AtomicBool::new(false),
            sets: RwLock::new(Sets {
                named: Vec::new(),
                unnamed: RuleSet::unnamed(seed),
            }),
            seed,
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether no rule is in force.
    pub(crate) fn is_honest(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Replaces all rules of this name, or all without one. Answers that they held are released
    /// unless a new rule withholds too.
    pub(crate) fn replace(
        &self,
        name: Option<&str>,
        documents: Vec<RuleDocument>,
    ) -> Result<(), String> {
        let rules = document::rules(documents)?;
        self.change(|sets| {
            let set = match name {
                None => &mut sets.unnamed,
                Some(name) => sets.named(name, self.seed)?,
            };
            set.put(rules);
            Ok(())
        })
    }

    /// Removes all rules without a name and releases the answers that they held.
    pub(crate) fn restore(&self) {
        self.change(|sets| sets.unnamed.put(Vec::new()));
    }

    /// The same for a name; false if nobody uses it.
    pub(crate) fn remove(&self, name: &str) -> bool {
        self.change(|sets| {
            let before = sets.named.len();
            sets.named.retain(|(known, _)| known != name);
            sets.named.len() < before
        })
    }

    /// What to do with a POST.
    pub(crate) fn plan(&self, target: &Target<'_>) -> Plan {
        let mut plan = Plan::HONEST;
        if self.is_honest() {
            return plan;
        }
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let named = sets.named.iter().map(|(_, set)| set);
        for set in named.chain([&sets.unnamed]) {
            if set.decide(target, &mut plan) {
                break;
            }
        }
        plan
    }

    /// The numbers, from 0, of the rules without a name whose `share` this subscription is in.
    pub(crate) fn shares_of(&self, subject: u64) -> Vec<usize> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        sets.unnamed.shares_of(subject)
    }

    /// The rules without a name as they were given, each with how many POSTs it still applies to.
    pub(crate) fn show(&self) -> Vec<RuleDocument> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        sets.unnamed.show()
    }

    /// The same of each name, the oldest first.
    pub(crate) fn show_named(&self) -> Vec<NamedRules> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        sets.named.iter().map(NamedRules::of).collect()
    }

    /// The same of this name.
    pub(crate) fn show_of(&self, name: &str) -> Option<NamedRules> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let mut named = sets.named.iter();
        named.find(|(known, _)| known == name).map(NamedRules::of)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Sets) -> T) -> T {
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut sets);
        let mut all = sets.named.iter().map(|(_, set)| set).chain([&sets.unnamed]);
        let any = all.any(|set| !set.is_empty());
        self.any.store(any, Ordering::Release);
        changed
    }
}

impl Sets {
    /// The set of this name, new if there is none.
    fn named(&mut self, name: &str, seed: u64) -> Result<&mut RuleSet, String> {
        let too_many = || {
            format!(
                "{MAX_NAMES} names have rules, and no more are taken: DELETE those that are done \
                 with (GET /sandbox/behaviour lists all)"
            )
        };
        let known = self.named.iter().position(|(known, _)| known == name);
        let place = known.unwrap_or(self.named.len());
        if place == MAX_NAMES {
            return Err(too_many());
        }
        if known.is_none() {
            let set = RuleSet::named(seed, name);
            self.named.push((name.to_owned(), set));
        }
        let found = self.named.get_mut(place).map(|(_, set)| set);
        found.ok_or_else(too_many)
    }
}

impl NamedRules {
    fn of((name, set): &(String, RuleSet)) -> Self {
        Self {
            name: name.clone(),
            rules: set.show(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw;

    fn behave(json: &str) -> Behaviour {
        let behaviour = Behaviour::honest(7);
        behaviour
            .replace(None, document::parse(json.as_bytes()).unwrap())
            .unwrap();
        behaviour
    }

    fn status(plan: &Plan) -> Option<u16> {
        match &plan.answer {
            PlannedAnswer::Fixed(answer) => Some(answer.status.as_u16()),
            _ => None,
        }
    }

    fn plan(behaviour: &Behaviour, token: &str) -> Plan {
        plan_for(behaviour, token, draw::thing(token), 0)
    }

    fn plan_for(behaviour: &Behaviour, token: &str, subject: u64, nth: u64) -> Plan {
        behaviour.plan(&Target {
            token,
            site: None,
            subject,
            posts: nth,
            nth,
            on_connection: nth + 1,
        })
    }

    #[test]
    fn probabilities_are_those_of_all_posts_and_delays_come_on_top() {
        let behaviour = behave(
            r#"[{"delay_ms":30,"continue":true},{"probability":0.1,"status":429},
                {"probability":0.05,"status":503,"delay_ms":10},{"probability":0.02,"reset":true},
                {"probability":0.5,"delay_ms":1,"continue":true}]"#,
        );
        let plans: Vec<_> = (0..20_000)
            .map(|subject| plan_for(&behaviour, "a", subject, 0))
            .collect();
        let count =
            |wanted: &dyn Fn(&Plan) -> bool| plans.iter().filter(|plan| wanted(plan)).count();
        assert!((1_800..2_200).contains(&count(&|plan| status(plan) == Some(429))));
        assert!((900..1_100).contains(&count(&|plan| status(plan) == Some(503))));
        let resets = count(&|plan| matches!(plan.answer, PlannedAnswer::Break(Break::Reset)));
        assert!((320..480).contains(&resets));
        for plan in &plans {
            let millis = plan.delay.as_millis();
            match status(plan) {
                Some(503) => assert_eq!(millis, 40),
                Some(_) => assert_eq!(millis, 30),
                None => assert!((30..=31).contains(&millis)),
            }
        }
    }

    #[test]
    fn chance_is_the_same_again_with_the_same_seed() {
        let rules = r#"{"probability":0.5,"status":503,"delay_ms":{"p50_ms":50,"p99_ms":400}}"#;
        let all = |behaviour: &Behaviour| {
            (0..1_000)
                .map(|nth| plan_for(behaviour, "a", 3, nth))
                .map(|plan| (status(&plan), plan.delay))
                .collect::<Vec<_>>()
        };
        assert_eq!(all(&behave(rules)), all(&behave(rules)));
        let other = Behaviour::honest(8);
        other
            .replace(None, document::parse(rules.as_bytes()).unwrap())
            .unwrap();
        assert_ne!(all(&behave(rules)), all(&other));
    }

    #[test]
    fn whom_a_rule_with_times_met_does_not_change_whom_the_others_meet() {
        for passing in [
            r#"{"status":429,"times":40}"#,
            r#"{"status":429,"times":40,"probability":0.5}"#,
            r#"{"status":429,"every":3}"#,
            r#"{"status":429,"every":3,"probability":0.5}"#,
        ] {
            let rules = r#"{"status":503,"probability":0.3},{"reset":true,"probability":0.2}"#;
            let alone = behave(&format!("[{rules}]"));
            let beside = behave(&format!("[{passing},{rules}]"));
            let mut met = 0;
            for subject in 0..100 {
                // It posts until it is answered, as a sender does.
                let (mut posts, mut nth) = (0, 0);
                while nth < 4 {
                    let target = |nth| Target {
                        token: "a",
                        site: None,
                        subject,
                        posts,
                        nth,
                        on_connection: posts + 1,
                    };
                    let plan = beside.plan(&target(nth));
                    posts += 1;
                    if plan.is_undrawn {
                        met += 1;
                        assert_eq!(status(&plan), Some(429), "{passing}");
                        continue;
                    }
                    let expected = plan_for(&alone, "a", subject, nth);
                    assert_eq!(status(&plan), status(&expected), "{passing}");
                    nth += 1;
                }
            }
            assert!(met >= 40, "{passing} met {met}");
        }
    }

    #[test]
    fn whom_named_rules_meet_does_not_depend_on_other_names() {
        let rules = |json: &str| document::parse(json.as_bytes()).unwrap();
        let ours = r#"[{"status":503,"probability":0.3},{"status":410,"share":0.2}]"#;
        let alone = Behaviour::honest(7);
        alone.replace(Some("ours"), rules(ours)).unwrap();
        let beside = Behaviour::honest(7);
        let others = r#"[{"status":429,"probability":0.3},{"status":404,"share":0.2}]"#;
        beside.replace(None, rules(others)).unwrap();
        beside.replace(Some("ours"), rules(ours)).unwrap();
        beside.replace(Some("theirs"), rules(others)).unwrap();
        let (mut met, mut left) = ([0; 2], [0; 2]);
        for subject in 0..10_000 {
            let expected = status(&plan_for(&alone, "a", subject, 0));
            let got = status(&plan_for(&beside, "a", subject, 0));
            match expected {
                Some(503) => met[0] += 1,
                Some(_) => met[1] += 1,
                // Others have chances of their own, not what ours left of one.
                None => {
                    left[0] += 1;
                    left[1] += usize::from(got.is_some());
                    continue;
                }
            }
            assert_eq!(got, expected);
        }
        assert!((2_800..3_200).contains(&met[0]), "{met:?}");
        assert!((1_250..1_550).contains(&met[1]), "{met:?}");
        // Of two sets, each with 0.44 of all: 1 - 0.56².
        let part = left[1] * 100 / left[0];
        assert!((66..71).contains(&part), "{part}%");
    }

    #[test]
    fn shares_are_of_subscriptions_and_do_not_overlap() {
        let behaviour =
            behave(r#"[{"share":0.01,"status":410},{"share":0.2,"status":503,"probability":0.5}]"#);
        let mut gone = 0;
        for subject in 0..10_000 {
            let shares = behaviour.shares_of(subject);
            assert!(shares.len() <= 1);
            gone += usize::from(shares == [0]);
            let statuses: Vec<_> = (0..8)
                .map(|nth| status(&plan_for(&behaviour, "a", subject, nth)))
                .collect();
            let may_be: &[_] = match shares.as_slice() {
                [0] => &[Some(410)],
                [1] => &[Some(503), None],
                _ => &[None],
            };
            assert!(statuses.iter().all(|status| may_be.contains(status)));
        }
        assert!((70..130).contains(&gone), "{gone}");
    }

    #[test]
    fn every_so_many_posts_of_a_connection() {
        let behaviour = behave(r#"{"every":3,"goaway":"graceful"}"#);
        let winds: Vec<_> = (0..6)
            .map(|nth| plan_for(&behaviour, "a", 1, nth).wind_down)
            .collect();
        assert_eq!(winds, [false, false, true, false, false, true]);
    }

    #[test]
    fn the_first_applicable_rule_decides() {
        let behaviour = behave(
            r#"[{"status":410,"subscriptions":["http://127.0.0.1/wpush/v2/aaa"]},{"status":503}]"#,
        );
        assert_eq!(status(&plan(&behaviour, "aaa")), Some(410));
        assert_eq!(status(&plan(&behaviour, "bbb")), Some(503));
    }

    #[test]
    fn times_counts_down_and_shows_what_is_left() {
        let behaviour = behave(r#"{"status":429,"retry_after":"2","times":2}"#);
        assert_eq!(status(&plan(&behaviour, "a")), Some(429));
        assert_eq!(
            behaviour.show().first().and_then(|rule| rule.times),
            Some(1)
        );
        assert_eq!(status(&plan(&behaviour, "a")), Some(429));
        assert_eq!(status(&plan(&behaviour, "a")), None);
    }

    #[tokio::test]
    async fn a_second_withhold_keeps_what_the_first_held_and_honesty_releases_it() {
        let behaviour = behave(r#"{"withhold":true}"#);
        let hold = plan(&behaviour, "a").hold.unwrap();
        behaviour
            .replace(None, document::parse(br#"{"withhold":true}"#).unwrap())
            .unwrap();
        let mut released = std::pin::pin!(hold.released());
        assert!(futures_util::poll!(released.as_mut()).is_pending());
        behaviour.replace(None, Vec::new()).unwrap();
        released.await;
    }
}
