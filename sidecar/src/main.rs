//! The sidecar alone, for hosts that never hold a server: `lictor-sidecar` takes the flags of `lictor agent`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use lictor_shared::{
    config::{AgentFlags, Config, go_style_args},
    node::{self, logging},
};
use lictor_sidecar::SidecarRole;

/// A Lictor sidecar: this host's checks, a live copy of the catalog, DNS and HTTP on localhost
#[derive(Parser)]
#[command(name = "lictor-sidecar", version)]
struct Arguments {
    #[command(flatten)]
    flags: AgentFlags,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(go_style_args(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(refusal) => {
            // Nothing is left to do if the terminal is gone.
            let _ = refusal.print();
            return ExitCode::from(u8::from(refusal.use_stderr()));
        }
    };
    match run(arguments.flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: AgentFlags) -> anyhow::Result<()> {
    let mut config = Config::load(&flags)?;
    anyhow::ensure!(!config.is_server(), "-server: this program is a sidecar only (run `lictor agent` for a server)");
    if config.traces.is_some() {
        config.ignored.push("traces (`lictor agent` has them)".into());
    }
    let level = logging::start(&config.log)?;
    let ended = node::run(flags, config, level, SidecarRole, lictor_grpc::serve, None).await;
    ended.map_err(anyhow::Error::from_boxed)
}
