//! Which connection the next request goes to, and when to open another: the rules of a pool, without
//! sockets, locks or tasks.

use std::time::Duration;

use tidings_core::batch::Lane;
use tokio::time::Instant;

use crate::transport::http2::STREAMS_UNTOLD;
use crate::transport::limits::OriginLimits;

/// Of what a connection carries, one part in so many is for direct messages alone.
const DIRECT_SHARE: usize = 20;

/// How long an announcement of deliveries holds.
const EXPECTED_FOR: Duration = Duration::from_secs(30);

/// How long nothing is opened after something went wrong, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The connections to one origin, and what is under way on each.
#[derive(Debug)]
pub(super) struct Ledger<C> {
    limits: OriginLimits,
    /// In the order in which they are filled: where few are needed the others stay idle, and are
    /// closed.
    slots: Vec<Slot<C>>,
    next_id: u64,
    opening: usize,
    /// What the last connection spoke; unknown before the first.
    protocol: Option<Protocol>,
    /// Requests that a connection takes, as the push service said last.
    streams: usize,
    in_flight: usize,
    /// Broadcasts' requests on connections that take one at a time.
    bulk_alone: usize,
    expected: usize,
    expected_until: Instant,
    /// Nothing is opened before this instant.
    open_from: Instant,
    failures: u32,
    /// Whether the last connection could not be opened.
    failed: bool,
}

#[derive(Debug)]
struct Slot<C> {
    id: u64,
    connection: C,
    limit: usize,
    in_flight: usize,
    idle_since: Instant,
}

/// Where a request counts until it is given back.
#[derive(Debug)]
pub(in crate::transport) struct Ticket {
    id: u64,
    /// A broadcast's, on a connection that takes one request at a time.
    bulk_alone: bool,
}

/// How many wait for room, by lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    pub(super) direct: usize,
    pub(super) bulk: usize,
}

impl Ticket {
    /// Of the connection.
    pub(in crate::transport) fn id(&self) -> u64 {
        self.id
    }
}

