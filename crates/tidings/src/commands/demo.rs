//! `tidings demo`: everything on this machine, and what to do next.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use tidings_core::application::PageUsers;
use tidings_http::{AdminToken, RateLimitSettings, TrustedProxies};
use tidings_sandbox::{RunningSandbox, Sandbox, SandboxOptions};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::cli::DemoArgs;
use crate::commands::sandbox;
use crate::data_directory::new_admin_token;
use crate::firefox_profile::ThrowAwayFirefox;
use crate::output;
use crate::running_server::RunningServer;
use crate::settings::{PushSettings, Settings, UserSettings};
use crate::shutdown;

pub(super) async fn run(args: DemoArgs) -> Result<()> {
    let stop = shutdown::on_signal()?;
    let data = tempfile::Builder::new().prefix("tidings-demo-").tempdir()?;
    let sandbox = Sandbox::start(SandboxOptions {
        http: Some(args.sandbox_listen),
        ..sandbox::options()
    })
    .await?;
    let token = new_admin_token();
    let server = RunningServer::start(Settings {
        listen: args.listen,
        // Made by the server, and so for its owner only.
        data_dir: data.path().join("data"),
        sealing_keys: None,
        public_url: None,
        trusted_proxies: TrustedProxies::default(),
        admin_token: Some(AdminToken::parse(&token)?),
        vapid_key: None,
        contact: None,
        push: PushSettings {
            allow_networks: vec!["127.0.0.0/8".parse()?, "::1/128".parse()?],
            allow_insecure: true,
            ..PushSettings::default()
        },
        cors_origins: Vec::new(),
        users: UserSettings {
            page_users: PageUsers::Trusted,
            ..UserSettings::default()
        },
        demo: true,
        limits: RateLimitSettings::default(),
    })
    .await?;
    let demo = Demo {
        page: format!("http://{}/demo", server.address()),
        server: format!("http://{}", server.address()),
        websocket: sandbox.ws_url().context("the sandbox has no address")?,
        sandbox: sandbox
            .http_url()
            .context("the sandbox has no address")?
            .to_owned(),
        token,
    };
    demo.explain();
    tokio::join!(
        server.serve(stop.clone()),
        demo.run_firefox(args.firefox, stop)
    );
    end(sandbox).await;
    Ok(())
}

async fn end(sandbox: RunningSandbox) {
    sandbox.shutdown().await;
    output::say("The demo is over; what it kept is deleted.");
}

struct Demo {
    page: String,
    server: String,
    websocket: String,
    sandbox: String,
    token: Zeroizing<String>,
}

impl Demo {
    fn explain(&self) {
        output::say(&format!(
            "
Tidings is running. Two ways to try it:

  1. Your own browser, through its vendor's push service (needs the internet):
     open {page}

  2. A throw-away Firefox with the push service on this machine (works offline):
     {firefox}

Click \"Turn on notifications\" on the page, then send to everybody from another terminal:

  export TIDINGS_TOKEN={token}

  curl {server}/v1/messages \\
    -H \"Authorization: Bearer $TIDINGS_TOKEN\" \\
    -H 'Content-Type: application/json' \\
    -d '{{\"audience\": {{\"all\": true}}, \"notification\": {{\"title\": \"Hello from curl\"}}}}'

The local push service is at {sandbox}/ and tells what it can do. Ctrl-C ends the demo.
",
            page = self.page,
            firefox = if std::io::stdin().is_terminal() {
                "type f and Enter here, or start with `tidings demo --firefox`"
            } else {
                "start with `tidings demo --firefox`"
            },
            server = self.server,
            token = self.token.as_str(),
            sandbox = self.sandbox,
        ));
    }

    /// Starts Firefox at once, or whenever somebody types `f`; ends them all with the demo.
    async fn run_firefox(&self, at_once: bool, stop: CancellationToken) {
        let mut running = Vec::new();
        if at_once {
            running.extend(self.start_firefox());
        }
        if !std::io::stdin().is_terminal() {
            stop.cancelled().await;
            return;
        }
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        loop {
            tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) if line.trim().eq_ignore_ascii_case("f") => {
                        running.extend(self.start_firefox());
                    }
                    Ok(Some(_)) => output::say("type f to start a Firefox, Ctrl-C to end"),
                    Ok(None) | Err(_) => break,
                },
                () = stop.cancelled() => return,
            }
        }
        stop.cancelled().await;
    }

    fn start_firefox(&self) -> Option<ThrowAwayFirefox> {
        match ThrowAwayFirefox::start(&self.websocket, &self.page) {
            Ok(firefox) => {
                output::say("Firefox is starting with a profile of its own …");
                Some(firefox)
            }
            Err(error) => {
                output::complain(&error);
                None
            }
        }
    }
}
