//! `lictor operator raft`: the servers in Raft, and what may be changed about them.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::{
    query::Query,
    table::aligned,
    target::{self, HttpFlags},
};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum RaftCommand {
    /// List the servers
    ListPeers(ListFlags),
    /// Have another server lead
    TransferLeader(TransferFlags),
    /// Take a server that is gone for good out of the set
    RemovePeer(RemoveFlags),
}

/// Flags of `operator raft list-peers`.
#[derive(Args, Debug)]
pub struct ListFlags {
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `operator raft transfer-leader`.
#[derive(Args, Debug)]
pub struct TransferFlags {
    /// The server that is to lead, by its node's ID; else the fittest
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `operator raft remove-peer`.
#[derive(Args, Debug)]
pub struct RemoveFlags {
    /// The server, by its node's ID
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The server, by its address, IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Configuration {
    servers: Vec<Server>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Server {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    leader: bool,
    protocol_version: String,
    voter: bool,
}

/// Does it.
///
/// # Errors
/// Wrong flags, or the agent could not be asked or refused.
pub async fn run(command: RaftCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        RaftCommand::ListPeers(flags) => list(&flags, out).await,
        RaftCommand::TransferLeader(flags) => transfer(&flags, out).await,
        RaftCommand::RemovePeer(flags) => remove(&flags, out).await,
    }
}

async fn list(flags: &ListFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let query = Query::new("/v1/operator/raft/configuration").read(&flags.http);
    let answer = target::agent(&flags.http)?.get::<Configuration>(query.as_str()).await;
    let servers = answer.context("Error getting peers: Failed to retrieve raft configuration")?.servers;
    let rows = servers.into_iter().map(|server| {
        let state = if server.leader { "leader" } else { "follower" };
        vec![server.node, server.id, server.address, state.into(), server.voter.to_string(), server.protocol_version]
    });
    write!(out, "{}", aligned(&["Node", "ID", "Address", "State", "Voter", "RaftProtocol"], rows))?;
    Ok(ExitCode::SUCCESS)
}

async fn transfer(flags: &TransferFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let query = Query::new("/v1/operator/raft/transfer-leader").maybe("id", flags.id.as_deref());
    let query = query.in_datacenter(&flags.http);
    target::agent(&flags.http)?.post(query.as_str()).await.context("Error transfering leadership")?;
    writeln!(out, "Success")?;
    Ok(ExitCode::SUCCESS)
}

async fn remove(flags: &RemoveFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let (what, name) = match (&flags.id, &flags.address) {
        (Some(id), None) => ("id", id),
        (None, Some(address)) => ("address", address),
        (None, None) => bail!("Error removing peer: an address or id is required for the peer to remove"),
        (Some(_), Some(_)) => bail!("Error removing peer: cannot give both an address and id"),
    };
    let query = Query::new("/v1/operator/raft/peer").pair(what, name).in_datacenter(&flags.http);
    target::agent(&flags.http)?.delete(query.as_str()).await.context("Error removing peer")?;
    writeln!(out, "Removed peer with {what} {name:?}")?;
    Ok(ExitCode::SUCCESS)
}
