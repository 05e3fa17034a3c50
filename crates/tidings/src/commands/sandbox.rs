//! `tidings sandbox`.

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
        ca: args.ca_file.map_or(CaOutput::Memory, CaOutput::File),
        ..options()
    })
    .await?;
    for url in [sandbox.https_url(), sandbox.http_url()]
        .into_iter()
        .flatten()
    {
        tracing::info!("listening on {url}");
    }
    tell_of_services(&sandbox);
    stop.cancelled().await;
    sandbox.shutdown().await;
    Ok(())
}

/// What a server must be told to take the played services for the real ones.
fn tell_of_services(sandbox: &RunningSandbox) {
    let urls = sandbox.service_urls();
    if urls.is_empty() {
        return;
    }
    for url in urls {
        tracing::info!("playing {url}");
    }
    let environment = sandbox.server_environment();
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    tracing::info!(
        "for `tidings serve`: {} TIDINGS_PUSH_EXTRA_CA=<the file of --ca-file>",
        environment.join(" ")
    );
}

/// The sandbox's defaults with the machine's clock and randomness.
pub(super) fn options() -> SandboxOptions {
    let clock = || SystemClock.now().to_system_time();
    SandboxOptions::new(Arc::new(clock), Arc::new(SystemRandomness))
}
