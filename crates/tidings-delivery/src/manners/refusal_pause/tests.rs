use super::*;

const A: Verdict = Verdict::Accepted;
const R: Verdict = Verdict::Refused;
const N: Verdict = Verdict::Neither;

struct Case {
    name: &'static str,
    /// How often, what, and whether each from an endpoint of its own.
    answers: &'static [(u64, Verdict, bool)],
    pauses: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "nineteen subscriptions",
        answers: &[(19, R, true)],
        pauses: false,
    },
    Case {
        name: "twenty subscriptions",
        answers: &[(20, R, true)],
        pauses: true,
    },
    Case {
        name: "one subscription a thousand times",
        answers: &[(1000, R, false)],
        pauses: false,
    },
    Case {
        name: "an acceptance between",
        answers: &[(19, R, true), (1, A, true), (19, R, true)],
        pauses: false,
    },
    Case {
        name: "other answers between, a tenth",
        answers: &[(2, N, true), (20, R, true)],
        pauses: true,
    },
    Case {
        name: "other answers between, more than a tenth",
        answers: &[(3, N, true), (20, R, true)],
        pauses: false,
    },
    Case {
        name: "a good past and a few that refuse",
        answers: &[(200, A, true), (179, R, true)],
        pauses: false,
    },
    Case {
        name: "a good past and a key that is refused from now on",
        answers: &[(200, A, true), (180, R, true)],
        pauses: true,
    },
];

/// What is told to a pause.
struct World {
    pause: RefusalPause,
    policy: MannersPolicy,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            pause: RefusalPause::default(),
            policy: MannersPolicy::default(),
            now: Instant::now(),
        }
    }

    fn late(&mut self, verdict: Verdict, has_accepted: bool, endpoint: u64) -> Change {
        self.tell(verdict, has_accepted, endpoint, Probes::default())
    }

    fn tell(
        &mut self,
        verdict: Verdict,
        has_accepted: bool,
        endpoint: u64,
        probes: Probes,
    ) -> Change {
        let teller = Teller {
            endpoint,
            has_accepted,
            probes,
        };
        self.pause
            .answered(verdict, &teller, self.now, 0, &self.policy)
    }

    fn wait(&self, has_accepted: bool) -> Duration {
        self.pause.wait(has_accepted, self.now, &self.policy)
    }

    fn pause_for(&mut self, has_accepted: bool) {
        for endpoint in 0..20 {
            self.late(R, has_accepted, endpoint);
        }
        assert!(self.pause.is_paused());
    }
}

#[test]
fn it_takes_many_subscriptions_and_nearly_all_answers() {
    for case in CASES {
        for has_accepted in [true, false] {
            let mut world = World::new();
            let mut changes = Vec::new();
            let mut endpoint = 0;
            for (times, verdict, own) in case.answers {
                for _ in 0..*times {
                    endpoint += u64::from(*own);
                    // Longer than newcomers do not count after an acceptance.
                    world.now += Duration::from_secs(10);
                    changes.push(world.late(*verdict, has_accepted, endpoint));
                }
            }
            let paused = changes.iter().filter(|it| **it == Change::Paused).count();
            assert_eq!(paused == 1, case.pauses, "{}", case.name);
            let waits = world.wait(has_accepted);
            assert_eq!(!waits.is_zero(), case.pauses, "{}", case.name);
        }
    }
}

#[test]
fn single_probes_until_one_is_accepted() {
    for (has_accepted, longest_wait) in [(true, 150), (false, 5)] {
        let mut world = World::new();
        world.pause_for(has_accepted);
        let mut longest = Duration::ZERO;
        for _ in 0..15 {
            let wait = world.wait(has_accepted);
            longest = longest.max(wait);
            world.now += wait;
            let probes = world.pause.begin(has_accepted, world.now);
            assert_ne!(probes, Probes::default());
            assert!(!world.wait(has_accepted).is_zero(), "one at a time");
            assert_eq!(world.late(R, has_accepted, 99), Change::None);
            assert!(
                !world.wait(has_accepted).is_zero(),
                "a late one is no probe"
            );
            assert_eq!(world.tell(R, has_accepted, 99, probes), Change::None);
        }
        assert_eq!(longest.as_secs(), longest_wait, "without jitter");
        world.now += world.wait(has_accepted);
        let probes = world.pause.begin(has_accepted, world.now);
        assert_eq!(world.tell(N, has_accepted, 99, probes), Change::None);
        assert_eq!(world.wait(has_accepted), longest, "it told nothing");
        world.now += world.wait(has_accepted);
        let probes = world.pause.begin(has_accepted, world.now);
        world.pause.not_sent(probes);
        assert!(world.wait(has_accepted).is_zero(), "another one at once");
        assert_eq!(world.late(A, !has_accepted, 5), Change::Resumed);
        assert!(world.wait(has_accepted).is_zero());
        let probes = world.pause.begin(has_accepted, world.now);
        assert_eq!(probes, Probes::default());
    }
}

#[test]
fn whoever_accepted_before_waits_for_no_newcomers() {
    let mut world = World::new();
    world.pause_for(false);
    assert!(!world.wait(false).is_zero());
    assert!(world.wait(true).is_zero());
    let probes = world.pause.begin(true, world.now);
    assert_eq!(probes, Probes::default(), "no probe, but one of many");
    assert_eq!(world.late(A, true, 1), Change::Resumed);
    assert!(world.wait(false).is_zero());
}

#[test]
fn newcomers_do_not_count_beside_an_acceptance() {
    let mut world = World::new();
    world.late(A, true, 1);
    world.now += Duration::from_millis(9_999);
    for endpoint in 0..1000 {
        assert_eq!(world.late(R, false, endpoint), Change::None);
    }
    assert!(world.wait(false).is_zero());
    world.now += Duration::from_millis(1);
    let paused = (0..20).map(|endpoint| world.late(R, false, endpoint));
    assert_eq!(paused.last(), Some(Change::Paused));
    assert!(world.wait(true).is_zero());
}

#[test]
fn newcomers_leave_the_probes_to_those_who_accepted_before() {
    let mut world = World::new();
    world.pause_for(true);
    let first = world.wait(true);
    assert!(world.wait(false) > first);
    world.now += first;
    assert!(world.wait(true).is_zero());
    assert!(!world.wait(false).is_zero(), "not while others may");
    world.now += Duration::from_secs(1);
    assert!(world.wait(false).is_zero(), "nobody else came");
    let probes = world.pause.begin(false, world.now);
    assert!(!world.wait(true).is_zero(), "one at a time");
    world.tell(R, false, 99, probes);
    assert_eq!(world.wait(true), first, "it tells nothing");
    let probes = world.pause.begin(false, world.now + Duration::from_secs(2));
    assert_eq!(world.tell(A, false, 98, probes), Change::Resumed);
    assert!(world.wait(true).is_zero());
}
