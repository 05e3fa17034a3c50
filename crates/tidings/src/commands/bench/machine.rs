//! What the machine tells of processes: their cores, processor time and memory.

#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(super) use unknown::*;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use anyhow::{Context as _, Result};
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    use nix::time::{clock_getcpuclockid, clock_gettime};
    use nix::unistd::Pid;

    /// The calling thread; processes that it starts inherit its cores.
    const THIS_THREAD: Pid = Pid::from_raw(0);

    /// The cores that this process may use.
    pub(in crate::commands::bench) fn cores() -> Result<Vec<usize>> {
        let set = sched_getaffinity(THIS_THREAD).context("asking for the cores")?;
        Ok((0..CpuSet::count())
            .filter(|core| set.is_set(*core).unwrap_or_default())
            .collect())
    }

    /// Lets the calling thread, and what it starts from now on, run on this core only.
    pub(in crate::commands::bench) fn pin(core: usize) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(core)
            .and_then(|()| sched_setaffinity(THIS_THREAD, &set))
            .with_context(|| format!("core {core} cannot be used"))
    }

    /// Processor time of a process so far: all its threads, user and system.
    pub(in crate::commands::bench) fn processor_time(process: u32) -> Result<Duration> {
        let clock = clock_getcpuclockid(pid(process)?)
            .with_context(|| format!("process {process} is gone"))?;
        let time = clock_gettime(clock).context("reading processor time")?;
        Ok(time.into())
    }

    /// The most memory that a process had resident so far, in octets.
    pub(in crate::commands::bench) fn peak_bytes(process: u32) -> Result<u64> {
        let path = format!("/proc/{process}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok())
            .with_context(|| format!("no VmHWM in {path}"))?;
        Ok(kibibytes * 1024)
    }

    /// How many tasks wanted a core in the last minute, on average.
    pub(in crate::commands::bench) fn load() -> Option<f64> {
        let text = fs::read_to_string("/proc/loadavg").ok()?;
        text.split_whitespace().next()?.parse().ok()
    }

    /// Whether what is written there never reaches a disk.
    pub(in crate::commands::bench) fn is_in_memory(path: &Path) -> Result<bool> {
        let system = statfs(path).with_context(|| {
            format!(
                "{} cannot be used: name another folder with --data-dir",
                path.display()
            )
        })?;
        Ok(system.filesystem_type() == TMPFS_MAGIC)
    }

    /// Asks a process to end.
    pub(in crate::commands::bench) fn terminate(process: u32) -> Result<()> {
        Ok(kill(pid(process)?, Signal::SIGTERM)?)
    }

    fn pid(process: u32) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(process)?))
    }
}

#[cfg(not(target_os = "linux"))]
mod unknown {
    use std::path::Path;
    use std::time::Duration;

    use anyhow::{Result, bail};

    fn refuse<T>() -> Result<T> {
        bail!(
            "tidings bench runs on Linux only: it pins processes to cores, and reads their \
             processor time and memory from /proc"
        )
    }

    pub(in crate::commands::bench) fn cores() -> Result<Vec<usize>> {
        refuse()
    }

    pub(in crate::commands::bench) fn pin(_core: usize) -> Result<()> {
        refuse()
    }

    pub(in crate::commands::bench) fn processor_time(_process: u32) -> Result<Duration> {
        refuse()
    }

    pub(in crate::commands::bench) fn peak_bytes(_process: u32) -> Result<u64> {
        refuse()
    }

    pub(in crate::commands::bench) fn load() -> Option<f64> {
        None
    }

    pub(in crate::commands::bench) fn is_in_memory(_path: &Path) -> Result<bool> {
        refuse()
    }

    pub(in crate::commands::bench) fn terminate(_process: u32) -> Result<()> {
        refuse()
    }
}
