//! Other people's senders: the npm package `web-push` and Python's `pywebpush`, as their users run
//! them, and the VAPID keys that they make.

use std::{env, ffi::OsStr, fs, path::Path, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings_webpush::VapidKey;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::binary::command;

/// None takes a second alone; Python loads slowly on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

const CONTACT: &str = "mailto:push@example.com";

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

/// What `scripts/install-test-peers` has installed.
pub(crate) struct Peers {
    installed: PathBuf,
    /// The certificate authority that they trust beside their own.
    ca_file: Option<PathBuf>,
    folder: TempDir,
}

/// A program that sends push messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender {
    /// The command `web-push send-notification`.
    WebPushCommand,
    /// The command `pywebpush`.
    PywebpushCommand,
    /// The function `pywebpush.webpush()`.
    PywebpushLibrary,
}

/// A program that makes VAPID keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyMaker {
    WebPush,
    PyVapid,
    Tidings,
}

/// A VAPID key pair.
pub(crate) struct KeyPair {
    /// The private key, in the form that its maker writes.
    pub(crate) file: PathBuf,
    /// The public key, as its maker printed it.
    pub(crate) public: String,
}

/// What is sent, and to whom.
pub(crate) struct Push<'a> {
    /// What `PushSubscription.toJSON()` returns.
    pub(crate) subscription: &'a Value,
    pub(crate) key: &'a KeyPair,
    pub(crate) encoding: &'a str,
    pub(crate) payload: &'a str,
}

