//! `tidings keys reseal`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tidings_core::clock::{Clock as _, SystemClock};
use tidings_core::sealing::{Sealer, SealingError, SealingKey, SealingKeyId, SealingKeys};
use tidings_store_sqlite::{Maintenance, ResealStep, Resealed};
use tidings_webpush::SystemRandomness;
use tokio_util::sync::CancellationToken;

use crate::cli::KeysResealArgs;
use crate::data_directory::{DataDirectory, SealingKeyFile};
use crate::output;
use crate::settings::{ConfiguredKeys, DirectorySettings};
use crate::shutdown;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Values that cannot be opened and are named; more are only counted.
const MOST_NAMED: u64 = 100;

pub(super) async fn run(args: KeysResealArgs) -> Result<()> {
    let stop = shutdown::on_signal()?;
    tokio::task::spawn_blocking(move || reseal(args, &stop)).await?
}

fn reseal(args: KeysResealArgs, stop: &CancellationToken) -> Result<()> {
    let settings = DirectorySettings::read(args.directory)?;
    let directory = DataDirectory::existing(&settings.data_dir)?;
    if args.new
        && let Some(configured) = &settings.sealing_keys
    {
        bail!("{}", how_to_replace(configured));
    }
    // First: while the directory is held, nobody else reads or writes its file of keys.
    let mut held = Maintenance::open(directory.path(), SystemClock.now())?;
    let job = Job::new(&directory, settings.sealing_keys, args.new, &held)?;
    let sealer = Sealer::with_keys(&job.keys)?;
    let mut progress = Progress::new(stop.clone());
    let done = held.reseal(&sealer, &SystemRandomness, &mut |step| progress.see(&step))?;
    check(done, &job, &progress)?;
    job.end(&held)?;
    tell(done, &job, args.json)
}

/// What is to be done, and with which keys.
struct Job {
    keys: SealingKeys,
    /// Where the keys come from.
    source: Source,
}

enum Source {
    /// The file in the data directory, whose other keys go in the end.
    Rotating(SealingKeyFile),
    /// The file in the data directory, as an operator wrote it.
    DataDirectory(SealingKeyFile),
    /// The setting's file.
    File(PathBuf),
    /// The setting itself.
    Setting,
}

impl Job {
    fn new(
        directory: &DataDirectory,
        configured: Option<ConfiguredKeys>,
        is_new: bool,
        held: &Maintenance,
    ) -> Result<Self> {
        if let Some(ConfiguredKeys { keys, file }) = configured {
            let source = file.map_or(Source::Setting, Source::File);
            return Ok(Self { keys, source });
        }
        let file = directory.sealing_key_file();
        let Some(content) = file.read()? else {
            bail!(
                "{} holds no sealing key: give those the database was made with (setting \
                 sealing_key), or restore the file {}",
                directory.path().display(),
                file.path().display()
            );
        };
        // Before a new key is made: it would be no use without the old one.
        held.check_keys(&Sealer::with_keys(&content.keys)?)?;
        if content.is_rotating {
            output::say(&format!(
                "going on with key {}, which an earlier run made",
                content.keys.first().id()
            ));
        }
        let keys = if is_new && !content.is_rotating {
            let key = SealingKey::generate(&SystemRandomness);
            output::say(&format!(
                "made key {}: it is the first in {} now",
                key.id(),
                file.path().display()
            ));
            file.put_in_front(key, &content.keys)?
        } else {
            content.keys
        };
        let source = if is_new || content.is_rotating {
            Source::Rotating(file)
        } else {
            Source::DataDirectory(file)
        };
        Ok(Self { keys, source })
    }

    /// Takes keys out of the data directory's file that nothing needs any more.
    fn end(&self, held: &Maintenance) -> Result<()> {
        let Source::Rotating(file) = &self.source else {
            return Ok(());
        };
        // A key that is gone is gone: once more from what is in the database.
        let first = self.keys.first();
        let others = held.key_usage()?;
        let others = others.iter().filter(|usage| usage.key != Some(first.id()));
        let others: u64 = others.map(|usage| usage.values).sum();
        ensure!(
            others == 0,
            "{others} values are not sealed with key {}: the other keys stay in {}",
            first.id(),
            file.path().display()
        );
        file.keep_only(first)
    }

