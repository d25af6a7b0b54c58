//! `lictor version`: what this is, and which level of Consul's API it speaks. It asks no agent.

use std::{io, process::ExitCode};

use clap::Args;
use serde_json::json;

use crate::format::{self, FormatFlags};

/// The level of Consul's HTTP API that clients may rely on.
pub const API_LEVEL: &str = "1.10.12";

/// Flags of `version`.
#[derive(Args, Debug)]
pub struct VersionFlags {
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the version.
///
/// # Errors
/// `out` cannot be written to.
pub fn run(flags: &VersionFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    if flags.format.is_json() {
        write!(out, "{}", format::json(&json!({"Version": version, "ApiVersion": API_LEVEL}))?)?;
    } else {
        writeln!(out, "Lictor v{version}")?;
        writeln!(out, "Speaks the interfaces of Consul v{API_LEVEL}")?;
    }
    Ok(ExitCode::SUCCESS)
}
