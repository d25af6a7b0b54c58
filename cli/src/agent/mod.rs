//! `lictor agent`: a server or a sidecar, until it is told to stop.

mod profile;
mod profiler;
mod traces;

use std::process::ExitCode;

use lictor_grpc::serve;
use lictor_server::ServerRole;
use lictor_shared::{
    config::{AgentFlags, Config},
    node::{self, TakeProfile, logging},
};
use lictor_sidecar::SidecarRole;

use self::traces::Exporter;

/// Runs the agent until a signal or `lictor leave` ends it.
///
/// # Errors
/// The configuration is wrong, a port is in use, or a part of the agent failed.
pub async fn run(flags: AgentFlags) -> anyhow::Result<ExitCode> {
    let config = Config::load(&flags)?;
    let level = logging::start(&config.log)?;
    let exporter = config.traces.as_ref().map(|settings| Exporter::start(settings, &config)).transpose()?;
    let profiler = Some(profiler::take as TakeProfile);
    let ended = if config.is_server() {
        node::run(flags, config, level, ServerRole::default(), serve, profiler).await
    } else {
        node::run(flags, config, level, SidecarRole, serve, profiler).await
    };
    if let Some(exporter) = exporter {
        exporter.stop().await;
    }
    ended.map_err(anyhow::Error::from_boxed)?;
    Ok(ExitCode::SUCCESS)
}
