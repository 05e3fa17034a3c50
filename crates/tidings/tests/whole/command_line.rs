//! The command line, as an operator types it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::Value;

use crate::{
    binary::command,
    process::Process,
    sandbox::{Sandbox, Scheme},
    tidings::{Settings, Tidings},
};

#[tokio::test]
async fn a_key_made_by_openssl_is_imported_handed_out_to_pages_and_exported_as_it_was() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    for (name, arguments) in KEY_FILES {
        let file = folder.path().join(name);
        make_key(&file, arguments)?;
        let imported = client(&settings, &tidings, &["vapid", "import"])
            .arg(&file)
            .output()?;
        let id = stdout_of_success(&imported)?;
        assert!(id.starts_with("key_"), "{id}");
        assert_eq!(key_for_pages(&tidings).await?, public_key(&file)?, "{name}");

        // Read from the data directory, while the server runs.
        let exported = settings.command("vapid").arg("export").output()?;
        let exported = stdout_of_success(&exported)?;
        let copy = folder.path().join("exported.pem");
        fs::write(&copy, exported)?;
        assert_eq!(private_key(&copy)?, private_key(&file)?, "{name}");
    }
    tidings.stop().await
}

#[tokio::test]
async fn a_key_made_by_openssl_is_what_pages_get_when_a_setting_names_its_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, arguments) in KEY_FILES {
        let file = folder.path().join(name);
        make_key(&file, arguments)?;
        let settings = Settings::below(folder.path()).set("TIDINGS_VAPID_KEY_FILE", &file);
        let tidings = Tidings::start(&settings).await?;
        assert_eq!(key_for_pages(&tidings).await?, public_key(&file)?, "{name}");
        tidings.stop().await?;
    }
    Ok(())
}

#[test]
fn a_generated_key_is_one_that_openssl_understands() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("key.pem");
    let generated = command("vapid")
        .args(["generate", "--json", "--out"])
        .arg(&file)
        .output()?;
    let told: Value = serde_json::from_str(&stdout_of_success(&generated)?)?;
    assert_eq!(told["public_key"], base64url(&public_key(&file)?)?);
    assert_only_the_owner_reads(&file)?;

    let again = command("vapid")
        .args(["generate", "--out"])
        .arg(&file)
        .output()?;
    assert_fails(&again, 1, &["key.pem"])?;
    let told_again: Value = {
        let generated = command("vapid").args(["generate", "--json"]).output()?;
        serde_json::from_str(&stdout_of_success(&generated)?)?
    };
    assert_ne!(told_again["public_key"], told["public_key"]);
    Ok(())
}

#[tokio::test]
async fn send_waits_for_the_outcome_and_prints_it_as_json() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let settings = Settings::below(folder.path()).trust(&sandbox);
    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox.subscriptions(3, Scheme::Https, &key).await?;
    tidings.register_all(&subscriptions).await?;

    let sent = client(
        &settings,
        &tidings,
        &["send", "--all", "--title", "Fresh bread"],
    )
    .args(["--body", "still warm", "--urgency", "high", "--ttl", "5m"])
    .args(["--wait", "--json"])
    .output()?;
    let done: Value = serde_json::from_str(&stdout_of_success(&sent)?)?;
    assert_eq!(done["state"], "done");
    assert_eq!(done["counts"]["accepted"], 3);
    let got = sandbox.messages(&subscriptions[0]).await?;
    let notification = &got[0]["payload"]["json"]["notification"];
    assert_eq!(notification["title"], "Fresh bread");
    assert_eq!(notification["body"], "still warm");
    assert_eq!(got[0]["urgency"], "high");

    let sent = client(
        &settings,
        &tidings,
        &["send", "--all", "--data", "{\"n\": 1}", "--wait"],
    )
    .output()?;
    let text = stdout_of_success(&sent)?;
    assert!(
        text.starts_with("msg_") && text.contains("done: 3 targeted, 3 accepted"),
        "{text}"
    );
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

#[tokio::test]
async fn a_client_that_cannot_do_what_it_was_asked_says_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let send = ["send", "--all", "--title", "Hello"];

    let wrong = client(&settings, &tidings, &send)
        .args(["--ttl", "29d"])
        .output()?;
    assert_fails(&wrong, 1, &["422", "/ttl"])?;
    let stranger = client(&settings, &tidings, &send)
        .env("TIDINGS_TOKEN", "a-token-that-the-server-does-not-know")
        .output()?;
    assert_fails(&stranger, 1, &["401"])?;
    let nobody = command("send")
        .args(&send[1..])
        .args(["--data-dir", "nowhere"])
        .output()?;
    assert_fails(&nobody, 1, &["TIDINGS_TOKEN", "nowhere"])?;
    let without_scheme = client(&settings, &tidings, &send)
        .env("TIDINGS_URL", "127.0.0.1:8030")
        .output()?;
    let what_is_right = "begin with http:// or https://";
    assert_fails(&without_scheme, 2, &["--url", what_is_right])?;
    let to_nobody = client(&settings, &tidings, &["send", "--title", "Hello"]).output()?;
    assert_fails(&to_nobody, 2, &["--all", "--user", "--subscription"])?;

    let url = tidings.api().origin().to_owned();
    tidings.stop().await?;
    let unanswered = settings
        .command("send")
        .args(&send[1..])
        .args(["--url", &url])
        .output()?;
    assert_fails(&unanswered, 1, &[&url, "tidings serve"])
}

