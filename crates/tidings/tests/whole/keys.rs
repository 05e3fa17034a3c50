//! `tidings keys`: the sealing key is replaced, as an operator does it, and as a power failure does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    process::Process,
    sandbox::{Sandbox, Scheme},
    tidings::{Counts, Settings, Tidings},
};

/// Values of which some steps are made.
const SUBSCRIPTIONS: usize = 700;

const KILLS: usize = 2;

const DEADLINE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn killed_in_the_middle_it_is_finished_later_and_only_the_new_key_is_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let settings = Settings::below(folder.path()).trust(&sandbox);
    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox
        .subscriptions(SUBSCRIPTIONS, Scheme::Https, &key)
        .await?;
    tidings.register_all(&subscriptions).await?;
    tidings.stop().await?;
    let data = settings.data_folder();
    let old = OldKey::of(&data)?;
    ensure!(old.is_in_a_file(&data)?, "it is not where it is");

    for _ in 0..KILLS {
        let mut command = settings.command("keys");
        let process = Process::spawn("reseal", command.args(["reseal", "--new"]))?;
        process
            // Its progress; or its end, if the kill before came after all was sealed.
            .wait_for_line("progress", DEADLINE, |line| {
                line.contains("sealed").then_some(())
            })
            .await?;
        process.kill();
        // A server goes on meanwhile with both keys.
        let tidings = Tidings::start(&settings).await?;
        assert_eq!(tidings.vapid_key().await?, key);
        tidings.stop().await?;
    }
    let output = keys(&settings, &["reseal", "--new"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{told}");
    ensure!(!old.is_in_a_file(&data)?, "the old key is still there");
    ensure!(!told.contains(&old.text), "it tells the key");
    let new = fs::read_to_string(data.join("sealing-key"))?;
    assert_eq!(new.lines().count(), 1, "{} lines", new.lines().count());
    ensure!(!told.contains(new.trim()), "it tells the new key");

    let tidings = Tidings::start(&settings).await?;
    assert_eq!(tidings.vapid_key().await?, key);
    let message = tidings.notify_all("As if nothing had been").await?;
    let counts = tidings.wait_until_done(&message).await?;
    assert_eq!(counts, Counts::new(&[("accepted", SUBSCRIPTIONS)]));
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

#[tokio::test]
async fn a_key_from_the_environment_is_replaced_by_naming_the_new_one_first() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (old, new) = ("01".repeat(32), "02".repeat(32));
    let with = |keys: &str| Settings::below(folder.path()).set("TIDINGS_SEALING_KEY", keys);
    let tidings = Tidings::start(&with(&old)).await?;
    let key = tidings.vapid_key().await?;

    let running = keys(&with(&format!("{new},{old}")), &["reseal"])?;
    assert_refused(&running, &["another Tidings process", "stop it"])?;
    tidings.stop().await?;
    let nowhere_to_write = keys(&with(&old), &["reseal", "--new"])?;
    assert_refused(
        &nowhere_to_write,
        &["openssl rand", "in front", "TIDINGS_SEALING_KEY", "reseal"],
    )?;
    let without_the_old = keys(&with(&new), &["reseal"])?;
    assert_refused(&without_the_old, &["another sealing key", "keys list"])?;

    let both = with(&format!("{new},{old}"));
    let [first, second] = listed(&both)?.try_into().ok().context("not two keys")?;
    assert_eq!(
        (&first["seals"], &first["values"]),
        (&true.into(), &0.into())
    );
    assert_eq!(
        (&second["seals"], &second["values"]),
        (&false.into(), &4.into())
    );
    let resealed = json_of(&keys(&both, &["reseal", "--json"])?)?;
    assert_eq!(resealed["resealed"], 4);
    assert_eq!(resealed["key"], first["id"]);
    assert_eq!(resealed["unneeded_keys"][0], second["id"]);
    let again = json_of(&keys(&both, &["reseal", "--json"])?)?;
    assert_eq!(again["resealed"], 0);

    let too_late = with(&old).command("serve").output()?;
    assert_refused(&too_late, &["another sealing key"])?;
    let [only] = listed(&with(&new))?
        .try_into()
        .ok()
        .context("not one key")?;
    assert_eq!((&only["seals"], &only["values"]), (&true.into(), &4.into()));
    let [_, missing] = listed(&with(&old))?
        .try_into()
        .ok()
        .context("not two keys")?;
    assert_eq!(
        (&missing["given"], &missing["values"]),
        (&false.into(), &4.into())
    );
    let tidings = Tidings::start(&with(&new)).await?;
    assert_eq!(tidings.vapid_key().await?, key);
    tidings.stop().await?;
    for order in [&new, &format!("{old},{new}")] {
        let exported = with(order).command("vapid").arg("export").output()?;
        ensure!(exported.status.success(), "{exported:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_value_is_told_and_the_old_key_stays() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    Tidings::start(&settings).await?.stop().await?;
    let data = settings.data_folder();
    let old = OldKey::of(&data)?;
    // It has nothing to do, and leaves everything in one file.
    ensure!(keys(&settings, &["reseal"])?.status.success());
    let database = data.join("tidings.sqlite3");
    let mut content = fs::read(&database)?;
    let place =
        position(&content, &mark_of_the_first_key(&settings)?).context("nothing is sealed")?;
    content[place + 30] ^= 1;
    fs::write(&database, content)?;

    let output = keys(&settings, &["reseal", "--new"])?;
    assert_refused(&output, &["cannot open", "in table", "damaged", "3 were"])?;
    ensure!(fs::read_to_string(data.join("sealing-key"))?.contains(&old.text));
    let values: Vec<_> = listed(&settings)?
        .iter()
        .map(|key| key["values"].clone())
        .collect();
    assert_eq!(values, [3, 1]);
    Ok(())
}

#[tokio::test]
async fn a_bad_line_in_the_data_directory_is_named_and_not_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    Tidings::start(&settings).await?.stop().await?;
    let file = settings.data_folder().join("sealing-key");
    let good = fs::read_to_string(&file)?;
    fs::write(&file, format!("# mine\n{good}topsecret\n"))?;
    for output in [
        settings.command("serve").output()?,
        keys(&settings, &["reseal", "--new"])?,
        settings.command("vapid").arg("export").output()?,
    ] {
        assert_refused(&output, &["sealing-key", "line 3", "openssl rand"])?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(!told.contains("topsecret"), "{told}");
    }
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_data_directory_that_is_open_to_others_is_closed_at_start() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir()?;
    let settings = Settings::below(folder.path());
    Tidings::start(&settings).await?.stop().await?;
    let data = settings.data_folder();
    let places = [
        (data.clone(), 0o755, 0o700),
        (data.join("sealing-key"), 0o644, 0o600),
        (data.join("admin-token"), 0o640, 0o600),
    ];
    for (path, open, _) in &places {
        fs::set_permissions(path, fs::Permissions::from_mode(*open))?;
    }
    let tidings = Tidings::start(&settings).await?;
    let log = tidings.log().lines().join("\n");
    for (path, _, closed) in &places {
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        assert_eq!(mode, *closed, "{}", path.display());
        ensure!(log.contains(&path.display().to_string()), "{log}");
    }
    tidings.stop().await
}

/// The key of a data directory before it was replaced.
struct OldKey {
    text: String,
    raw: Vec<u8>,
}

impl OldKey {
    fn of(data: &Path) -> Result<Self> {
        let text = fs::read_to_string(data.join("sealing-key"))?;
        let text = text.trim().to_owned();
        let raw = URL_SAFE_NO_PAD.decode(&text)?;
        Ok(Self { text, raw })
    }

    fn is_in_a_file(&self, data: &Path) -> Result<bool> {
        for file in files(data)? {
            let content = fs::read(file)?;
            let needles = [self.text.as_bytes(), &self.raw];
            if needles.iter().any(|key| position(&content, key).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How a value begins that is sealed with the first key.
fn mark_of_the_first_key(settings: &Settings) -> Result<Vec<u8>> {
    let keys = listed(settings)?;
    let id = keys[0]["id"].as_str().context("no id")?;
    let id = u32::from_str_radix(id, 16)?;
    Ok([&[1], id.to_be_bytes().as_slice()].concat())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

fn position(content: &[u8], needle: &[u8]) -> Option<usize> {
    content
        .windows(needle.len())
        .position(|window| window == needle)
}

fn keys(settings: &Settings, arguments: &[&str]) -> Result<Output> {
    Ok(settings.command("keys").args(arguments).output()?)
}

/// What `keys list` knows of each key.
fn listed(settings: &Settings) -> Result<Vec<Value>> {
    let mut listed = json_of(&keys(settings, &["list", "--json"])?)?;
    assert_eq!(listed["damaged"], 0);
    Ok(serde_json::from_value(listed["keys"].take())?)
}

fn json_of(output: &Output) -> Result<Value> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaint}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn assert_refused(output: &Output, words: &[&str]) -> Result<()> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{complaint}");
    ensure!(output.stdout.is_empty(), "printed data");
    for word in words {
        ensure!(complaint.contains(word), "does not say {word}: {complaint}");
    }
    Ok(())
}
