//! Subscriptions brought in and taken out on the command line.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::bench::assert_is_empty;
use crate::command_line::assert_fails;
use crate::scripted::Scripted;
use crate::tidings::{Settings, Tidings, terminate};
use crate::wait::DEADLINE;

/// A subscription at a push service that is admitted and never asked: an RFC 8291 key, another
/// endpoint for each number.
fn line(number: usize) -> Value {
    json!({
        "endpoint": format!("https://updates.push.services.mozilla.com/wpush/v2/{number}"),
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
        "user": format!("user-{number}"),
    })
}

#[tokio::test]
async fn what_one_server_exports_another_one_imports() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Settings::below(folder.path());
    let tidings = Tidings::start(&first).await?;
    let file = folder.path().join("in.ndjson");
    let mut text = String::new();
    for number in 0..5100 {
        writeln!(text, "{}", line(number))?;
        if number == 5050 {
            text += "not a subscription\n";
        }
    }
    fs::write(&file, text)?;
    let refused = folder.path().join("refused.ndjson");
    let mut import = client(&first, &tidings, "import");
    import
        .arg(&file)
        .arg("--json")
        .arg("--errors")
        .arg(&refused);
    let expected = json!({"lines": 5101, "created": 5100, "updated": 0, "refused": 1});
    ensure!(serde_json::from_str::<Value>(&stdout(&import.output()?)?)? == expected);
    let refused: Value = serde_json::from_str(&fs::read_to_string(refused)?)?;
    ensure!(
        refused["line"] == 5052,
        "by its number in the file: {refused}"
    );

    let mut from_the_end = client(&first, &tidings, "import");
    let told = stdout(
        &from_the_end
            .arg(&file)
            .args(["--from-line", "5101"])
            .output()?,
    )?;
    ensure!(told == "1 lines: 0 created, 1 updated, 0 refused", "{told}");
    let beyond = client(&first, &tidings, "import")
        .arg(&file)
        .args(["--from-line", "6000"])
        .output()?;
    ensure!(beyond.status.code() == Some(1), "there is no such line");

    let exported = folder.path().join("out.ndjson");
    stdout(&client(&first, &tidings, "export").arg(&exported).output()?)?;
    let mode = fs::metadata(&exported)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "others can read it: {mode:o}");
    let again = client(&first, &tidings, "export").arg(&exported).output()?;
    assert_fails(&again, 1, &["out.ndjson", "choose another name"])?;
    let list = stdout(
        &client(&first, &tidings, "list")
            .args(["--limit", "150"])
            .output()?,
    )?;
    ensure!(
        list.lines().count() == 150 && !list.contains("wpush"),
        "{list}"
    );
    let key = folder.path().join("key.pem");
    fs::write(
        &key,
        stdout(&first.command("vapid").arg("export").output()?)?,
    )?;
    tidings.stop().await?;

    let copy = fs::read_to_string(&exported)?;
    ensure!(copy.lines().count() == 5100);
    import_elsewhere(&exported, &key).await
}

/// Into a server that has another VAPID key, which says what to do.
async fn import_elsewhere(exported: &Path, key: &Path) -> Result<()> {
    let elsewhere = tempfile::tempdir()?;
    let second = Settings::below(elsewhere.path());
    let tidings = Tidings::start(&second).await?;
    let output = client(&second, &tidings, "import").arg(exported).output()?;
    ensure!(
        output.status.code() == Some(1),
        "nothing was taken, which is no success: {}",
        output.status
    );
    let told = String::from_utf8(output.stdout)?;
    ensure!(
        told == "5100 lines: 0 created, 0 updated, 5100 refused\n",
        "{told}"
    );
    let talk = String::from_utf8(output.stderr)?;
    ensure!(
        talk.lines().count() < 30,
        "{} lines of talk",
        talk.lines().count()
    );
    for words in [
        "line 20: /vapid_key: ",
        "tidings vapid import --keep-active",
        "5080 more",
        "--errors FILE",
        "nothing was imported",
    ] {
        ensure!(talk.contains(words), "no {words}: {talk}");
    }

    let mut import_key = second.command("vapid");
    import_key.args(["import", "--keep-active"]).arg(key);
    import_key.env("TIDINGS_URL", tidings.api().origin());
    stdout(&import_key.output()?)?;
    let told = stdout(&client(&second, &tidings, "import").arg(exported).output()?)?;
    ensure!(
        told == "5100 lines: 5100 created, 0 updated, 0 refused",
        "{told}"
    );
    tidings.stop().await
}

