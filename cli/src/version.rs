//! `lictor version`: what this is, and which level of Consul's API it speaks. It asks no agent.

use std::{io, process::ExitCode};

/// The level of Consul's HTTP API that clients may rely on.
pub const API_LEVEL: &str = "1.10.12";

/// Prints the version.
///
/// # Errors
/// `out` cannot be written to.
pub fn run(out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    writeln!(out, "Lictor v{}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "Speaks the interfaces of Consul v{API_LEVEL}")?;
    Ok(ExitCode::SUCCESS)
}
