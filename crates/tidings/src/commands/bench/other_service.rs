//! The same broadcast while another push service fails: what is left of the throughput?

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use tidings_sandbox::Personality;

use super::broadcast::{Broadcast, Goal};
use super::push_service::PushService;
use super::server::Server;
use super::verdict::Expected;
use super::{Bench, Stage, import, verdict};
use crate::cli::{BenchArgs, OtherService};
use crate::output;

/// Those that may be the other one.
const CANDIDATES: [Personality; 4] = [
    Personality::Mozilla,
    Personality::Fcm,
    Personality::Apple,
    Personality::Wns,
];

/// A broadcast of which half went to a push service that failed.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) how: OtherService,
    /// Messages a second to the good ones.
    pub(super) per_second: f64,
    pub(super) problems: Vec<String>,
}

/// The one that fails: the first that is not among the good ones.
pub(super) fn choose(args: &BenchArgs) -> Result<Personality> {
    let mut candidates = CANDIDATES.into_iter();
    let left = candidates.find(|candidate| !args.services.contains(candidate));
    left.context(
        "--other-service: --services leaves none over that could fail, name three of fcm, mozilla, \
         apple and wns at most",
    )
}

/// Sends to the subscribers of before, and to as many of a push service that fails, from a server
/// that knows nothing of the first one's runs.
pub(super) fn measure(
    bench: &Bench,
    how: OtherService,
    push_service: PushService,
    good: &Path,
    folder: &Path,
) -> Result<Beside> {
    let subscribers = bench.args.subscribers;
    output::say(&format!(
        "making {subscribers} subscribers of another push service …"
    ));
    let folder = folder.join("beside");
    fs::create_dir(&folder)?;
    let other = PushService::start(
        &[choose(&bench.args)?],
        &folder,
        bench.cores.sandbox,
        &bench.args,
    )?;
    let bad = folder.join("bad.ndjson");
    other.make_subscriptions(subscribers, &bench.key(), &bad, &bench.stop)?;
    let all = folder.join("all.ndjson");
    mix(good, &bad, &all).context("mixing the subscriptions of both push services")?;
    let server = Server::start(
        &folder,
        bench.cores.server,
        &bench.key,
        &[&push_service, &other],
    )?;
    import::import(&server, &all, subscribers.saturating_mul(2), &bench.stop)?;
    // Kept until the end: it answers, if only with 429.
    let _refusing = match how {
        OtherService::Down => {
            drop(other);
            None
        }
        OtherService::TooManyRequests => {
            other.refuse_everything()?;
            Some(other)
        }
    };
    output::say(&format!(
        "sending to all of them, the other push service {} …",
        match how {
            OtherService::Down => "being down",
            OtherService::TooManyRequests => "answering 429",
        }
    ));
    let stage = Stage {
        push_service,
        server,
        problems: Vec::new(),
    };
    stage.push_service.reset_stats()?;
    let goal = Goal::Accepted(subscribers.into());
    let broadcast = Broadcast::run(&stage, bench, "beside another", goal)?;
    let expected = Expected {
        targeted: 2 * u64::from(subscribers),
        ..Expected::of_broadcast(&bench.args)
    };
    let stats = stage.push_service.settled_stats()?;
    let problems = verdict::problems(&expected, &stats, &broadcast);
    Ok(Beside {
        how,
        per_second: broadcast.per_second(subscribers),
        problems: problems
            .into_iter()
            .map(|problem| format!("beside the other push service: {problem}"))
            .collect(),
    })
}

/// Takes a line from each file in turn, as in a database where all browsers come as they come.
fn mix(good: &Path, bad: &Path, to: &Path) -> Result<()> {
    let mut to = BufWriter::new(File::create(to)?);
    let good = BufReader::new(File::open(good)?).lines();
    let bad = BufReader::new(File::open(bad)?).lines();
    for (good, bad) in good.zip(bad) {
        writeln!(to, "{}\n{}", good?, bad?)?;
    }
    Ok(to.flush()?)
}
