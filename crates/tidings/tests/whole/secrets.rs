//! Secrets are in the files that are made for them, and nowhere else.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Api,
    sandbox::{Sandbox, Scheme, Subscription},
    tidings::{Counts, Registered, Settings, Tidings, notification},
};

const TITLE: &str = "Your code is 424242";

const USER_TOKEN_SECRET: &str = "a secret of the back end, of 32 octets or more";

/// The shape of a user token; nobody signed it.
const USER_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c29tZWJvZHkncyBzaWduYXR1cmU";

/// Files that hold a secret because that is what they are for.
const SECRET_FILES: [&str; 2] = ["sealing-key", "admin-token"];

#[tokio::test]
async fn neither_the_data_directory_nor_the_log_gives_a_secret_away() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let settings = Settings::below(folder.path())
        .trust(&sandbox)
        .set("TIDINGS_PUSH_ALLOW_INSECURE", "true")
        .set("TIDINGS_USER_TOKEN_SECRET", USER_TOKEN_SECRET)
        .set("TIDINGS_LOG", "trace");
    let tidings = Tidings::start(&settings).await?;
    let log = tidings.log();
    let key = tidings.vapid_key().await?;
    let subscriptions = sandbox.subscriptions(4, Scheme::Https, &key).await?;
    let mut secrets = Secrets::of(&settings, &subscriptions)?;
    let page_token = use_and_abuse(&tidings, &sandbox, &subscriptions).await?;
    secrets.add("a subscription's token", &page_token);
    for token in use_and_revoke_api_tokens(&tidings, &secrets).await? {
        secrets.add("an API token", &token);
        let characters = token.strip_prefix("tdg_").context("another prefix")?;
        secrets.add_octets("an API token's octets", characters)?;
    }

    // While the database is in use, and its journal is there.
    let public_key = URL_SAFE_NO_PAD.decode(&key)?;
    secrets.search_files(&settings.data_folder(), &public_key)?;
    tidings.stop().await?;
    secrets.search_files(&settings.data_folder(), &public_key)?;
    replace_the_sealing_key(&settings)?;
    secrets.search_files(&settings.data_folder(), &public_key)?;
    let log = log.lines().join("\n");
    ensure!(
        log.contains("listening on") && log.contains("TRACE"),
        "this is not the log: {log}"
    );
    secrets.search("the log", log.as_bytes())?;
    ensure!(!log.contains("vapid t="), "a VAPID token is in the log");
    sandbox.end();
    Ok(())
}

/// After which the old key is not even in the files that are made for secrets, nor told of, and
/// neither is the new one.
fn replace_the_sealing_key(settings: &Settings) -> Result<()> {
    let folder = settings.data_folder();
    let file = folder.join("sealing-key");
    let old = fs::read_to_string(&file)?;
    let mut nowhere = Secrets {
        needles: Vec::new(),
    };
    nowhere.add_octets("the old sealing key", old.trim())?;
    let resealed = settings
        .command("keys")
        .args(["reseal", "--new", "--log", "trace"])
        .output()?;
    let told = [resealed.stdout, resealed.stderr].concat();
    ensure!(
        resealed.status.success(),
        "{}",
        String::from_utf8_lossy(&told)
    );
    for file in files_below(&folder)? {
        nowhere.search(&file.display().to_string(), &fs::read(&file)?)?;
    }
    nowhere.add_octets("the new sealing key", fs::read_to_string(&file)?.trim())?;
    nowhere.search("what `keys reseal` tells", &told)
}

/// Does everything that has to do with a secret and lets go wrong with it what can. Returns the
/// token that a page got.
async fn use_and_abuse(
    tidings: &Tidings,
    sandbox: &Sandbox,
    subscriptions: &[Subscription],
) -> Result<String> {
    let [good, refused, gone, unreachable] = subscriptions else {
        bail!("not four subscriptions");
    };
    let page_token = register_as_a_page(tidings, good).await?;
    let refused = tidings.register(refused).await?;
    let gone = tidings.register(gone).await?;
    let endpoint = format!("{}/push/{}", silent_origin()?, unreachable.token());
    tidings.register(&unreachable.moved_to(endpoint)).await?;
    answer_with_the_endpoint(sandbox, &[(&refused, 400), (&gone, 410)]).await?;

    let message = tidings.notify_all(TITLE).await?;
    let outcomes = [
        ("accepted", 1),
        ("refused", 1),
        ("gone", 1),
        ("retrying", 1),
    ];
    tidings
        .wait_for_counts(&message, &Counts::new(&outcomes))
        .await?;
    be_refused(tidings, good).await?;
    Ok(page_token)
}

/// Uses API tokens in each way that is taken or refused, and searches what is answered for them.
async fn use_and_revoke_api_tokens(tidings: &Tidings, others: &Secrets) -> Result<Vec<String>> {
    let mut tokens = Vec::new();
    for life in [json!(null), json!(1)] {
        let wanted = json!({"name": "CI", "scopes": ["messages:read"], "expires_in": life});
        let made = tidings.api().post("/v1/api-tokens", &wanted).await?;
        let token = made["token"].as_str().context("no token")?.to_owned();
        let back_end = Api::with_token(tidings.api().origin().to_owned(), token.clone());
        let mut answers = vec![ask(&back_end, Method::GET, "/v1/messages").await?];
        answers.push(ask(&back_end, Method::POST, "/v1/messages").await?);
        let id = made["id"].as_str().context("no id")?;
        let path = format!("/v1/api-tokens/{id}");
        answers.push(ask(&back_end, Method::DELETE, &path).await?);
        answers.push(ask(tidings.api(), Method::DELETE, &path).await?);
        answers.push(ask(&back_end, Method::GET, "/v1/messages").await?);
        answers.push(ask(tidings.api(), Method::GET, "/v1/api-tokens").await?);
        tokens.push(token);
        for answer in answers {
            others.search("an answer", &answer)?;
            for token in &tokens {
                ensure!(!contains(&answer, token.as_bytes()), "a token is answered");
            }
        }
    }
    Ok(tokens)
}

