//! `tidings bench`: how fast a machine sends, and whether everybody got the message.

mod broadcast;
mod children;
mod direct;
mod import;
mod instant;
mod machine;
mod other_service;
mod push_service;
mod report;
mod server;
mod verdict;

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tidings_webpush::VapidKey;
use tokio_util::sync::CancellationToken;

use crate::cli::BenchArgs;
use crate::commands::bench::broadcast::{Broadcast, Goal};
use crate::commands::bench::direct::{DirectMessages, Plan, Recipient};
use crate::commands::bench::import::Import;
use crate::commands::bench::push_service::PushService;
use crate::commands::bench::report::Report;
use crate::commands::bench::server::Server;
use crate::commands::bench::verdict::Expected;
use crate::output;
use crate::shutdown;

pub(super) async fn run(args: BenchArgs) -> Result<()> {
    let stop = shutdown::on_signal()?;
    let is_json = args.json;
    let bench = Bench::new(args, stop.clone())?;
    let report = tokio::task::spawn_blocking(move || bench.run()).await?;
    if stop.is_cancelled() {
        bail!("interrupted; what was started has ended, and what it kept is deleted");
    }
    let report = report?;
    if is_json {
        output::json(&report.to_json())?;
    } else {
        output::data(&report.in_words())?;
    }
    ensure!(
        report.problems.is_empty(),
        "these figures are worth nothing: {}",
        report.problems.join("; ")
    );
    Ok(())
}

/// Who runs where.
#[derive(Debug, Clone, Copy)]
struct Cores {
    sandbox: Option<usize>,
    server: Option<usize>,
}

/// A run that has not begun.
struct Bench {
    args: BenchArgs,
    cores: Cores,
    /// What the server signs with, so that subscribers can be made before there is a server.
    key: VapidKey,
    /// What does not spoil the figures, but has to be known to read them.
    remarks: Vec<String>,
    stop: CancellationToken,
}

impl Bench {
    fn new(args: BenchArgs, stop: CancellationToken) -> Result<Self> {
        let cores = choose_cores(&args, &machine::cores()?)?;
        if args.other_service.is_some() {
            other_service::choose(&args)?;
        }
        let mut remarks = Vec::new();
        if cores.server.is_none() {
            remarks.push("all processes shared one core, so the figures say little".to_owned());
        }
        if machine::is_in_memory(&args.data_dir)? {
            remarks.push(format!(
                "{} is in memory, where durable costs nothing: name a folder on a disk with \
                 --data-dir",
                args.data_dir.display()
            ));
        }
        if cfg!(debug_assertions) {
            remarks.push("this is a debug build, which is several times slower".to_owned());
        }
        Ok(Self {
            args,
            cores,
            key: VapidKey::generate()?,
            remarks,
            stop,
        })
    }

    /// Blocks until everything is measured.
    fn run(self) -> Result<Report> {
        if let Some(core) = self.cores.sandbox {
            machine::pin(core)?;
        }
        let folder = tempfile::Builder::new()
            .prefix("tidings-bench-")
            .tempdir_in(&self.args.data_dir)
            .with_context(|| {
                format!(
                    "no folder can be made in {}: name another with --data-dir",
                    self.args.data_dir.display()
                )
            })?;
        let load_before = machine::load();
        let mut stage = self.set_up(folder.path())?;
        let subscriptions = folder.path().join("subscriptions.ndjson");
        let (import, recipients) = stage.fill(&self, &subscriptions)?;
        let broadcast = stage.broadcast_alone(&self)?;
        let direct = stage.broadcast_with_direct(&self, &broadcast, &recipients)?;
        let peak_bytes = stage.server.process.peak_bytes()?;
        let Stage {
            push_service,
            server,
            mut problems,
        } = stage;
        let database_bytes = server.end()?;
        let beside = self.args.other_service.map(|how| {
            other_service::measure(&self, how, push_service, &subscriptions, folder.path())
        });
        let beside = beside.transpose()?;
        problems.extend(beside.iter().flat_map(|beside| beside.problems.clone()));
        let mut remarks = self.remarks;
        if broadcast.sending() < verdict::SHORT {
            remarks.push("it was over too soon to say much: take more subscribers".to_owned());
        }
        remarks.extend(direct.as_ref().and_then(DirectMessages::remark));
        Ok(Report {
            args: self.args,
            cores: self.cores,
            load_before,
            import,
            broadcast,
            direct,
            beside,
            peak_bytes,
            database_bytes,
            remarks,
            problems,
        })
    }

    /// The public half of the server's key.
    fn key(&self) -> String {
        self.key.public_key().to_base64url()
    }

    fn set_up(&self, folder: &Path) -> Result<Stage> {
        output::say("starting a push service and a server …");
        let push_service =
            PushService::start(&self.args.services, folder, self.cores.sandbox, &self.args)?;
        let server = Server::start(folder, self.cores.server, &self.key, &[&push_service])?;
        Ok(Stage {
            push_service,
            server,
            problems: Vec::new(),
        })
    }
}

