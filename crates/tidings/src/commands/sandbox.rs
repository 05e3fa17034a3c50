//! `tidings sandbox`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tidings_core::clock::{Clock as _, SystemClock};
use tidings_sandbox::{AlpnOffer, CaOutput, KeptMessages, RunningSandbox, Sandbox, SandboxOptions};
use tidings_webpush::SystemRandomness;

use crate::cli::SandboxArgs;
use crate::shutdown;

pub(super) async fn run(args: SandboxArgs) -> Result<()> {
    let stop = shutdown::on_signal()?;
    let alpn = if args.http1_only {
        AlpnOffer::Http1Only
    } else {
        AlpnOffer::default()
    };
    let has_tls = args.listen_tls.is_some() || !args.services.is_empty();
    ensure!(
        has_tls || (args.ca_file.is_none() && !args.http1_only),
        "--ca-file and --http1-only are about TLS: give --listen-tls or --service as well"
    );
    let behaviour = match &args.behaviour {
        Some(path) => Some(
            tokio::fs::read_to_string(path)
                .await
                .with_context(|| format!("cannot read {} (--behaviour)", path.display()))?,
        ),
        None => None,
    };
    let ca_file = args.ca_file;
    let kept = KeptMessages {
        per_subscription: args.keep_messages,
        only_with_topic: args.keep_with_topic_only,
        ..KeptMessages::default()
    };
    let sandbox = Sandbox::start(SandboxOptions {
        http: Some(args.listen),
        https: args.listen_tls,
        services: args.services,
        public_host: args.public_host,
        alpn,
        personality: args.personality,
        max_concurrent_streams: args.max_concurrent_streams,
        behaviour,
        seed: args.seed,
        kept,
        decrypt_one_in: args.decrypt_one_in,
        ca: ca_file.clone().map_or(CaOutput::Memory, CaOutput::File),
        ..options()
    })
    .await?;
    let https = sandbox.https_url().zip(sandbox.https_address());
    let http = sandbox.http_url().zip(sandbox.http_address());
    for (url, address) in https.into_iter().chain(http) {
        tracing::info!("listening on {}", place(url, address));
    }
    if has_tls && ca_file.is_none() {
        tracing::warn!(
            "nobody can trust its certificates: give --ca-file FILE, and their authority is \
             written there"
        );
    }
    tell_of_services(&sandbox, ca_file.as_deref());
    stop.cancelled().await;
    sandbox.shutdown().await;
    Ok(())
}

/// What a server must be told to take the played services for the real ones.
fn tell_of_services(sandbox: &RunningSandbox, ca_file: Option<&Path>) {
    let urls = sandbox.service_urls();
    if urls.is_empty() {
        return;
    }
    for (url, address) in urls.into_iter().zip(sandbox.service_addresses()) {
        tracing::info!("playing {}", place(url, address));
    }
    let mut environment = sandbox.server_environment();
    if let Some(ca_file) = ca_file {
        // The server may be started in another folder.
        let ca_file = std::path::absolute(ca_file).unwrap_or_else(|_| ca_file.to_owned());
        environment.insert("TIDINGS_PUSH_EXTRA_CA", ca_file.display().to_string());
    }
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| format!("{name}={}", shell_word(value)))
        .collect();
    tracing::info!("for `tidings serve`: {}", environment.join(" "));
}

/// A listener's origin, and its address if that is another.
fn place(url: &str, address: SocketAddr) -> String {
    if url.ends_with(&format!("://{address}")) {
        url.to_owned()
    } else {
        format!("{url} (address {address})")
    }
}

/// As a shell reads it.
fn shell_word(text: &str) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_./:,=[]".contains(&octet);
    if text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The sandbox's defaults with the machine's clock and randomness.
pub(super) fn options() -> SandboxOptions {
    let clock = || SystemClock.now().to_system_time();
    SandboxOptions::new(Arc::new(clock), Arc::new(SystemRandomness))
}