impl Peers {
    /// Those that are installed, to trust `ca_file`; nothing, said loudly, if they are not and need
    /// not be.
    pub(crate) fn find(ca_file: Option<PathBuf>) -> Result<Option<Self>> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
        let installed = target.context("no target folder")?.join("peers");
        if !installed.join("installed").exists() {
            let missing = format!(
                "{} has no other senders: ./scripts/install-test-peers installs them",
                installed.display()
            );
            if env::var_os("TIDINGS_REQUIRE_PEERS").is_some_and(|value| value == "1") {
                bail!("{missing}");
            }
            eprintln!("SKIPPED: nothing was exchanged with other senders, {missing}");
            return Ok(None);
        }
        Ok(Some(Self {
            installed,
            ca_file,
            folder: tempfile::Builder::new()
                .prefix("tidings-peers-")
                .tempdir()?,
        }))
    }

    /// Has one of them make a VAPID key pair.
    pub(crate) async fn make_key(&self, maker: KeyMaker) -> Result<KeyPair> {
        let folder = self.folder.path().join(format!("{maker:?}"));
        fs::create_dir(&folder)?;
        let (file, public) = match maker {
            KeyMaker::WebPush => {
                let arguments = ["generate-vapid-keys", "--json"];
                let printed = self.run(self.npm_command().args(arguments), "").await?;
                fs::write(folder.join("keys.json"), &printed)?;
                let keys: Value = serde_json::from_str(&printed)?;
                ("keys.json", keys["publicKey"].as_str().map(str::to_owned))
            }
            KeyMaker::PyVapid => {
                let mut command = self.command(self.python("vapid"));
                command.args(["--gen", "--applicationServerKey"]);
                let printed = self.run(command.current_dir(&folder), "").await?;
                let public = printed
                    .lines()
                    .find_map(|line| line.strip_prefix("Application Server Key = "));
                ("private_key.pem", public.map(str::to_owned))
            }
            KeyMaker::Tidings => {
                let mut command = Command::from(command("vapid"));
                let arguments = ["generate", "--json", "--out", "key.pem"];
                command.args(arguments).current_dir(&folder);
                let keys: Value = serde_json::from_str(&self.run(&mut command, "").await?)?;
                ("key.pem", keys["public_key"].as_str().map(str::to_owned))
            }
        };
        Ok(KeyPair {
            file: folder.join(file),
            public: public.context("a key without its public half")?,
        })
    }

    /// Has one of them send a message; anything but success is an error.
    pub(crate) async fn send(&self, sender: Sender, push: &Push<'_>) -> Result<()> {
        // Both commands exit with 0 when they have failed.
        let (printed, success) = match sender {
            Sender::WebPushCommand => (self.web_push(push).await?, "Push message sent."),
            Sender::PywebpushCommand => (self.pywebpush(push).await?, "<Response [201]>"),
            Sender::PywebpushLibrary => (self.webpush_function(push).await?, "201"),
        };
        ensure!(printed.trim() == success, "{sender:?} said {printed}");
        Ok(())
    }

    /// The command line that the README of `web-push` shows.
    async fn web_push(&self, push: &Push<'_>) -> Result<String> {
        let member = |pointer| push.subscription.pointer(pointer).and_then(Value::as_str);
        let options = [
            ("endpoint", member("/endpoint")),
            ("key", member("/keys/p256dh")),
            ("auth", member("/keys/auth")),
            ("payload", Some(push.payload)),
            ("ttl", Some("60")),
            ("encoding", Some(push.encoding)),
            ("vapid-subject", Some(CONTACT)),
            ("vapid-pubkey", Some(&push.key.public)),
            ("vapid-pvtkey", Some(&push.key.private()?)),
        ];
        let mut command = self.npm_command();
        command.arg("send-notification");
        for (name, value) in options {
            command.arg(format!("--{name}={}", value.context(name)?));
        }
        self.run(&mut command, "").await
    }

    /// The command of `pywebpush`, which reads all but a key from files.
    async fn pywebpush(&self, push: &Push<'_>) -> Result<String> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let mut command = self.command(self.python("pywebpush"));
        let files = [
            ("data", push.payload.to_owned()),
            ("info", push.subscription.to_string()),
            ("head", json!({"ttl": "60"}).to_string()),
            ("claims", json!({"sub": CONTACT}).to_string()),
        ];
        for (name, content) in files {
            let file = folder.path().join(name);
            fs::write(&file, content)?;
            command.arg(format!("--{name}")).arg(file);
        }
        command.args(["--encoding", push.encoding]);
        // In one: one key of 64 begins with a hyphen.
        command.arg(format!("--key={}", push.key.for_python()?));
        self.run(&mut command, "").await
    }

    /// The function of `pywebpush`.
    async fn webpush_function(&self, push: &Push<'_>) -> Result<String> {
        let input = json!({
            "subscription": push.subscription,
            "data": push.payload,
            "private_key": push.key.for_python()?,
            "subject": CONTACT,
            "encoding": push.encoding,
        });
        let mut command = self.script("send.py");
        self.run(&mut command, &input.to_string()).await
    }

    /// A script beside the lists of what is installed, for the interpreter that its name asks for.
    pub(crate) fn script(&self, name: &str) -> Command {
        let is_python = Path::new(name)
            .extension()
            .is_some_and(|ending| ending == "py");
        let mut command = if is_python {
            self.command(self.python("python"))
        } else {
            self.command("node")
        };
        command.arg(Path::new(SCRIPTS).join(name));
        command
    }

    /// Runs a command to its end and returns what it printed.
    pub(crate) async fn run(&self, command: &mut Command, input: &str) -> Result<String> {
        let name = command.as_std().get_program().display().to_string();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let ended = async {
            // Who does not read it may have closed it.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let output = timeout(DEADLINE, ended)
            .await
            .with_context(|| format!("waited {DEADLINE:?} in vain for the end of {name}"))??;
        let (printed, complaints) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.success(),
            "{name} ended with {}: {printed}{complaints}",
            output.status
        );
        // Some tell their failures here and nowhere else.
        ensure!(
            !printed.is_empty(),
            "{name} printed nothing but {complaints}"
        );
        Ok(printed)
    }

    /// What `npx web-push` runs.
    fn npm_command(&self) -> Command {
        self.command(self.installed.join("node_modules/.bin/web-push"))
    }

    fn python(&self, name: &str) -> PathBuf {
        self.installed.join("python/bin").join(name)
    }

    /// A command that finds the packages and trusts the authority.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("NODE_PATH", self.installed.join("node_modules"));
        if let Some(ca_file) = &self.ca_file {
            command
                .env("NODE_EXTRA_CA_CERTS", ca_file)
                .env("REQUESTS_CA_BUNDLE", ca_file);
        }
        // What is on loopback is reached without a proxy.
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy).env_remove(proxy.to_lowercase());
        }
        command
    }
}

impl KeyPair {
    /// The private scalar, as `web-push` wants it.
    fn private(&self) -> Result<String> {
        let key = VapidKey::from_key_file(&fs::read(&self.file)?)?;
        ensure!(
            key.public_key().to_base64url() == self.public,
            "{} was read as another key",
            self.file.display()
        );
        Ok(key.to_raw_base64url().to_string())
    }

    /// `pywebpush` takes the name of a PEM file, or the scalar.
    fn for_python(&self) -> Result<String> {
        if self.file.extension().is_some_and(|ending| ending == "pem") {
            Ok(self.file.display().to_string())
        } else {
            self.private()
        }
    }
}