/// The server takes the second core to itself; this process stays beside the push service.
fn choose_cores(args: &BenchArgs, available: &[usize]) -> Result<Cores> {
    let by_default = |place: usize| (available.len() > 1).then(|| available.get(place).copied());
    let cores = Cores {
        sandbox: args.sandbox_core.or(by_default(0).flatten()),
        server: args.server_core.or(by_default(1).flatten()),
    };
    for (flag, core) in [
        ("--sandbox-core", cores.sandbox),
        ("--server-core", cores.server),
    ] {
        if let Some(core) = core
            && !available.contains(&core)
        {
            bail!("{flag} {core}: this process may use the cores {available:?}");
        }
    }
    if cores.server.is_some() && cores.server == cores.sandbox {
        bail!("--server-core and --sandbox-core must differ: the server is measured alone");
    }
    Ok(cores)
}

/// What runs while it is measured.
struct Stage {
    push_service: PushService,
    server: Server,
    problems: Vec<String>,
}

impl Stage {
    /// Makes the subscribers, and hands them to the server; some get direct messages later.
    fn fill(&mut self, bench: &Bench, file: &Path) -> Result<(Import, Vec<Recipient>)> {
        let args = &bench.args;
        output::say(&format!("making {} subscribers …", args.subscribers));
        self.push_service
            .make_subscriptions(args.subscribers, &bench.key(), file, &bench.stop)?;
        let recipients = direct::register(&self.server, file, args.direct)?;
        let import = import::import(&self.server, file, args.subscribers, &bench.stop)?;
        self.push_service.delay_answers(args.latency)?;
        Ok((import, recipients))
    }

    /// The broadcast that is measured.
    fn broadcast_alone(&mut self, bench: &Bench) -> Result<Broadcast> {
        output::say("sending to all of them …");
        self.push_service.reset_stats()?;
        let broadcast = Broadcast::run(self, bench, "alone", Goal::Done)?;
        let expected = Expected::of_broadcast(&bench.args);
        self.judge(&expected, &broadcast)?;
        Ok(broadcast)
    }

    /// Another one, during which single subscribers get messages of their own.
    fn broadcast_with_direct(
        &mut self,
        bench: &Bench,
        before: &Broadcast,
        recipients: &[Recipient],
    ) -> Result<Option<DirectMessages>> {
        let args = &bench.args;
        if args.direct == 0 {
            return Ok(None);
        }
        output::say(&format!(
            "sending to all of them again, and {} messages to single ones meanwhile …",
            args.direct
        ));
        self.push_service.reset_stats()?;
        let plan = Plan {
            count: args.direct,
            payload: args.payload,
            // A little quicker than the broadcast, so that all of them meet it.
            over: before.sending().mul_f64(0.9),
        };
        let (broadcast, direct) = std::thread::scope(|threads| {
            let sending = threads.spawn(|| direct::send(self, &plan, recipients, &bench.stop));
            let broadcast = Broadcast::run(self, bench, "with direct messages", Goal::Done);
            let direct = sending
                .join()
                .map_err(|_| anyhow!("the thread that sends direct messages broke off"))?;
            anyhow::Ok((broadcast?, direct?))
        })?;
        let direct = DirectMessages::new(&direct, &broadcast);
        let expected = Expected::of_broadcast(args);
        let decrypt_one_in = u64::from(args.decrypt_one_in.get());
        let expected = Expected {
            messages: expected.messages + u64::from(args.direct),
            decrypted: expected.decrypted
                + direct::decrypted(&plan, recipients.len(), decrypt_one_in),
            ..expected
        };
        self.judge(&expected, &broadcast)?;
        Ok(Some(direct))
    }

    fn judge(&mut self, expected: &Expected, broadcast: &Broadcast) -> Result<()> {
        let stats = self.push_service.settled_stats()?;
        self.problems
            .extend(verdict::problems(expected, &stats, broadcast));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn cores(flags: &[&str], available: &[usize]) -> Result<(Option<usize>, Option<usize>)> {
        let line = [&["tidings", "bench"], flags].concat();
        let Command::Bench(args) = Cli::parse_from(line).command else {
            panic!("another command");
        };
        let cores = choose_cores(&args, available)?;
        Ok((cores.sandbox, cores.server))
    }

    #[test]
    fn server_and_push_service_have_a_core_each_where_there_are_two() {
        assert_eq!(cores(&[], &[2, 3, 5]).unwrap(), (Some(2), Some(3)));
        assert_eq!(cores(&[], &[0]).unwrap(), (None, None));
        let chosen = cores(&["--server-core", "5", "--sandbox-core", "3"], &[2, 3, 5]);
        assert_eq!(chosen.unwrap(), (Some(3), Some(5)));
    }

    #[test]
    fn cores_that_cannot_be_used_are_named() {
        let unknown = cores(&["--server-core", "9"], &[0, 1]).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "--server-core 9: this process may use the cores [0, 1]"
        );
        let same = cores(&["--server-core", "0"], &[0, 1]).unwrap_err();
        assert!(same.to_string().contains("must differ"), "{same}");
    }
}
