//! Other people's senders and receivers, in both directions: what they send is decrypted by the
//! sandbox, and what Tidings sends is decrypted by them.

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    sync::mpsc::{self, UnboundedReceiver},
    task::JoinSet,
    time::timeout,
};

use crate::{
    other_senders::{KeyMaker, KeyPair, Peers, Push, Sender},
    sandbox::{Sandbox, Scheme, Subscription},
    tidings::{Counts, Settings, Tidings},
    wait::DEADLINE,
};

const ENCODINGS: [&str; 2] = ["aes128gcm", "aesgcm"];

const KEY_MAKERS: [KeyMaker; 3] = [KeyMaker::WebPush, KeyMaker::PyVapid, KeyMaker::Tidings];

const TEXT: &str = "Zwölf Brote — 🍞";

#[tokio::test]
async fn the_sandbox_understands_the_command_web_push() -> Result<()> {
    every_key_and_encoding_arrives(Sender::WebPushCommand).await
}

#[tokio::test]
async fn the_sandbox_understands_the_command_pywebpush() -> Result<()> {
    every_key_and_encoding_arrives(Sender::PywebpushCommand).await
}

#[tokio::test]
async fn the_sandbox_understands_the_library_pywebpush() -> Result<()> {
    every_key_and_encoding_arrives(Sender::PywebpushLibrary).await
}

/// Over TLS, with keys of every maker, in both encodings.
async fn every_key_and_encoding_arrives(sender: Sender) -> Result<()> {
    let sandbox = Sandbox::start().await?;
    let Some(peers) = Peers::find(Some(sandbox.ca_file()))? else {
        return Ok(());
    };
    let mut keys = Vec::new();
    for maker in KEY_MAKERS {
        let key = peers.make_key(maker).await?;
        for (encoding, subscription) in ENCODINGS
            .iter()
            .zip(sandbox.subscriptions(2, Scheme::Https, &key.public).await?)
        {
            let what = format!("{sender:?} with a key of {maker:?} in {encoding}");
            let push = push(&subscription, &key, encoding);
            peers.send(sender, &push).await.context(what.clone())?;
            assert_eq!(payloads(&sandbox, &subscription).await?, [TEXT], "{what}");
        }
        keys.push(key);
    }

    // With a key that is not the subscription's it is refused: so keys are looked at.
    let [key, .., other] = keys.as_slice() else {
        bail!("not two keys");
    };
    for subscription in sandbox.subscriptions(1, Scheme::Https, &key.public).await? {
        let refused = peers
            .send(sender, &push(&subscription, other, "aes128gcm"))
            .await;
        assert!(refused.is_err(), "{sender:?}");
        assert!(payloads(&sandbox, &subscription).await?.is_empty());
    }
    sandbox.end();
    Ok(())
}

fn push<'a>(subscription: &'a Subscription, key: &'a KeyPair, encoding: &'a str) -> Push<'a> {
    Push {
        subscription: &subscription.json,
        key,
        encoding,
        payload: TEXT,
    }
}

/// What the sandbox decrypted for a subscription.
async fn payloads(sandbox: &Sandbox, subscription: &Subscription) -> Result<Vec<Value>> {
    let messages = sandbox.messages(subscription).await?;
    Ok(messages
        .into_iter()
        .map(|mut message| message["payload"]["text"].take())
        .collect())
}

#[tokio::test]
async fn http_ece_of_node_opens_what_tidings_sends() -> Result<()> {
    every_encoding_is_opened("receive.js", KeyMaker::WebPush).await
}

#[tokio::test]
async fn http_ece_of_python_opens_what_tidings_sends() -> Result<()> {
    every_encoding_is_opened("receive.py", KeyMaker::PyVapid).await
}

