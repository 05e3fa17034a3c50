//! What happened, counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use serde::Serialize;

use crate::connections::{Connection, Connections, ConnectionsReport, Protocol};

mod tally;

pub(crate) use tally::Tally;

/// One past the largest status that can be counted.
const STATUSES: usize = 600;

/// A number that only grows, until a reset.
#[derive(Default)]
pub(crate) struct Counter {
    value: AtomicU64,
}

impl Counter {
    pub(crate) fn increment(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
    }

    fn decrement(&self) {
        self.value.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.value.store(0, Ordering::Relaxed);
    }
}

/// The codes that user agents send, each with a counter; anything else counts as `other`.
pub(crate) struct CodeCounters<const N: usize> {
    codes: [u16; N],
    counters: [Counter; N],
    other: Counter,
}

impl<const N: usize> CodeCounters<N> {
    fn new(codes: [u16; N]) -> Self {
        Self {
            codes,
            counters: std::array::from_fn(|_| Counter::default()),
            other: Counter::default(),
        }
    }

    pub(crate) fn count(&self, code: u16) {
        let counter = self
            .codes
            .iter()
            .zip(&self.counters)
            .find(|(known, _)| **known == code);
        counter
            .map_or(&self.other, |(_, counter)| counter)
            .increment();
    }

    fn reset(&self) {
        self.counters
            .iter()
            .chain([&self.other])
            .for_each(Counter::reset);
    }

    fn report(&self) -> BTreeMap<String, u64> {
        let known = self.codes.iter().zip(&self.counters);
        known
            .map(|(code, counter)| (code.to_string(), counter.get()))
            .chain([("other".to_owned(), self.other.get())])
            .collect()
    }
}

/// All counters of a sandbox.
pub(crate) struct Stats {
    pub(crate) connections: Arc<Connections>,
    received: Counter,
    answered: Counter,
    vanished: Counter,
    in_flight: Counter,
    withheld_now: Counter,
    withheld_total: Counter,
    resets: Counter,
    posts_by_protocol: [Counter; 2],
    answers: Box<[Counter]>,
    pub(crate) accepted: Counter,
    pub(crate) subscriptions_reached: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) decrypted: Counter,
    pub(crate) decrypt_failures: Counter,
    pub(crate) not_decrypted: Counter,
    /// Messages that a user agent's limit pushed out before they were acknowledged.
    pub(crate) discarded: Counter,
    pub(crate) hellos: Counter,
    pub(crate) registers: Counter,
    pub(crate) unregisters: CodeCounters<3>,
    pub(crate) acks: CodeCounters<3>,
    pub(crate) nacks: CodeCounters<3>,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            connections: Arc::default(),
            received: Counter::default(),
            answered: Counter::default(),
            vanished: Counter::default(),
            in_flight: Counter::default(),
            withheld_now: Counter::default(),
            withheld_total: Counter::default(),
            resets: Counter::default(),
            posts_by_protocol: Default::default(),
            answers: (0..STATUSES).map(|_| Counter::default()).collect(),
            accepted: Counter::default(),
            subscriptions_reached: Counter::default(),
            duplicates: Counter::default(),
            decrypted: Counter::default(),
            decrypt_failures: Counter::default(),
            not_decrypted: Counter::default(),
            discarded: Counter::default(),
            hellos: Counter::default(),
            registers: Counter::default(),
            unregisters: CodeCounters::new([200, 201, 202]),
            acks: CodeCounters::new([100, 101, 102]),
            nacks: CodeCounters::new([301, 302, 303]),
        }
    }

    /// Begins to count a POST.
    pub(crate) fn tally(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        protocol: Protocol,
    ) -> Tally {
        Tally::begin(Arc::clone(self), Arc::clone(connection), protocol)
    }

    /// Back to zero, except for what is going on now: open connections, POSTs in flight.
    pub(crate) fn reset(&self) {
        let single = [
            &self.received,
            &self.answered,
            &self.vanished,
            &self.withheld_total,
            &self.resets,
            &self.accepted,
            &self.subscriptions_reached,
            &self.duplicates,
            &self.decrypted,
            &self.decrypt_failures,
            &self.not_decrypted,
            &self.discarded,
            &self.hellos,
            &self.registers,
        ];
        single
            .into_iter()
            .chain(&self.posts_by_protocol)
            .chain(&self.answers)
            .for_each(Counter::reset);
        self.unregisters.reset();
        self.acks.reset();
        self.nacks.reset();
        self.connections.reset();
    }

    pub(crate) fn report(&self, connected: usize, known: usize) -> StatsReport {
        let by_status = self.answers.iter().map(Counter::get).enumerate();
        StatsReport {
            posts: self.received.get(),
            answered: self.answered.get(),
            answers: by_status.filter(|(_, count)| *count > 0).collect(),
            vanished: self.vanished.get(),
            resets: self.resets.get(),
            in_flight: self.in_flight.get(),
            withheld: self.withheld_now.get(),
            withheld_total: self.withheld_total.get(),
            accepted: self.accepted.get(),
            subscriptions_reached: self.subscriptions_reached.get(),
            duplicates: self.duplicates.get(),
            decrypted: self.decrypted.get(),
            decrypt_failures: self.decrypt_failures.get(),
            not_decrypted: self.not_decrypted.get(),
            posts_by_protocol: Protocol::ALL
                .iter()
                .zip(&self.posts_by_protocol)
                .map(|(protocol, counter)| (protocol.as_str(), counter.get()))
                .collect(),
            connections: self.connections.report(),
            user_agents: UserAgentsReport {
                connected,
                known,
                hellos: self.hellos.get(),
                registers: self.registers.get(),
                unregisters: self.unregisters.report(),
                acks: self.acks.report(),
                nacks: self.nacks.report(),
                discarded: self.discarded.get(),
            },
        }
    }

    fn answer_counter(&self, status: StatusCode) -> Option<&Counter> {
        self.answers.get(usize::from(status.as_u16()))
    }

    fn protocol_counter(&self, protocol: Protocol) -> Option<&Counter> {
        let named = Protocol::ALL.iter().zip(&self.posts_by_protocol);
        named
            .into_iter()
            .find(|(known, _)| **known == protocol)
            .map(|(_, counter)| counter)
    }
}

/// The answer of `GET /sandbox/stats`; what each member means is in the crate's documentation.
#[derive(Serialize)]
pub(crate) struct StatsReport {
    posts: u64,
    answered: u64,
    answers: BTreeMap<usize, u64>,
    vanished: u64,
    resets: u64,
    in_flight: u64,
    withheld: u64,
    withheld_total: u64,
    accepted: u64,
    subscriptions_reached: u64,
    duplicates: u64,
    decrypted: u64,
    decrypt_failures: u64,
    not_decrypted: u64,
    posts_by_protocol: BTreeMap<&'static str, u64>,
    connections: ConnectionsReport,
    user_agents: UserAgentsReport,
}

#[derive(Serialize)]
struct UserAgentsReport {
    connected: usize,
    known: usize,
    hellos: u64,
    registers: u64,
    unregisters: BTreeMap<String, u64>,
    acks: BTreeMap<String, u64>,
    nacks: BTreeMap<String, u64>,
    discarded: u64,
}
