//! `tidings bench`: that it measures, and that it leaves nothing behind. What it measured depends
//! on the machine, so that is not looked at.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    binary::command,
    command_line::{assert_fails, stdout_of_success},
    process::Process,
    tidings::terminate,
};

const BEGUN: Duration = Duration::from_mins(1);

/// Figures that every run has; each is more than nothing.
const FIGURES: &[&str] = &[
    "/seconds",
    "/cpu_seconds",
    "/peak_bytes",
    "/sandbox_share",
    "/messages_per_second",
    "/cpu_us_per_message",
    "/broadcast/accepting_ms",
    "/broadcast/planning_ms",
    "/broadcast/first_post_ms",
    "/broadcast/peak_before_bytes",
    "/import/seconds",
    "/import/per_second",
    "/import/cpu_seconds",
    "/database/bytes",
    "/database/bytes_per_subscription",
    "/database/wal_peak_bytes",
    "/direct/p50_ms",
    "/direct/p99_ms",
    "/direct/max_ms",
    "/direct/broadcast_seconds",
    "/other_service/alone_per_second",
    "/other_service/beside_per_second",
    "/other_service/ratio",
];

#[test]
fn everything_is_measured_and_nothing_left_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = bench(folder.path())
        .args(["--subscribers", "300", "--direct", "5", "--latency", "5"])
        .args(["--services", "fcm,mozilla", "--other-service", "down"])
        .arg("--json")
        .output()?;
    let report: Value = serde_json::from_str(&stdout_of_success(&output)?)?;
    for pointer in FIGURES {
        let figure = report.pointer(pointer).and_then(Value::as_f64);
        let figure = figure.with_context(|| format!("no {pointer} in {report:#}"))?;
        ensure!(figure > 0.0, "{pointer} is {figure}");
    }
    assert_eq!(report["messages"], 300);
    assert_eq!(report["import"]["subscriptions"], 300);
    assert_eq!(report["direct"]["messages"], 5);
    assert_eq!(report["problems"], Value::Array(Vec::new()));
    assert_eq!(
        report["terms"]["services"],
        serde_json::json!(["fcm", "mozilla"])
    );
    assert_is_empty(folder.path())
}

#[tokio::test]
async fn a_run_that_is_broken_off_ends_what_it_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut run = bench(folder.path());
    run.args(["--subscribers", "20000", "--services", "mozilla"]);
    let run = Process::spawn("bench", &mut run)?;
    let log = run.log();
    run.wait_for_line("that it imports", BEGUN, |line| {
        line.contains("importing").then_some(())
    })
    .await?;
    let children = children(run.id())?;
    ensure!(children.len() == 2, "not two processes: {children:?}");
    terminate(run.id())?;
    let ended = run.wait_for_exit().await?;
    assert_eq!(ended.code(), Some(1));
    let said = log.lines().join("\n");
    ensure!(said.contains("interrupted"), "{said}");
    for child in children {
        ensure!(
            !Path::new(&format!("/proc/{child}")).exists(),
            "{child} goes on"
        );
    }
    assert_is_empty(folder.path())
}

#[test]
fn what_cannot_be_measured_is_said() -> Result<()> {
    const LINES: &[(&[&str], i32, &[&str])] = &[
        (
            &["--subscribers", "0"],
            2,
            &["--subscribers", "1..=5000000"],
        ),
        (&["--payload", "3994"], 2, &["--payload", "32..=3993"]),
        (&["--latency", "soon"], 2, &["--latency"]),
        (&["--decrypt-one-in", "0"], 2, &["--decrypt-one-in"]),
        (&["--services", "pigeon"], 2, &["--services", "mozilla"]),
        (
            &["--other-service", "up"],
            2,
            &["--other-service", "down", "429"],
        ),
        (
            &[
                "--services",
                "fcm,mozilla,apple,wns",
                "--other-service",
                "down",
                // If it begins all the same, it is over soon.
                "--subscribers",
                "1",
                "--direct",
                "0",
            ],
            1,
            &["--other-service", "--services", "leaves none over"],
        ),
        (&["--server-core", "99999"], 1, &["--server-core 99999"]),
        (&["--data-dir", "/nowhere"], 1, &["/nowhere", "--data-dir"]),
    ];
    let folder = tempfile::tempdir()?;
    for (arguments, code, words) in LINES {
        let mut command = command("bench");
        let output = command
            .current_dir(folder.path())
            .args(*arguments)
            .output()?;
        assert_fails(&output, *code, words).with_context(|| arguments.join(" "))?;
    }
    Ok(())
}

/// A run that keeps its data below this folder.
fn bench(folder: &Path) -> Command {
    let mut command = command("bench");
    command.current_dir(folder).arg("--data-dir").arg(folder);
    command
}

pub(crate) fn assert_is_empty(folder: &Path) -> Result<()> {
    let left: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// The processes that a process started, whichever thread of it did.
fn children(process: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        // `pid (name) state parent …`; the name may hold anything.
        let Some((pid, rest)) = stat.split_once(" (") else {
            continue;
        };
        let rest = rest.rsplit_once(") ").map_or(rest, |(_, rest)| rest);
        let parent = rest
            .split(' ')
            .nth(1)
            .and_then(|parent| parent.parse().ok());
        if parent == Some(process) {
            children.push(pid.parse()?);
        }
    }
    Ok(children)
}