    /// What an operator does next.
    fn next(&self) -> String {
        let first = self.keys.first().id();
        let place = match &self.source {
            Source::Rotating(file) => {
                return format!(
                    "only key {first} is in {} now. Start the server. Backups made before still \
                     need the old key",
                    file.path().display()
                );
            }
            Source::DataDirectory(file) => file.path().display().to_string(),
            Source::File(path) => path.display().to_string(),
            Source::Setting => "the setting sealing_key (TIDINGS_SEALING_KEY)".to_owned(),
        };
        match self.others().as_slice() {
            [] => "start the server".to_owned(),
            others => format!(
                "take {} out of {place}, so that only {first} is left, and start the server. \
                 Backups made before still need what you take out",
                others.join(", ")
            ),
        }
    }

    fn others(&self) -> Vec<String> {
        let ids = self.keys.ids().skip(1);
        ids.map(|id: SealingKeyId| id.to_string()).collect()
    }
}

fn check(done: Resealed, job: &Job, progress: &Progress) -> Result<()> {
    if done.unreadable > MOST_NAMED {
        output::say(&format!(
            "and {} more that cannot be opened",
            done.unreadable - MOST_NAMED
        ));
    }
    if done.stopped {
        bail!(
            "stopped; {} of {} values are sealed anew with key {}, and stay so. Run it again to go \
             on, and keep all keys until it has ended",
            done.values,
            progress.total,
            job.keys.first().id()
        );
    }
    if done.unreadable > 0 {
        bail!(
            "{} values cannot be opened, as said above; {} were sealed anew. No key was taken out. \
             If a key is missing, give it behind the others and run this again. What is damaged no \
             key opens: restore it from a backup, or give it up and take the old keys out yourself",
            done.unreadable,
            done.values
        );
    }
    Ok(())
}

fn tell(done: Resealed, job: &Job, json: bool) -> Result<()> {
    let key = job.keys.first().id();
    if json {
        let removed = matches!(job.source, Source::Rotating(_));
        output::json(&json!({
            "key": key.to_string(),
            "resealed": done.values,
            "unneeded_keys": if removed { Vec::new() } else { job.others() },
            "next": job.next(),
        }))?;
        return Ok(());
    }
    output::data(&format!(
        "sealed {} values anew; now all are sealed with key {key}",
        done.values
    ))?;
    output::say(&format!("next: {}", job.next()));
    Ok(())
}

fn how_to_replace(configured: &ConfiguredKeys) -> String {
    let place = match &configured.file {
        Some(path) => format!("as the first line of {}", path.display()),
        None => "in front of the old one, with a comma between them, in the setting sealing_key \
                 (TIDINGS_SEALING_KEY)"
            .to_owned(),
    };
    format!(
        "--new writes only to the data directory, and your sealing key is not in it. Make a key \
         with `openssl rand -base64 32`, put it {place}, run `tidings keys reseal`, then take the \
         old key out"
    )
}

/// Tells of what is done, and breaks it off when told to.
struct Progress {
    stop: CancellationToken,
    /// When the first values were done, and how many these were: counting goes before.
    began: Option<(Instant, u64)>,
    told_at: Option<Instant>,
    total: u64,
    unreadable: u64,
}

impl Progress {
    fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            began: None,
            told_at: None,
            total: 0,
            unreadable: 0,
        }
    }

    fn see(&mut self, step: &ResealStep) -> ControlFlow<()> {
        match step {
            ResealStep::Resealed { done, total } => self.resealed(*done, *total),
            ResealStep::Unreadable {
                table,
                row,
                key,
                error,
            } => {
                self.unreadable += 1;
                if self.unreadable <= MOST_NAMED {
                    output::say(&unreadable(table, row, *key, error));
                }
            }
            ResealStep::Clearing => {
                output::say("clearing what other keys had sealed out of the database's file");
            }
        }
        if self.stop.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn resealed(&mut self, done: u64, total: u64) {
        self.total = total;
        let is_due = |told: Instant| told.elapsed() >= PROGRESS_INTERVAL;
        if done < total && !self.told_at.is_none_or(is_due) {
            return;
        }
        let now = Instant::now();
        self.told_at = Some(now);
        let (began, at_first) = *self.began.get_or_insert((now, done));
        let elapsed_ms = now.duration_since(began).as_millis();
        let rate = u128::from(done - at_first) * 1000 / elapsed_ms.max(1);
        let rate = match elapsed_ms {
            0 => String::new(),
            _ => format!(", {rate} a second"),
        };
        output::say(&format!("sealed anew: {done} of {total}{rate}"));
    }
}

fn unreadable(table: &str, row: &str, key: Option<SealingKeyId>, error: &SealingError) -> String {
    let reason = match (error, key) {
        (SealingError::UnknownKey, Some(key)) => {
            format!("it needs key {key}, which is not given")
        }
        (error, _) => error.to_string(),
    };
    format!("cannot open {row} in table `{table}`: {reason}")
}