#[test]
fn a_setting_that_cannot_be_used_is_named_and_the_server_does_not_start() -> Result<()> {
    const ENVIRONMENT: &[(&str, &str, &[&str])] = &[
        (
            "TIDINGS_PUSH_ALLOW_NETWORKS",
            "127.0.0.1/99",
            &["push.allow_networks", "127.0.0.1/99"],
        ),
        (
            "TIDINGS_PUSH_HOSTS",
            "https://push.example.org",
            &["push.hosts", "without scheme"],
        ),
        (
            "TIDINGS_PUSH_EXTRA_CA",
            "missing.pem",
            &["push.extra_ca", "missing.pem"],
        ),
        (
            "TIDINGS_VAPID_KEY_FILE",
            "tidings.toml",
            &["tidings.toml", "VAPID key"],
        ),
        (
            "TIDINGS_SEALING_KEY",
            "short",
            &["sealing_key", "openssl rand -base64 32"],
        ),
        ("TIDINGS_ADMIN_TOKEN", "short", &["admin_token", "32"]),
        ("TIDINGS_CONTACT", "mailto:me@localhost", &["contact"]),
        (
            "TIDINGS_CORS_ORIGINS",
            "https://example.org/app",
            &["cors_origins"],
        ),
        ("TIDINGS_CONFIG", "missing.toml", &["missing.toml"]),
    ];
    const FILE: &[(&str, &[&str])] = &[
        (
            "lisen = '127.0.0.1:0'",
            &["tidings.toml", "lisen", "listen"],
        ),
        ("[push]\nhost = ['*']", &["tidings.toml", "host", "hosts"]),
        ("demo = 'yes'", &["tidings.toml", "demo"]),
        ("demo =", &["tidings.toml"]),
    ];
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("tidings.toml");
    fs::write(&settings, "")?;
    for (name, value, words) in ENVIRONMENT {
        let output = serve_below(folder.path()).env(name, value).output()?;
        assert_fails(&output, 1, words).context(*name)?;
    }
    for (text, words) in FILE {
        fs::write(&settings, text)?;
        let output = serve_below(folder.path()).output()?;
        assert_fails(&output, 1, words).context(*text)?;
    }
    let output = command("serve").args(["--listen", "everywhere"]).output()?;
    assert_fails(&output, 2, &["--listen", "everywhere"])
}

#[tokio::test]
async fn a_data_directory_serves_one_process_at_a_time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let second = settings.command("serve").output()?;
    let data = settings.data_folder().display().to_string();
    assert_fails(&second, 1, &["another Tidings process", &data])?;
    // The first one did not notice.
    tidings.api().get("/healthz").await?;
    tidings.stop().await
}

#[tokio::test]
async fn a_data_directory_is_opened_with_its_own_sealing_key_or_not_at_all() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    tidings.stop().await?;
    let file = settings.data_folder().join("sealing-key");
    assert_only_the_owner_reads(&file)?;
    let right = fs::read_to_string(&file)?;
    let wrong = "0123456789abcdef".repeat(4);

    fs::remove_file(&file)?;
    let lost = settings.command("serve").output()?;
    assert_fails(
        &lost,
        1,
        &[
            "no sealing key",
            "sealing_key",
            "restore the file sealing-key",
        ],
    )?;
    ensure!(!file.exists(), "it made itself a new one");
    let other = settings
        .command("serve")
        .env("TIDINGS_SEALING_KEY", &wrong)
        .output()?;
    assert_fails(&other, 1, &["another sealing key"])?;
    let other = settings
        .command("vapid")
        .args(["export", "--sealing-key", &wrong])
        .output()?;
    assert_fails(&other, 1, &["another sealing key"])?;

    // Neither attempt did any harm.
    let settings = settings.set("TIDINGS_SEALING_KEY", right.trim());
    let tidings = Tidings::start(&settings).await?;
    assert_eq!(tidings.vapid_key().await?, key);
    tidings.stop().await
}

/// Files of keys, and how openssl makes them: without and with the parameters of the curve, and in
/// the newer form.
const KEY_FILES: [(&str, &[&str]); 3] = [
    (
        "bare.pem",
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
    ),
    (
        "with-parameters.pem",
        &["ecparam", "-name", "prime256v1", "-genkey"],
    ),
    (
        "pkcs8.pem",
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ],
    ),
];

fn make_key(file: &Path, arguments: &[&str]) -> Result<()> {
    openssl(arguments, &["-out", path(file)?], b"").map(drop)
}

/// The public half of a private key, as pages want it: the uncompressed point.
fn public_key(file: &Path) -> Result<Vec<u8>> {
    let arguments = ["-in", path(file)?, "-pubout", "-outform", "DER"];
    let info = openssl(&["pkey"], &arguments, b"")?;
    // At the end of SubjectPublicKeyInfo (RFC 5480 §2).
    let point = info.last_chunk::<65>().context("too short for a key")?;
    Ok(point.to_vec())
}

