//! How answers are decided: by the standard, unless a rule given from outside says otherwise.
//!
//! The one concept is the [`Plan`]: what is to be done with one POST, made before it is judged.
//! Everything that bends answers (commands today, faults by probability next) becomes a rule, and
//! a rule can only say what a plan can hold. How answers are worded is the personality's matter.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::watch;

mod document;

pub(crate) use document::{RuleDocument, parse};

/// What to do with one POST.
pub(crate) struct Plan {
    pub(crate) answer: PlannedAnswer,
    /// How long the answer is kept back after the message was taken in.
    pub(crate) delay: Duration,
    pub(crate) hold: Option<Hold>,
}

impl Plan {
    const HONEST: Self = Self {
        answer: PlannedAnswer::Honest,
        delay: Duration::ZERO,
        hold: None,
    };
}

/// Which answer a POST gets.
pub(crate) enum PlannedAnswer {
    /// The one that the request deserves.
    Honest,
    /// This one. With a 2xx status the request is judged and, if good, taken in; with any other
    /// nothing is looked at and nobody gets the message.
    Fixed(Arc<FixedAnswer>),
    /// None: the stream is reset (HTTP/1.1: the connection is closed). Nobody gets the message.
    Reset,
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
        // An error means that the sandbox is gone, and then nothing is worth holding.
        let _ = self.releases.changed().await;
    }
}

/// One rule in force.
struct Rule {
    document: RuleDocument,
    answer: FixedOrReset,
    tokens: Option<HashSet<String>>,
    /// How many more POSTs it applies to.
    remaining: Option<AtomicU64>,
}

#[derive(Clone)]
enum FixedOrReset {
    Neither,
    Fixed(Arc<FixedAnswer>),
    Reset,
}

impl Rule {
    fn applies_to(&self, token: &str) -> bool {
        if self
            .tokens
            .as_ref()
            .is_some_and(|tokens| !tokens.contains(token))
        {
            return false;
        }
        self.remaining.as_ref().is_none_or(|remaining| {
            remaining
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
        })
    }
}

/// The rules in force. The first one that applies to a POST decides.
pub(crate) struct Behaviour {
    /// Spares the honest sandbox the lock.
    any: AtomicBool,
    rules: RwLock<Vec<Rule>>,
    releases: watch::Sender<u64>,
}

impl Behaviour {
    pub(crate) fn honest() -> Self {
        Self {
            any: AtomicBool::new(false),
            rules: RwLock::new(Vec::new()),
            releases: watch::Sender::new(0),
        }
    }

    /// Replaces all rules. Answers held so far are released unless a new rule withholds too.
    pub(crate) fn replace(&self, documents: Vec<RuleDocument>) -> Result<(), String> {
        let rules = documents
            .into_iter()
            .map(Rule::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        self.put(rules);
        Ok(())
    }

    /// Removes all rules and releases all answers.
    pub(crate) fn restore(&self) {
        self.put(Vec::new());
    }

    /// What to do with a POST to the subscription with this token.
    pub(crate) fn plan(&self, token: &str) -> Plan {
        if !self.any.load(Ordering::Acquire) {
            return Plan::HONEST;
        }
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let Some(rule) = rules.iter().find(|rule| rule.applies_to(token)) else {
            return Plan::HONEST;
        };
        Plan {
            answer: match rule.answer.clone() {
                FixedOrReset::Neither => PlannedAnswer::Honest,
                FixedOrReset::Fixed(answer) => PlannedAnswer::Fixed(answer),
                FixedOrReset::Reset => PlannedAnswer::Reset,
            },
            delay: Duration::from_millis(rule.document.delay_ms),
            hold: rule.document.withhold.then(|| Hold {
                releases: self.releases.subscribe(),
            }),
        }
    }

    /// The rules as they were given, each with how many POSTs it still applies to.
    pub(crate) fn show(&self) -> Vec<RuleDocument> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules
            .iter()
            .map(|rule| {
                let mut document = rule.document.clone();
                document.times = rule
                    .remaining
                    .as_ref()
                    .map(|left| left.load(Ordering::Relaxed));
                document
            })
            .collect()
    }

    fn put(&self, rules: Vec<Rule>) {
        let withholds = rules.iter().any(|rule| rule.document.withhold);
        let mut current = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!rules.is_empty(), Ordering::Release);
        *current = rules;
        if !withholds {
            // Under the lock: a plan made before sees this release, a plan made after is new.
            self.releases.send_modify(|release| *release += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behave(json: &str) -> Behaviour {
        let behaviour = Behaviour::honest();
        behaviour
            .replace(document::parse(json.as_bytes()).unwrap())
            .unwrap();
        behaviour
    }

    fn status(plan: &Plan) -> Option<u16> {
        match &plan.answer {
            PlannedAnswer::Fixed(answer) => Some(answer.status.as_u16()),
            PlannedAnswer::Honest | PlannedAnswer::Reset => None,
        }
    }

    #[test]
    fn the_first_applicable_rule_decides() {
        let behaviour = behave(
            r#"[{"status":410,"subscriptions":["http://127.0.0.1/wpush/v2/aaa"]},{"status":503}]"#,
        );
        assert_eq!(status(&behaviour.plan("aaa")), Some(410));
        assert_eq!(status(&behaviour.plan("bbb")), Some(503));
    }

    #[test]
    fn times_counts_down_and_shows_what_is_left() {
        let behaviour = behave(r#"{"status":429,"retry_after":"2","times":2}"#);
        assert_eq!(status(&behaviour.plan("a")), Some(429));
        assert_eq!(
            behaviour.show().first().and_then(|rule| rule.times),
            Some(1)
        );
        assert_eq!(status(&behaviour.plan("a")), Some(429));
        assert_eq!(status(&behaviour.plan("a")), None);
    }

    #[tokio::test]
    async fn a_second_withhold_keeps_what_the_first_held_and_honesty_releases_it() {
        let behaviour = behave(r#"{"withhold":true}"#);
        let hold = behaviour.plan("a").hold.unwrap();
        behaviour
            .replace(document::parse(br#"{"withhold":true}"#).unwrap())
            .unwrap();
        let mut released = std::pin::pin!(hold.released());
        assert!(futures_util::poll!(released.as_mut()).is_pending());
        behaviour.replace(Vec::new()).unwrap();
        released.await;
    }
}
