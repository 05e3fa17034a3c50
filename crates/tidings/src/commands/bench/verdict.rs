//! Whether the figures are worth anything: did everybody get the message, exactly once, and was it
//! the server that was measured?

use std::time::Duration;

use super::broadcast::Broadcast;
use super::push_service::Stats;
use crate::cli::BenchArgs;

/// A push service that is busier than this may be what was measured.
const MAX_PUSH_SERVICE_SHARE: f64 = 0.8;

/// A run that was shorter than this says nothing of anybody's share.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// What the push service must have counted.
pub(super) struct Expected {
    /// By the broadcast.
    pub(super) targeted: u64,
    /// In all, of which the broadcast has one for each subscriber.
    pub(super) messages: u64,
    pub(super) subscribers: u64,
    pub(super) decrypted: u64,
}

impl Expected {
    /// After a broadcast and nothing else.
    pub(super) fn of_broadcast(args: &BenchArgs) -> Self {
        let subscribers = u64::from(args.subscribers);
        Self {
            targeted: subscribers,
            messages: subscribers,
            subscribers,
            decrypted: subscribers.div_ceil(u64::from(args.decrypt_one_in.get())),
        }
    }
}

/// What is wrong.
pub(super) fn problems(expected: &Expected, stats: &Stats, broadcast: &Broadcast) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, actual: u64, expected: u64| {
        if actual != expected {
            problems.push(format!("{what}: {actual}, not {expected}"));
        }
    };
    let counts = &broadcast.message.counts;
    expect("targeted", counts.targeted, expected.targeted);
    expect(
        "accepted, says the server",
        counts.accepted,
        expected.subscribers,
    );
    expect(
        "accepted by the push service",
        stats.accepted,
        expected.messages,
    );
    // Everybody was reached, and with as many messages as there are people nobody got two.
    expect(
        "subscribers reached",
        stats.subscriptions_reached,
        expected.subscribers,
    );
    let created = stats.answers.get("201").copied().unwrap_or_default();
    expect("answered with 201", created, expected.messages);
    expect(
        "answered in all",
        stats.answers.values().sum(),
        expected.messages,
    );
    expect("in flight in the end", stats.in_flight, 0);
    expect("duplicates", stats.duplicates, 0);
    expect("that could not be decrypted", stats.decrypt_failures, 0);
    expect("decrypted", stats.decrypted, expected.decrypted);
    let share = broadcast.push_service_share();
    if share > MAX_PUSH_SERVICE_SHARE && broadcast.sending() >= SHORT {
        problems.push(format!(
            "the push service was busy for {:.0} % of the time, over {:.0} %: it may be what was \
             measured",
            share * 100.0,
            MAX_PUSH_SERVICE_SHARE * 100.0
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(answers: u64, duplicates: u64, push_service_s: u64) -> Vec<String> {
        let expected = Expected {
            targeted: 500,
            messages: 500,
            subscribers: 500,
            decrypted: 5,
        };
        let stats = json!({
            "posts": answers, "accepted": answers, "subscriptions_reached": 500,
            "answers": {"201": answers}, "in_flight": 0, "duplicates": duplicates,
            "decrypted": 5, "decrypt_failures": 0,
        });
        let stats: Stats = serde_json::from_value(stats).unwrap();
        let broadcast = Broadcast::of_500_in_two_seconds(Duration::from_secs(push_service_s));
        problems(&expected, &stats, &broadcast)
    }

    #[test]
    fn figures_count_if_everybody_got_one() {
        assert_eq!(found(500, 0, 1), Vec::<String>::new());
        let twice = found(501, 1, 1).join("; ");
        assert_eq!(
            twice,
            "accepted by the push service: 501, not 500; answered with 201: 501, not 500; \
             answered in all: 501, not 500; duplicates: 1, not 0"
        );
    }

    #[test]
    fn a_push_service_at_its_limit_spoils_them() {
        let busy = found(500, 0, 2);
        assert!(busy.len() == 1 && busy[0].contains("100 %"), "{busy:?}");
    }
}