fn private_key(file: &Path) -> Result<Vec<u8>> {
    openssl(&["pkey"], &["-in", path(file)?, "-outform", "DER"], b"")
}

fn base64url(octets: &[u8]) -> Result<String> {
    let text = String::from_utf8(openssl(&["base64", "-A"], &[], octets)?)?;
    Ok(text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_"))
}

fn openssl(command: &[&str], arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut process = Command::new("openssl")
        .args(command)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("openssl is needed for this test (Debian: apt install openssl)")?;
    process.stdin.take().context("no input")?.write_all(input)?;
    let output = process.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {command:?}: {complaint}");
    Ok(output.stdout)
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().context("a path that is no text")
}

async fn key_for_pages(tidings: &Tidings) -> Result<Vec<u8>> {
    let path = "/v1/apps/default/vapid-public-key";
    let answer = tidings.api().ask(Method::GET, path, None).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    Ok(answer.into_body().to_vec())
}

/// A command that talks to a running server; it finds the token in the data directory.
fn client(settings: &Settings, tidings: &Tidings, arguments: &[&str]) -> Command {
    let (name, rest) = arguments.split_first().unwrap_or((&"", &[]));
    let mut command = settings.command(name);
    command
        .args(rest)
        .env("TIDINGS_URL", tidings.api().origin());
    command
}

fn serve_below(folder: &Path) -> Command {
    let mut command = command("serve");
    command
        .current_dir(folder)
        .args(["--listen", "127.0.0.1:0", "--data-dir", "data"]);
    command
}

pub(crate) fn stdout_of_success(output: &Output) -> Result<String> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaint}", output.status);
    Ok(String::from_utf8(output.stdout.clone())?)
}

/// Checks that a command failed with this exit code, printed no data, and said these words.
pub(crate) fn assert_fails(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "ended with {}: {complaint}",
        output.status
    );
    ensure!(output.stdout.is_empty(), "printed data");
    for word in words {
        ensure!(complaint.contains(word), "does not say {word}: {complaint}");
    }
    ensure!(!complaint.contains("panicked"), "{complaint}");
    Ok(())
}

fn assert_only_the_owner_reads(file: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = fs::metadata(file)?.permissions().mode();
        ensure!(
            mode & 0o777 == 0o600,
            "{} has mode {mode:o}",
            file.display()
        );
    }
    Ok(())
}

#[tokio::test]
async fn of_the_virtual_user_agents_one_in_so_many_decrypts_if_the_sandbox_is_told_so() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start_with(&["--decrypt-one-in", "3"]).await?;
    let tidings = Tidings::start(&Settings::below(folder.path()).trust(&sandbox)).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox.subscriptions(9, Scheme::Https, &key).await?;
    tidings.register_all(&subscriptions).await?;
    let message = tidings.notify_all("For everybody").await?;
    tidings.wait_until_done(&message).await?;
    let stats = sandbox.stats().await?;
    assert_eq!(stats["decrypted"], 3, "{stats:#}");
    assert_eq!(stats["not_decrypted"], 6, "{stats:#}");
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

#[tokio::test]
async fn a_sandbox_tells_where_it_listens_and_what_a_server_must_be_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = sandbox_log(
        folder.path(),
        &["--listen", "0.0.0.0:0", "--service", "fcm=127.0.0.1:0"],
    )
    .await?;
    let lines = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!(lines("listening on http://127.0.0.1:"), 1, "{log:#?}");
    assert_eq!(lines(" (address 0.0.0.0:"), 1, "{log:#?}");
    assert_eq!(lines("guards nothing"), 1, "{log:#?}");
    assert_eq!(lines("give --ca-file FILE"), 1, "{log:#?}");
    assert_eq!(lines("TIDINGS_PUSH_EXTRA_CA"), 0, "{log:#?}");

    let arguments = ["--service", "fcm=127.0.0.1:0", "--ca-file", "a b.pem"];
    let log = sandbox_log(folder.path(), &arguments).await?;
    let lines = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!(lines("guards nothing"), 0, "{log:#?}");
    assert_eq!(lines("--ca-file"), 0, "{log:#?}");
    let file = folder.path().canonicalize()?.join("a b.pem");
    let setting = format!("TIDINGS_PUSH_EXTRA_CA='{}'", file.display());
    assert_eq!(lines(&setting), 1, "{log:#?}");
    Ok(())
}

/// What `tidings sandbox` logs at its start, in this folder.
async fn sandbox_log(folder: &Path, arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = command("sandbox");
    command.current_dir(folder);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let process = Process::spawn("the sandbox", command.args(arguments))?;
    let is_last = |line: &str| line.contains("for `tidings serve`").then_some(());
    process
        .wait_for_line("its last words", Duration::from_secs(30), is_last)
        .await?;
    let lines = process.log().lines();
    process.kill();
    Ok(lines)
}
