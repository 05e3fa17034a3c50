//! Whose messages reach a browser: proved by the page, until it logs out.

use anyhow::{Context, Result, ensure};
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tidings_core::clock::{Clock, SystemClock};
use tidings_webpush::VapidKey;

use crate::{
    api::Api,
    sandbox::{Sandbox, Scheme},
    tidings::{Counts, Settings, Tidings, notification},
};

const PATH: &str = "/v1/apps/default/subscriptions";

#[tokio::test]
async fn a_persons_messages_reach_a_browser_until_it_is_detached() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::start().await?;
    let back_end = BackEnd::new()?;
    let public_key = folder.path().join("user-tokens.pem");
    std::fs::write(&public_key, back_end.pair.public_key().to_spki_pem())?;
    let settings = Settings::below(folder.path())
        .trust(&sandbox)
        .set("TIDINGS_USER_TOKEN_KEYS", &public_key);
    let tidings = Tidings::start(&settings).await?;
    let key = tidings.vapid_key().await?;
    let browser = sandbox
        .subscriptions(1, Scheme::Https, &key)
        .await?
        .remove(0);

    let page = Api::open(tidings.api().origin().to_owned());
    let mut body = browser.json.clone();
    body["user"] = "alice".into();
    let unproved = page.ask(Method::POST, PATH, Some(&body)).await?;
    ensure!(unproved.status() == 403, "without proof: {unproved:?}");
    body["user_token"] = back_end.token("alice")?.into();
    let registered = page.post(PATH, &body).await?;
    let text = |name: &str| registered[name].as_str().context("no text");
    let owner = Api::with_token(page.origin().to_owned(), text("token")?.to_owned());
    let own = format!("{PATH}/{}", text("id")?);

    let to_alice = notification(&json!({"users": ["alice"]}), "For Alice");
    assert_eq!(
        send(&tidings, &to_alice).await?,
        Counts::new(&[("accepted", 1)])
    );
    let received = sandbox.messages(&browser).await?;
    assert_eq!(received.len(), 1);

    owner
        .call(Method::PATCH, &own, Some(&json!({"user": null})))
        .await?;
    assert_eq!(send(&tidings, &to_alice).await?, Counts::new(&[]));
    assert_eq!(sandbox.messages(&browser).await?.len(), received.len());

    // The next person on that browser.
    let login = json!({"user_token": back_end.token("bob")?});
    owner.call(Method::PATCH, &own, Some(&login)).await?;
    let to_bob = notification(&json!({"users": ["bob"]}), "For Bob");
    assert_eq!(
        send(&tidings, &to_bob).await?,
        Counts::new(&[("accepted", 1)])
    );
    assert_eq!(send(&tidings, &to_alice).await?, Counts::new(&[]));
    tidings.stop().await?;
    sandbox.end();
    Ok(())
}

async fn send(tidings: &Tidings, message: &Value) -> Result<Counts> {
    let id = tidings.send(message).await?;
    tidings.wait_until_done(&id).await
}

/// The site's own back end, which knows who is logged in.
struct BackEnd {
    pair: VapidKey,
}

impl BackEnd {
    /// Any key pair on P-256 will do.
    fn new() -> Result<Self> {
        let pair = VapidKey::generate()?;
        Ok(Self { pair })
    }

    fn token(&self, user: &str) -> Result<String> {
        let key = EncodingKey::from_ec_der(&self.pair.to_pkcs8_der());
        let expires_at = SystemClock.now().as_millis() / 1000 + 300;
        let claims = json!({"sub": user, "aud": "tidings:default", "exp": expires_at});
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::ES256),
            &claims,
            &key,
        )?)
    }
}
