//! The figures, for people and for programs.

use serde_json::{Value, json};

use super::Cores;
use super::broadcast::Broadcast;
use super::direct::DirectMessages;
use super::import::Import;
use super::instant::milliseconds;
use super::other_service::Beside;
use crate::cli::{BenchArgs, OtherService};

/// Everything that was measured.
pub(super) struct Report {
    pub(super) args: BenchArgs,
    pub(super) cores: Cores,
    pub(super) load_before: Option<f64>,
    pub(super) import: Import,
    pub(super) broadcast: Broadcast,
    pub(super) direct: Option<DirectMessages>,
    pub(super) beside: Option<Beside>,
    /// The server's high-water mark of resident memory.
    pub(super) peak_bytes: u64,
    /// Once the server had ended.
    pub(super) database_bytes: u64,
    /// What has to be known to read the figures.
    pub(super) remarks: Vec<String>,
    /// What makes them worthless.
    pub(super) problems: Vec<String>,
}

impl Report {
    fn per_second(&self) -> f64 {
        self.broadcast.per_second(self.args.subscribers)
    }

    /// Processor time of the server's process for each message, in microseconds.
    fn cpu_us(&self) -> f64 {
        self.broadcast.server_time.as_secs_f64() * 1e6 / f64::from(self.args.subscribers)
    }

    fn bytes_per_subscription(&self) -> f64 {
        bytes(self.database_bytes) / f64::from(self.args.subscribers)
    }

    /// The first members are those of `benches/peers/README.md`.
    pub(super) fn to_json(&self) -> Value {
        let Self {
            args, broadcast, ..
        } = self;
        json!({
            "messages": args.subscribers,
            "seconds": broadcast.sending().as_secs_f64(),
            "cpu_seconds": broadcast.server_time.as_secs_f64(),
            "peak_bytes": self.peak_bytes,
            "loaded_bytes": broadcast.peak_before_bytes,
            "sandbox_share": broadcast.push_service_share(),
            "problems": self.problems,
            "remarks": self.remarks,
            "messages_per_second": self.per_second(),
            "cpu_us_per_message": self.cpu_us(),
            "terms": {
                "version": env!("CARGO_PKG_VERSION"),
                "subscribers": args.subscribers,
                "payload": args.payload,
                "latency_ms": args.latency,
                "services": self.services(),
                "decrypt_one_in": args.decrypt_one_in,
                "direct": args.direct,
                "server_core": self.cores.server,
                "sandbox_core": self.cores.sandbox,
                "load_before": self.load_before,
            },
            "broadcast": {
                "accepting_ms": milliseconds(broadcast.accepting),
                "planning_ms": milliseconds(broadcast.planning),
                "first_post_ms": milliseconds(broadcast.first_post),
                "peak_before_bytes": broadcast.peak_before_bytes,
            },
            "import": {
                "subscriptions": self.import.lines,
                "seconds": self.import.elapsed.as_secs_f64(),
                "per_second": self.import.per_second(),
                "cpu_seconds": self.import.server_time.as_secs_f64(),
            },
            "database": {
                "bytes": self.database_bytes,
                "bytes_per_subscription": self.bytes_per_subscription(),
                "wal_peak_bytes": broadcast.wal_peak_bytes,
            },
            "direct": self.direct.as_ref().map(|direct| json!({
                "messages": direct.count(),
                "during_broadcast": direct.during_broadcast,
                "late": direct.late,
                "latest_ms": milliseconds(direct.latest),
                "p50_ms": milliseconds(direct.percentile(50)),
                "p99_ms": milliseconds(direct.percentile(99)),
                "max_ms": milliseconds(direct.percentile(100)),
                "broadcast_seconds": direct.broadcast.as_secs_f64(),
            })),
            "other_service": self.beside.as_ref().map(|beside| json!({
                "how": beside.how.as_str(),
                "alone_per_second": self.per_second(),
                "beside_per_second": beside.per_second,
                "ratio": beside.per_second / self.per_second(),
            })),
        })
    }

    pub(super) fn in_words(&self) -> String {
        let mut lines = vec![self.terms(), String::new()];
        for (what, figure) in self.figures() {
            lines.push(format!("{what:<16} {figure}"));
        }
        if !self.remarks.is_empty() {
            lines.push(String::new());
        }
        lines.extend(self.remarks.iter().map(|remark| format!("Note: {remark}.")));
        lines.join("\n")
    }

    fn services(&self) -> Vec<String> {
        let services = self.args.services.iter();
        services.map(ToString::to_string).collect()
    }

    fn terms(&self) -> String {
        let args = &self.args;
        let place = match self.cores {
            Cores {
                server: Some(server),
                sandbox: Some(sandbox),
            } => format!("server on core {server}, push service on core {sandbox}"),
            _ => "all on any core".to_owned(),
        };
        format!(
            "Tidings {}: {} subscribers at {}, {} octets, answers after {} ms; {place}",
            env!("CARGO_PKG_VERSION"),
            args.subscribers,
            self.services().join(", "),
            args.payload,
            args.latency
        )
    }

    fn figures(&self) -> Vec<(&'static str, String)> {
        let broadcast = &self.broadcast;
        let mut figures = vec![
            (
                "Sending",
                format!(
                    "{:.0} messages/s ({:.2} s from the 202 to the last recorded outcome)",
                    self.per_second(),
                    broadcast.sending().as_secs_f64()
                ),
            ),
            (
                "Processor time",
                format!("{:.1} µs a message (the server's process)", self.cpu_us()),
            ),
            (
                "Memory",
                format!(
                    "{:.1} MB at most; {:.1} MB before the broadcast",
                    bytes(self.peak_bytes) / 1e6,
                    bytes(broadcast.peak_before_bytes) / 1e6
                ),
            ),
            (
                "Database",
                format!(
                    "{:.0} octets a subscription ({:.1} MB; write-ahead log {:.1} MB at most)",
                    self.bytes_per_subscription(),
                    bytes(self.database_bytes) / 1e6,
                    bytes(broadcast.wal_peak_bytes) / 1e6
                ),
            ),
            (
                "Import",
                format!(
                    "{:.0} subscriptions/s ({:.2} s)",
                    self.import.per_second(),
                    self.import.elapsed.as_secs_f64()
                ),
            ),
            (
                "Planning",
                format!("{:.0} ms after the 202", milliseconds(broadcast.planning)),
            ),
            (
                "First POST",
                format!("{:.0} ms after the 202", milliseconds(broadcast.first_post)),
            ),
            (
                "Push service",
                format!(
                    "busy for {:.0}% of the time",
                    broadcast.push_service_share() * 100.0
                ),
            ),
        ];
        figures.extend(self.direct.as_ref().map(|direct| {
            let figure = format!(
                "{} sent, {} of them during a broadcast of {:.2} s; from request to POST: p50 \
                 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
                direct.count(),
                direct.during_broadcast,
                direct.broadcast.as_secs_f64(),
                milliseconds(direct.percentile(50)),
                milliseconds(direct.percentile(99)),
                milliseconds(direct.percentile(100))
            );
            ("Direct messages", figure)
        }));
        figures.extend(self.beside.as_ref().map(|beside| {
            let figure = format!(
                "{:.0} messages/s to the others while one is {}: {:.2} of the throughput alone",
                beside.per_second,
                match beside.how {
                    OtherService::Down => "down",
                    OtherService::TooManyRequests => "answering 429",
                },
                beside.per_second / self.per_second()
            );
            ("Isolation", figure)
        }));
        figures
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of files and processes, shown with three digits"
)]
fn bytes(count: u64) -> f64 {
    count as f64
}