impl<C: Clone> Ledger<C> {
    pub(super) fn new(limits: OriginLimits, now: Instant) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            next_id: 0,
            opening: 0,
            protocol: None,
            streams: limits.http2_streams,
            in_flight: 0,
            bulk_alone: 0,
            expected: 0,
            expected_until: now,
            open_from: now,
            failures: 0,
            failed: false,
        }
    }

    /// Whether there are connections that take requests, if not at this moment.
    pub(super) fn takes_requests(&self) -> bool {
        self.slots.iter().any(|slot| slot.limit > 0)
    }

    /// Takes room for a request. A direct message gets the connection with the least under way: it
    /// shall not queue behind a broadcast.
    pub(super) fn take(&mut self, lane: Lane) -> Option<(Ticket, C)> {
        let bulk_alone_full = self.bulk_alone >= bulk_share(self.connections());
        let slot = match lane {
            Lane::Direct => self
                .slots
                .iter_mut()
                .filter(|slot| slot.in_flight < slot.limit)
                .min_by_key(|slot| slot.in_flight),
            Lane::Bulk => self.slots.iter_mut().find(|slot| {
                slot.in_flight < bulk_share(slot.limit) && (slot.limit > 1 || !bulk_alone_full)
            }),
        }?;
        slot.in_flight += 1;
        self.in_flight += 1;
        self.expected = self.expected.saturating_sub(1);
        let bulk_alone = lane == Lane::Bulk && slot.limit == 1;
        self.bulk_alone += usize::from(bulk_alone);
        let ticket = Ticket {
            id: slot.id,
            bulk_alone,
        };
        Some((ticket, slot.connection.clone()))
    }

    /// Whether its connection is idle now.
    pub(super) fn give_back(&mut self, ticket: &Ticket, now: impl FnOnce() -> Instant) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.bulk_alone {
            self.bulk_alone = self.bulk_alone.saturating_sub(1);
        }
        // It may be gone already.
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == ticket.id) else {
            return false;
        };
        slot.in_flight = slot.in_flight.saturating_sub(1);
        if slot.in_flight == 0 {
            slot.idle_since = now();
        }
        slot.in_flight == 0
    }

    /// The id under which a connection that will be [opened](Self::opened) is told apart.
    pub(super) fn reserve_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A connection is open. The push service may have told by now how many requests it takes.
    pub(super) fn opened(
        &mut self,
        id: u64,
        connection: C,
        (protocol, told): (Protocol, Option<usize>),
        now: Instant,
    ) {
        self.opening = self.opening.saturating_sub(1);
        self.failed = false;
        self.protocol = Some(protocol);
        self.slots.push(Slot {
            id,
            connection,
            limit: self.allowed(STREAMS_UNTOLD),
            in_flight: 0,
            idle_since: now,
        });
        if let Some(told) = told {
            self.limit_changed(id, told);
        }
    }

    /// A connection, begun at `from`, could not be opened. Where others carry on, the next try has
    /// time. Whether there is any hope left for those who wait: what may have been `chance` is tried
    /// once more, as all of them would fail with one connection.
    pub(super) fn not_opened(&mut self, chance: bool, from: Instant, now: Instant) -> bool {
        self.opening = self.opening.saturating_sub(1);
        let once_more = chance && !self.failed;
        self.failed = true;
        // Those that were begun together fail together: once.
        if !self.slots.is_empty() && from >= self.open_from {
            self.pause(now);
        }
        !self.slots.is_empty() || self.opening > 0 || once_more
    }

    /// A connection is not opened after all: nobody waits for it any more.
    pub(super) fn not_wanted(&mut self) {
        self.opening = self.opening.saturating_sub(1);
    }

    /// Opens nothing for a while, longer each time until all went well for as long as it gets.
    pub(super) fn pause(&mut self, now: Instant) {
        if now < self.open_from {
            return;
        }
        if now > self.open_from + LONGEST_PAUSE {
            self.failures = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.open_from = now + pause.min(LONGEST_PAUSE);
    }

    /// The push service allows another number of streams.
    pub(super) fn limit_changed(&mut self, id: u64, limit: usize) {
        let limit = self.allowed(limit);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            slot.limit = limit;
            self.streams = limit;
        }
    }

    /// A connection takes nothing new. What is under way on it goes on.
    pub(super) fn remove(&mut self, id: u64) -> Option<C> {
        let at = self.slots.iter().position(|slot| slot.id == id)?;
        Some(self.slots.remove(at).connection)
    }

    /// Takes out the connections that carried nothing for so long.
    pub(super) fn take_idle(&mut self, now: Instant, idle: Duration) -> Vec<C> {
        let is_idle = |slot: &mut Slot<C>| {
            slot.in_flight == 0 && now.saturating_duration_since(slot.idle_since) > idle
        };
        let taken = self.slots.extract_if(.., is_idle);
        taken.map(|slot| slot.connection).collect()
    }

    /// Of those that carry nothing, takes out the one that did so for longest.
    pub(super) fn take_longest_idle(&mut self) -> Option<C> {
        let idle = self.slots.iter().enumerate();
        let idle = idle.filter(|(_, slot)| slot.in_flight == 0);
        let (at, _) = idle.min_by_key(|(_, slot)| slot.idle_since)?;
        Some(self.slots.remove(at).connection)
    }

    /// Since when a connection carries nothing, if one does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.slots.iter().filter(|slot| slot.in_flight == 0);
        idle.map(|slot| slot.idle_since).min()
    }

    /// So many deliveries come soon: of one batch, beside what others announced.
    pub(super) fn expect(&mut self, deliveries: usize, now: Instant) {
        if now >= self.expected_until {
            self.expected = 0;
        }
        self.expected = self.expected.max(deliveries);
        self.expected_until = now + EXPECTED_FOR;
    }

    /// How many connections to open now, and from when on. They count as being opened from here
    /// on.
    pub(super) fn begin_to_open(&mut self, waiting: Waiting, now: Instant) -> (usize, Instant) {
        let count = self.missing(waiting, now);
        if self.open_from > now && !self.slots.is_empty() {
            return (0, now);
        }
        self.opening += count;
        (count, self.open_from.max(now))
    }

    /// Whether nothing is under way, and nothing is being opened.
    pub(super) fn is_unused(&self) -> bool {
        self.in_flight == 0 && self.opening == 0
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn missing(&self, waiting: Waiting, now: Instant) -> usize {
        let open = self.slots.len() + self.opening;
        let expected = if now < self.expected_until {
            self.expected
        } else {
            0
        };
        let needed = match self.protocol {
            // One, to find out what is spoken.
            None => usize::from(waiting.direct + waiting.bulk + expected > 0),
            Some(Protocol::Http1) => {
                // More than this is kept from broadcasts, so it need not be opened for them.
                let bulk_room = bulk_share(self.connections()).saturating_sub(self.bulk_alone);
                self.in_flight + waiting.direct + (waiting.bulk.max(expected)).min(bulk_room)
            }
            // Nobody knows whether another one would allow more than none.
            Some(Protocol::Http2) => {
                let wanted = self.in_flight + waiting.direct + waiting.bulk.max(expected);
                match self.streams {
                    // Nobody knows whether another one would allow more than none.
                    0 => wanted.min(1),
                    streams => wanted.div_ceil(filled(streams).max(1)),
                }
            }
        };
        // At most as many more as there are: a doubling.
        let gently = self.slots.len().max(1).saturating_sub(self.opening);
        needed
            .min(self.connections())
            .saturating_sub(open)
            .min(gently)
            .min(self.limits.openings.saturating_sub(self.opening))
    }

    /// Requests that may be under way on a connection, by our limit and the push service's.
    fn allowed(&self, limit: usize) -> usize {
        match self.protocol {
            Some(Protocol::Http1) => 1,
            _ => limit.min(self.limits.http2_streams),
        }
    }

    /// Connections that may be open at once.
    fn connections(&self) -> usize {
        match self.protocol {
            Some(Protocol::Http1) => self.limits.http1_connections,
            _ => self.limits.http2_connections,
        }
    }
}

/// What broadcasts may use: a twentieth, and at least one, is left for direct messages where there
/// is more than one.
fn bulk_share(limit: usize) -> usize {
    if limit <= 1 {
        return limit;
    }
    limit - limit.div_ceil(DIRECT_SHARE)
}

/// What a connection carries before another one is opened: earlier than it is needed.
fn filled(room: usize) -> usize {
    room * 4 / 5
}

#[cfg(test)]
mod tests;
