use super::*;

const LIMITS: OriginLimits = OriginLimits {
    http2_connections: 16,
    http2_streams: 100,
    http1_connections: 4,
    openings: 8,
};

const NOBODY: Waiting = Waiting { direct: 0, bulk: 0 };

/// A ledger whose connections are their numbers.
struct Rig {
    ledger: Ledger<u64>,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            ledger: Ledger::new(LIMITS, now),
            now,
        }
    }

    fn begin(&mut self, waiting: Waiting) -> usize {
        self.ledger.begin_to_open(waiting, self.now).0
    }

    fn open(&mut self, protocol: Protocol, streams: usize) -> u64 {
        let id = self.ledger.reserve_id();
        let spoken = (protocol, Some(streams));
        self.ledger.opened(id, id, spoken, self.now);
        id
    }

    fn open_many(&mut self, count: usize, protocol: Protocol) {
        for _ in 0..count {
            self.open(protocol, 100);
        }
    }

    /// So many HTTP/2 connections of so many streams.
    fn with_http2(connections: usize, streams: usize) -> Self {
        let mut rig = Self::new();
        for _ in 0..connections {
            let id = rig.open(Protocol::Http2, streams);
            rig.ledger.limit_changed(id, streams);
        }
        rig
    }

    /// Takes all there is for this lane.
    fn take_all(&mut self, lane: Lane) -> Vec<(Ticket, u64)> {
        std::iter::from_fn(|| self.ledger.take(lane)).collect()
    }

    fn give_back(&mut self, ticket: &Ticket) {
        let now = self.now;
        self.ledger.give_back(ticket, || now);
    }
}

fn bulk(waiting: usize) -> Waiting {
    Waiting {
        bulk: waiting,
        ..NOBODY
    }
}

#[test]
fn broadcasts_cannot_take_the_direct_share() {
    for (streams, for_bulk) in [(100, 95), (30, 28), (20, 19), (2, 1)] {
        let mut rig = Rig::with_http2(3, streams);
        let taken = rig.take_all(Lane::Bulk);
        assert_eq!(taken.len(), 3 * for_bulk, "of {streams}");
        let direct = rig.take_all(Lane::Direct);
        assert_eq!(direct.len(), 3 * (streams - for_bulk), "of {streams}");
        for (ticket, _) in &direct {
            rig.give_back(ticket);
        }
        assert!(rig.ledger.take(Lane::Bulk).is_none(), "of {streams}");
    }
}

#[test]
fn connections_with_a_single_stream_are_shared_too() {
    let mut rig = Rig::with_http2(16, 1);
    let taken = rig.take_all(Lane::Bulk);
    assert_eq!(taken.len(), 15);
    assert!(rig.ledger.take(Lane::Direct).is_some());
    let mut alone = Rig::with_http2(1, 1);
    assert!(alone.ledger.take(Lane::Bulk).is_some(), "or none ever was");
}

#[test]
fn http1_keeps_connections_for_direct_messages() {
    let mut rig = Rig::new();
    for _ in 0..LIMITS.http1_connections {
        rig.open(Protocol::Http1, 1);
    }
    let taken = rig.take_all(Lane::Bulk);
    assert_eq!(taken.len(), 3);
    assert_eq!(rig.take_all(Lane::Direct).len(), 1);
    rig.give_back(&taken[0].0);
    assert!(rig.ledger.take(Lane::Bulk).is_some());
}

#[test]
fn http1_opens_no_connections_that_broadcasts_may_not_use() {
    let mut rig = Rig::new();
    assert_eq!(rig.begin(bulk(1000)), 1, "nobody knows yet what is spoken");
    rig.open(Protocol::Http1, 1);
    let mut opened = 1;
    loop {
        rig.take_all(Lane::Bulk);
        let more = rig.begin(bulk(1000));
        if more == 0 {
            break;
        }
        opened += more;
        rig.open_many(more, Protocol::Http1);
    }
    assert_eq!(opened, 3);
    let direct = Waiting { direct: 1, bulk: 9 };
    assert_eq!(rig.begin(direct), 1, "the last one is for direct messages");
}

#[test]
fn a_direct_message_gets_the_connection_with_the_least_under_way() {
    let mut rig = Rig::with_http2(2, 100);
    for _ in 0..50 {
        assert_eq!(rig.ledger.take(Lane::Bulk).unwrap().1, 1, "filled in order");
    }
    assert_eq!(rig.ledger.take(Lane::Direct).unwrap().1, 2);
}

