//! `lictor acl role`: policies and identities by one name.

mod write;

use std::{io, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    asked::Asked,
    find::{self, ROLE},
    show::{self, ShowFlags},
};
use crate::{query::Query, target::HttpFlags};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Make a role
    Create(write::CreateFlags),
    /// Print a role
    Read(ReadFlags),
    /// Change a role
    Update(write::UpdateFlags),
    /// Delete a role: tokens lose what it allows at once
    Delete(DeleteFlags),
    /// Print all roles
    List(ListFlags),
}

/// Flags of `acl role read`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  lictor acl role read -name=operators\n  lictor acl role read -id=3f8a -format=json"
)]
pub struct ReadFlags {
    #[command(flatten)]
    which: WhichFlags,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl role delete`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl role delete -name=operators")]
pub struct DeleteFlags {
    #[command(flatten)]
    which: WhichFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Which role.
#[derive(Args, Debug)]
struct WhichFlags {
    /// The role's ID, or the beginning of it
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    id: Option<String>,
    /// The role's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Flags of `acl role list`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl role list")]
pub struct ListFlags {
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Does it.
///
/// # Errors
/// Wrong flags, or the agent could not be asked or refused.
pub async fn run(command: RoleCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        RoleCommand::Create(flags) => write::create(flags, out).await?,
        RoleCommand::Read(flags) => read(&flags, out).await?,
        RoleCommand::Update(flags) => write::update(flags, out).await?,
        RoleCommand::Delete(flags) => delete(&flags, out).await?,
        RoleCommand::List(flags) => list(&flags, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(flags: &ReadFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let (id, name) = (flags.which.id.as_deref(), flags.which.name.as_deref());
    let answer = find::read(&asked, &ROLE, id, name).await?;
    flags.show.one(out, &answer, show::role)
}

async fn delete(flags: &DeleteFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let id = find::delete(&asked, &ROLE, flags.which.id.as_deref(), flags.which.name.as_deref()).await?;
    Ok(writeln!(out, "Role {id:?} deleted successfully")?)
}

async fn list(flags: &ListFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let answer = find::list(&asked, &ROLE, Query::new(ROLE.list)).await?;
    flags.show.list(out, &answer, "", show::role_in_list)
}