/// By a script, with the VAPID key of a maker.
async fn every_encoding_is_opened(script: &'static str, maker: KeyMaker) -> Result<()> {
    let Some(peers) = Peers::find(None)? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let key = peers.make_key(maker).await?;
    let settings = Settings::below(folder.path())
        .allow_insecure_loopback()
        .set("TIDINGS_VAPID_KEY_FILE", &key.file);
    let tidings = Tidings::start(&settings).await?;
    let mut mailbox = Mailbox::open().await?;
    for encoding in ENCODINGS {
        let user_agent = UserAgent::new(&peers, script).await?;
        let registered = tidings
            .register(&user_agent.subscription(&mailbox, encoding))
            .await?;
        let message = tidings.notify(&registered, TEXT).await?;
        let counts = tidings.wait_until_done(&message).await?;
        assert_eq!(counts, Counts::new(&[("accepted", 1)]));
        let letter = mailbox.next().await?;
        assert_eq!(letter["headers"]["content-encoding"], encoding);

        let opened = user_agent.open(&letter).await?;
        let payload: Value = serde_json::from_str(opened["payload"].as_str().unwrap_or_default())?;
        assert_eq!(payload["notification"]["title"], TEXT);
        assert_eq!(opened["key"], key.public);
        assert_eq!(opened["claims"]["aud"], mailbox.origin);
        assert!(opened["claims"]["exp"].is_u64(), "{opened}");

        // What is not as it was sent is not opened, so all of it was looked at.
        for pointer in ["/body", "/headers/authorization"] {
            let mut broken = letter.clone();
            let text = broken.pointer_mut(pointer).context("no such part")?;
            *text = flipped(text.as_str().context("no text")?).into();
            assert!(user_agent.open(&broken).await.is_err(), "{pointer}");
        }
    }
    tidings.stop().await
}

/// Another text of base64url at its end, or before the key in the header of VAPID.
fn flipped(text: &str) -> String {
    let end = text.find(", k=").unwrap_or(text.len()) - 4;
    let other = if text[end..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    format!("{}{other}{}", &text[..end], &text[end + 1..])
}

/// A user agent whose side of the protocol is a script.
struct UserAgent<'a> {
    peers: &'a Peers,
    script: &'static str,
    keys: Value,
}

impl<'a> UserAgent<'a> {
    async fn new(peers: &'a Peers, script: &'static str) -> Result<Self> {
        let printed = peers.run(peers.script(script).arg("keys"), "").await?;
        Ok(Self {
            peers,
            script,
            keys: serde_json::from_str(&printed)?,
        })
    }

    fn subscription(&self, mailbox: &Mailbox, encoding: &str) -> Subscription {
        let json = json!({
            "endpoint": format!("{}/{encoding}", mailbox.origin),
            "keys": {"p256dh": self.keys["p256dh"], "auth": self.keys["auth"]},
            "encodings": [encoding],
        });
        Subscription { json }
    }

    async fn open(&self, letter: &Value) -> Result<Value> {
        let mut input = letter.clone();
        for name in ["private", "auth"] {
            input[name] = self.keys[name].clone();
        }
        let mut command = self.peers.script(self.script);
        let input = input.to_string();
        let opened = self.peers.run(command.arg("open"), &input).await?;
        Ok(serde_json::from_str(&opened)?)
    }
}

/// A push service that takes whatever comes and keeps it as it came.
struct Mailbox {
    origin: String,
    letters: UnboundedReceiver<Value>,
    _serving: JoinSet<()>,
}

impl Mailbox {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (sender, letters) = mpsc::unbounded_channel();
        let service = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            // Nobody waits for it any more when the test has failed.
            let _ = sender.send(letter(&headers, &body));
            StatusCode::CREATED
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self {
            origin,
            letters,
            _serving: serving,
        })
    }

    async fn next(&mut self) -> Result<Value> {
        let letter = timeout(DEADLINE, self.letters.recv()).await;
        letter.context("no letter in time")?.context("closed")
    }
}

fn letter(headers: &HeaderMap, body: &[u8]) -> Value {
    let headers: Map<_, _> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), Value::from(value))
        })
        .collect();
    json!({"headers": headers, "body": BASE64_URL_SAFE_NO_PAD.encode(body)})
}
