//! Subscribers on their way into the server.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio_util::sync::CancellationToken;

use super::server::Server;
use crate::output;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);

/// What an import took.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) lines: u64,
    pub(super) elapsed: Duration,
    /// Processor time of the server's process.
    pub(super) server_time: Duration,
}

impl Import {
    pub(super) fn per_second(&self) -> f64 {
        // A file of subscriptions has fewer lines than a float has integers.
        #[expect(clippy::cast_precision_loss, reason = "millions at most")]
        let lines = self.lines as f64;
        lines / self.elapsed.as_secs_f64()
    }
}

/// Hands a file of subscriptions to the server.
pub(super) fn import(
    server: &Server,
    file: &Path,
    count: u32,
    stop: &CancellationToken,
) -> Result<Import> {
    output::say("importing them …");
    let before = server.process.processor_time()?;
    let started = Instant::now();
    let file = File::open(file).with_context(|| format!("reading {}", file.display()))?;
    let mut lines = Lines {
        file,
        stop,
        told: started,
        started,
        passed: 0,
    };
    let imported = server.import(&mut lines)?;
    let elapsed = started.elapsed();
    let lines = imported.created + imported.updated;
    ensure!(
        lines == u64::from(count) && imported.refused == 0,
        "of {count} subscriptions the server took {lines}, and refused {}",
        imported.refused
    );
    Ok(Import {
        lines,
        elapsed,
        server_time: server.process.processor_time()?.saturating_sub(before),
    })
}

/// The file as it is read, which tells how far that is.
struct Lines<'a> {
    file: File,
    stop: &'a CancellationToken,
    started: Instant,
    told: Instant,
    passed: usize,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("stopped"));
        }
        let length = self.file.read(buffer)?;
        let read = buffer.get(..length).unwrap_or_default();
        self.passed += read.split(|octet| *octet == b'\n').count() - 1;
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            let seconds = self.started.elapsed().as_secs().max(1);
            let passed = u64::try_from(self.passed).unwrap_or(u64::MAX);
            output::say(&format!("  {passed} lines, {} a second", passed / seconds));
        }
        Ok(length)
    }
}
