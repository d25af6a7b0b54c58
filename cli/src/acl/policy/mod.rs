//! `lictor acl policy`: rules, by name. What rules may say is in the agents' `acl/rules`, who refuse wrong ones.

mod write;

use std::{io, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    asked::Asked,
    find::{self, POLICY},
    show::{self, ShowFlags},
};
use crate::{query::Query, target::HttpFlags};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Make a policy
    Create(write::CreateFlags),
    /// Print a policy
    Read(ReadFlags),
    /// Change a policy
    Update(write::UpdateFlags),
    /// Delete a policy: tokens lose what it allows at once
    Delete(DeleteFlags),
    /// Print all policies
    List(ListFlags),
}

/// Flags of `acl policy read`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  lictor acl policy read -name=web\n  lictor acl policy read -id=3f8a -format=json"
)]
pub struct ReadFlags {
    #[command(flatten)]
    which: WhichFlags,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl policy delete`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl policy delete -name=web")]
pub struct DeleteFlags {
    #[command(flatten)]
    which: WhichFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Which policy.
#[derive(Args, Debug)]
struct WhichFlags {
    /// The policy's ID, or the beginning of it
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    id: Option<String>,
    /// The policy's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Flags of `acl policy list`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl policy list")]
pub struct ListFlags {
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Does it.
///
/// # Errors
/// Wrong flags or rules, or the agent could not be asked or refused.
pub async fn run(command: PolicyCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Create(flags) => write::create(flags, out).await?,
        PolicyCommand::Read(flags) => read(&flags, out).await?,
        PolicyCommand::Update(flags) => write::update(flags, out).await?,
        PolicyCommand::Delete(flags) => delete(&flags, out).await?,
        PolicyCommand::List(flags) => list(&flags, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(flags: &ReadFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let (id, name) = (flags.which.id.as_deref(), flags.which.name.as_deref());
    let answer = find::read(&asked, &POLICY, id, name).await?;
    flags.show.one(out, &answer, show::policy)
}

async fn delete(flags: &DeleteFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let id = find::delete(&asked, &POLICY, flags.which.id.as_deref(), flags.which.name.as_deref()).await?;
    Ok(writeln!(out, "Policy {id:?} deleted successfully")?)
}

async fn list(flags: &ListFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let answer = find::list(&asked, &POLICY, Query::new(POLICY.list)).await?;
    flags.show.list(out, &answer, "", show::policy_in_list)
}
