//! `tidings serve`.

use anyhow::Result;

use crate::running_server::RunningServer;
use crate::settings::{Settings, SettingsArgs};
use crate::shutdown;

pub(super) async fn run(args: SettingsArgs) -> Result<()> {
    let stop = shutdown::on_signal()?;
    let server = RunningServer::start(Settings::read(args)?).await?;
    server.serve(stop).await;
    Ok(())
}
