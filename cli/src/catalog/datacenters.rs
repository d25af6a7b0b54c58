//! `lictor catalog datacenters`: one name on each line, the nearest first.

use std::{io, process::ExitCode};

use anyhow::Context;
use clap::Args;

use crate::{
    format::{FormatFlags, json},
    query::Query,
    target::{self, HttpFlags},
};

/// Flags of `catalog datacenters`.
#[derive(Args, Debug)]
pub struct DatacentersFlags {
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Prints the names.
///
/// # Errors
/// The agent could not be asked, or `out` cannot be written to.
pub async fn run(flags: DatacentersFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let query = Query::new("/v1/catalog/datacenters").read(&flags.http);
    let names: Vec<String> =
        target::agent(&flags.http)?.get(query.as_str()).await.context("Error listing datacenters")?;
    if flags.format.is_json() {
        write!(out, "{}", json(&names)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for name in names {
        writeln!(out, "{name}")?;
    }
    Ok(ExitCode::SUCCESS)
}