#[test]
fn an_export_that_breaks_off_leaves_no_file() -> Result<()> {
    let server = Scripted::start()?;
    let folder = tempfile::tempdir()?;
    for file in ["out.ndjson", "-"] {
        let mut export = server.client("subscriptions");
        export
            .current_dir(folder.path())
            .args(["export", file])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let export = export.spawn()?;
        let mut answer = server.request()?.begin_answer()?;
        answer.write("{\"id\":\"sub_1\"}\n")?;
        drop(answer);
        let ended = export.wait_with_output()?;
        let talk = String::from_utf8(ended.stderr)?;
        ensure!(
            ended.status.code() == Some(1) && talk.contains("the export broke off"),
            "{file}: {talk}"
        );
        ensure!(
            ended.stdout.is_empty() == (file != "-"),
            "what came is written where nobody takes it for a file"
        );
    }
    assert_is_empty(folder.path())
}

#[test]
fn an_interrupted_export_tells_how_far_it_is_and_leaves_no_file() -> Result<()> {
    let server = Scripted::start()?;
    let folder = tempfile::tempdir()?;
    let mut export = server.client("subscriptions");
    export
        .current_dir(folder.path())
        .args(["export", "out.ndjson"])
        .stderr(Stdio::piped());
    let mut export = export.spawn()?;
    let mut answer = server.request()?.begin_answer()?;
    let (told, progress) = mpsc::channel();
    let talk = BufReader::new(export.stderr.take().context("its talk")?).lines();
    let talking = thread::spawn(move || {
        let mut talk = talk.map_while(Result::ok);
        let _ = told.send(talk.next());
        talk.collect::<Vec<_>>().join("\n")
    });
    let begun = Instant::now();
    let first = loop {
        answer.write("{\"id\":\"sub_1\"}\n")?;
        if let Ok(line) = progress.recv_timeout(Duration::from_millis(20)) {
            break line.context("it ended")?;
        }
        ensure!(begun.elapsed() < DEADLINE, "no progress is told");
    };
    ensure!(first.contains(" subscriptions"), "{first}");
    // Nobody takes what is there meanwhile for the whole.
    ensure!(!folder.path().join("out.ndjson").exists());
    terminate(export.id())?;
    ensure!(export.wait()?.code() == Some(130));
    let said = talking
        .join()
        .map_err(|_| anyhow!("the reader broke off"))?;
    ensure!(
        said.contains("interrupted: out.ndjson was not made"),
        "{said}"
    );
    assert_is_empty(folder.path())
}

#[tokio::test]
async fn an_interrupted_import_tells_where_to_go_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let mut import = client(&settings, &tidings, "import")
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Two parts, of which the last line is refused; then nothing comes, and no end.
    let mut lines = import.stdin.take().context("its input")?;
    let part = "\n".repeat(4999) + "x\n";
    lines.write_all(part.repeat(2).as_bytes())?;
    let mut talk = BufReader::new(import.stderr.take().context("its talk")?).lines();
    while !talk.next().context("no second part")??.contains("10000: ") {}
    terminate(import.id())?;
    let said = talk.collect::<Result<Vec<_>, _>>()?.join("\n");
    ensure!(import.wait()?.code() == Some(130), "{said}");
    // The part is told of a moment before it is over.
    let is_told = |line: u32| said.contains(&format!("go on with --from-line {line}"));
    ensure!(is_told(10_001) || is_told(5001), "{said}");
    drop(lines);
    tidings.stop().await
}

#[tokio::test]
async fn a_token_that_may_not_import_reads_no_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let output = client(&settings, &tidings, "import")
        .arg(folder.path().join("is-not-there"))
        .env("TIDINGS_TOKEN", "tdg_nobody")
        .output()?;
    let talk = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(1) && talk.contains("401"),
        "{talk}"
    );
    tidings.stop().await
}

fn client(settings: &Settings, tidings: &Tidings, what: &str) -> Command {
    let mut command = settings.command("subscriptions");
    command.arg(what).env("TIDINGS_URL", tidings.api().origin());
    command
}

fn stdout(output: &Output) -> Result<String> {
    let talk = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{talk}");
    Ok(String::from_utf8(output.stdout.clone())?
        .trim_end()
        .to_owned())
}
