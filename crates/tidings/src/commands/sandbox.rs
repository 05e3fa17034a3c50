//! `tidings sandbox`.

use std::sync::Arc;

use anyhow::Result;
use tidings_core::clock::{Clock as _, SystemClock};
use tidings_sandbox::{AlpnOffer, CaOutput, Sandbox, SandboxOptions};
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
    let sandbox = Sandbox::start(SandboxOptions {
        http: Some(args.listen),
        https: args.listen_tls,
        public_host: args.public_host,
        alpn,
        personality: args.personality,
        max_concurrent_streams: args.max_concurrent_streams,
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
    stop.cancelled().await;
    sandbox.shutdown().await;
    Ok(())
}

/// The sandbox's defaults with the machine's clock and randomness.
pub(super) fn options() -> SandboxOptions {
    let clock = || SystemClock.now().to_system_time();
    SandboxOptions::new(Arc::new(clock), Arc::new(SystemRandomness))
}