/// Everything of an answer.
async fn ask(api: &Api, method: Method, path: &str) -> Result<Vec<u8>> {
    let answer = api.ask(method, path, Some(&json!({}))).await?;
    let head = format!("{:?}", answer.headers());
    Ok([head.as_bytes(), answer.body()].concat())
}

/// An origin where nobody listens any more.
fn silent_origin() -> Result<String> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(format!("https://{address}"))
}

async fn register_as_a_page(tidings: &Tidings, subscription: &Subscription) -> Result<String> {
    let path = "/v1/apps/default/subscriptions";
    let answer = tidings.api().post(path, &subscription.json).await?;
    let token = answer["token"].as_str().context("no token")?;
    Ok(token.to_owned())
}

/// Some push services repeat in their complaint what they complain about.
async fn answer_with_the_endpoint(sandbox: &Sandbox, answers: &[(&Registered, u16)]) -> Result<()> {
    let rules = answers.iter().map(|(registered, status)| {
        let endpoint = registered.subscription.endpoint();
        json!({
            "status": status,
            "body": {"message": format!("no good: {endpoint} (see there)")},
            "subscriptions": [endpoint],
        })
    });
    sandbox.behave(&rules.collect()).await
}

/// Requests that carry secrets and that the server refuses.
async fn be_refused(tidings: &Tidings, subscription: &Subscription) -> Result<()> {
    let mut other_keys = subscription.json.clone();
    other_keys["keys"]["auth"] = URL_SAFE_NO_PAD.encode([7; 16]).into();
    let mut no_point = subscription.json.clone();
    no_point["keys"]["p256dh"] = "AAAA".into();
    let mut bad_ttl = notification(&json!({"all": true}), TITLE);
    bad_ttl["ttl"] = "never".into();
    let mut bad_token = subscription.json.clone();
    bad_token["user_token"] = USER_TOKEN.into();
    let refused: [(&str, &Value, u16); 4] = [
        ("/v1/apps/default/subscriptions", &bad_token, 403),
        ("/v1/subscriptions", &other_keys, 409),
        ("/v1/subscriptions", &no_point, 422),
        ("/v1/messages", &bad_ttl, 422),
    ];
    for (path, body, status) in refused {
        let answer = tidings.api().ask(Method::POST, path, Some(body)).await?;
        ensure!(answer.status() == status, "{path}: {}", answer.status());
    }
    Ok(())
}

/// What nobody may find, each with what it is.
struct Secrets {
    needles: Vec<(String, Vec<u8>)>,
}

impl Secrets {
    fn of(settings: &Settings, subscriptions: &[Subscription]) -> Result<Self> {
        let mut secrets = Self {
            needles: Vec::new(),
        };
        secrets.add("the title of a message", TITLE);
        secrets.add("the user token secret", USER_TOKEN_SECRET);
        secrets.add("a user token", USER_TOKEN);
        for subscription in subscriptions {
            secrets.add("an endpoint's token", subscription.token());
            let auth = subscription.json["keys"]["auth"].as_str();
            secrets.add_octets("an auth secret", auth.context("no auth")?)?;
        }
        for name in SECRET_FILES {
            let text = fs::read_to_string(settings.data_folder().join(name))?;
            secrets.add(name, text.trim());
        }
        let exported = settings
            .command("vapid")
            .args(["export", "--json"])
            .output()?;
        let exported: Value = serde_json::from_slice(&exported.stdout)?;
        let scalar = exported["private_key"].as_str().context("no private key")?;
        secrets.add_octets("a VAPID private key", scalar)?;
        Ok(secrets)
    }

    fn add(&mut self, what: &str, text: &str) {
        assert!(text.len() > 8, "{what} is too short to be looked for");
        self.needles
            .push((what.to_owned(), text.as_bytes().to_vec()));
    }

    /// Adds octets that are written as base64url, in this form and raw.
    fn add_octets(&mut self, what: &str, text: &str) -> Result<()> {
        self.add(what, text);
        let raw = URL_SAFE_NO_PAD.decode(text)?;
        self.needles.push((format!("{what}, raw"), raw));
        Ok(())
    }

    /// Searches all files but those that are made for secrets; `public`, which is there, shows that
    /// this finds what is there.
    fn search_files(&self, folder: &Path, public: &[u8]) -> Result<()> {
        let mut is_found = false;
        for file in files_below(folder)? {
            let content = fs::read(&file)?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if SECRET_FILES.contains(&&*name) {
                continue;
            }
            is_found |= contains(&content, public);
            self.search(&name, &content)?;
        }
        ensure!(is_found, "not even the public key was found");
        Ok(())
    }

    fn search(&self, place: &str, content: &[u8]) -> Result<()> {
        for (what, needle) in &self.needles {
            ensure!(!contains(content, needle), "{what} is in {place}");
        }
        Ok(())
    }
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn contains(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|window| window == needle)
}