#[test]
fn connections_are_opened_before_they_are_full_and_not_before_that() {
    let mut rig = Rig::with_http2(1, 100);
    for _ in 0..80 {
        rig.ledger.take(Lane::Bulk).unwrap();
        assert_eq!(rig.begin(NOBODY), 0);
    }
    rig.ledger.take(Lane::Bulk).unwrap();
    assert_eq!(rig.begin(NOBODY), 1);
    assert_eq!(rig.begin(NOBODY), 0, "one is being opened already");
}

#[test]
fn connections_double_until_there_are_enough() {
    let mut rig = Rig::new();
    rig.ledger.expect(4096, rig.now);
    let mut steps = Vec::new();
    loop {
        let step = rig.begin(NOBODY);
        if step == 0 {
            break;
        }
        steps.push(step);
        assert_eq!(rig.begin(NOBODY), 0);
        rig.open_many(step, Protocol::Http2);
    }
    assert_eq!(steps, [1, 1, 2, 4, 8]);
    for (expected, enough) in [(1, 1), (80, 1), (200, 3)] {
        let mut rig = Rig::new();
        rig.ledger.expect(expected, rig.now);
        while rig.begin(NOBODY) > 0 {
            while rig.ledger.opening > 0 {
                rig.open(Protocol::Http2, 100);
            }
        }
        assert_eq!(rig.ledger.len(), enough, "for {expected}");
    }
}

#[test]
fn what_was_expected_and_came_is_expected_no_more() {
    let mut rig = Rig::with_http2(1, 100);
    rig.ledger.expect(90, rig.now);
    for _ in 0..60 {
        let (ticket, _) = rig.ledger.take(Lane::Bulk).unwrap();
        rig.give_back(&ticket);
    }
    assert_eq!(rig.begin(NOBODY), 0, "thirty are left");
    rig.ledger.expect(900, rig.now);
    rig.now += EXPECTED_FOR;
    assert_eq!(rig.begin(NOBODY), 0, "they never came");
}

#[test]
fn streams_that_the_push_service_takes_back_are_not_used() {
    let mut rig = Rig::with_http2(1, 100);
    let taken: Vec<_> = (0..10).map(|_| rig.ledger.take(Lane::Bulk)).collect();
    rig.ledger.limit_changed(1, 5);
    assert!(rig.ledger.take(Lane::Direct).is_none());
    let mut tickets = taken.into_iter().flatten();
    for (ticket, _) in tickets.by_ref().take(5) {
        rig.give_back(&ticket);
        assert!(
            rig.ledger.take(Lane::Direct).is_none(),
            "five are under way"
        );
    }
    rig.give_back(&tickets.next().unwrap().0);
    assert!(rig.ledger.take(Lane::Direct).is_some());
    rig.ledger.limit_changed(1, 1000);
    let all = rig.take_all(Lane::Direct).len();
    assert_eq!(all, 95, "our own limit holds too");
}

#[test]
fn no_streams_at_all_are_not_multiplied() {
    let mut rig = Rig::with_http2(1, 0);
    assert!(rig.ledger.take(Lane::Direct).is_none());
    assert_eq!(rig.begin(bulk(1000)), 0);
    rig.ledger.remove(1);
    assert_eq!(rig.begin(NOBODY), 0, "nobody wants one");
    assert_eq!(rig.begin(bulk(1000)), 1);
}

#[test]
fn a_failure_ends_hope_only_where_nothing_else_is_left() {
    let mut rig = Rig::new();
    assert_eq!(rig.begin(bulk(1)), 1);
    assert!(
        !rig.ledger.not_opened(false, rig.now, rig.now),
        "there is nothing else"
    );
    assert_eq!(rig.begin(bulk(1)), 1, "whoever comes next tries anew");
    rig.open(Protocol::Http2, 100);
    assert_eq!(rig.begin(bulk(1000)), 1);
    assert!(
        rig.ledger.not_opened(false, rig.now, rig.now),
        "one is open"
    );
    assert_eq!(rig.begin(bulk(1000)), 0, "not at once");
    rig.now += FIRST_PAUSE;
    assert_eq!(rig.begin(bulk(1000)), 1);
}

