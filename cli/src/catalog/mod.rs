//! `lictor catalog`: what is registered. It changes nothing.

mod datacenters;
mod nodes;
mod services;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Subcommand;

/// What to list.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// List the datacenters that are known
    Datacenters(datacenters::DatacentersFlags),
    /// List the nodes, or those of a service
    Nodes(nodes::NodesFlags),
    /// List the services, or those of a node
    Services(services::ServicesFlags),
}

/// Lists it.
///
/// # Errors
/// The agent could not be asked, or `out` cannot be written to.
pub async fn run(command: CatalogCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        CatalogCommand::Datacenters(flags) => datacenters::run(flags, out).await,
        CatalogCommand::Nodes(flags) => nodes::run(flags, out).await,
        CatalogCommand::Services(flags) => services::run(flags, out).await,
    }
}

/// Says that nothing was found. That is no failure: the exit code is Consul's, 0.
fn nothing(of: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr(), "No {of} match the given query - try expanding your search.")?;
    Ok(ExitCode::SUCCESS)
}