#[test]
fn what_fails_together_counts_once() {
    let mut rig = Rig::with_http2(8, 100);
    let began = rig.now;
    assert_eq!(rig.begin(bulk(10_000)), 8);
    for _ in 0..7 {
        rig.ledger.not_opened(false, began, rig.now);
    }
    assert_eq!(rig.ledger.open_from - rig.now, FIRST_PAUSE);
    rig.ledger.pause(rig.now);
    assert_eq!(rig.ledger.open_from - rig.now, FIRST_PAUSE, "told twice");
    rig.now += FIRST_PAUSE;
    rig.ledger.not_opened(false, began, rig.now);
    let (count, from) = rig.ledger.begin_to_open(bulk(10_000), rig.now);
    assert_eq!(
        (count, from),
        (8, rig.now),
        "the last of them makes nothing worse"
    );
    rig.ledger.not_opened(false, from, rig.now);
    assert_eq!(rig.ledger.open_from - rig.now, 2 * FIRST_PAUSE, "once more");
}

#[test]
fn a_number_of_streams_that_was_told_early_counts_for_those_to_come() {
    let mut rig = Rig::new();
    rig.open(Protocol::Http2, 10);
    for _ in 0..9 {
        rig.ledger.take(Lane::Bulk).unwrap();
    }
    assert!(rig.ledger.take(Lane::Bulk).is_none());
    assert_eq!(rig.begin(NOBODY), 1, "more than eight of ten");
}

#[test]
fn a_small_announcement_takes_nothing_back() {
    let mut rig = Rig::with_http2(1, 100);
    rig.ledger.expect(200, rig.now);
    rig.ledger.expect(1, rig.now);
    assert_eq!(rig.begin(NOBODY), 1);
    rig.now += EXPECTED_FOR;
    rig.ledger.expect(1, rig.now);
    rig.open(Protocol::Http2, 100);
    assert_eq!(rig.begin(NOBODY), 0, "what never came is over");
}

#[test]
fn the_connection_that_is_idle_for_longest_is_closed_first() {
    let mut rig = Rig::with_http2(3, 100);
    let busy = rig.ledger.take(Lane::Direct).unwrap();
    let used = rig.ledger.take(Lane::Direct).unwrap();
    let began = rig.now;
    rig.now += Duration::from_secs(1);
    assert_eq!((busy.1, used.1), (1, 2));
    rig.give_back(&used.0);
    assert_eq!(rig.ledger.idle_since(), Some(began));
    assert_eq!(rig.ledger.take_longest_idle(), Some(3));
    assert_eq!(rig.ledger.take_longest_idle(), Some(2));
    assert_eq!(rig.ledger.take_longest_idle(), None, "the other is busy");
}

#[test]
fn a_push_service_that_asks_for_calm_gets_it() {
    let mut rig = Rig::with_http2(1, 100);
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        rig.ledger.pause(rig.now);
        rig.ledger.remove(rig.ledger.next_id);
        let (count, from) = rig.ledger.begin_to_open(bulk(1), rig.now);
        assert_eq!((count, from - rig.now), (1, Duration::from_secs(pause)));
        rig.now = from;
        rig.open(Protocol::Http2, 100);
    }
    rig.now += LONGEST_PAUSE + Duration::from_millis(1);
    rig.ledger.pause(rig.now);
    assert_eq!(rig.ledger.open_from - rig.now, FIRST_PAUSE, "forgiven");
}

#[test]
fn only_idle_connections_are_closed() {
    let mut rig = Rig::with_http2(3, 100);
    let busy = rig.ledger.take(Lane::Bulk).unwrap();
    rig.now += Duration::from_mins(1);
    let later = rig.ledger.take(Lane::Direct).unwrap();
    assert_eq!((busy.1, later.1), (1, 2));
    rig.give_back(&later.0);
    rig.now += Duration::from_secs(1);
    let idle = rig.ledger.take_idle(rig.now, Duration::from_secs(30));
    assert_eq!(idle, [3]);
}

#[test]
fn what_is_under_way_on_a_removed_connection_is_still_counted_off() {
    let mut rig = Rig::with_http2(1, 100);
    let (ticket, _) = rig.ledger.take(Lane::Bulk).unwrap();
    assert_eq!(rig.ledger.remove(1), Some(1));
    assert!(!rig.ledger.is_unused());
    rig.give_back(&ticket);
    assert!(rig.ledger.is_unused());
}
