//! `lictor acl token`: what callers show. A token is named by its accessor, which is no secret; `-self` is the caller's own.

mod create;
mod update;

use std::{io, process::ExitCode};

use anyhow::Context;
use clap::{ArgAction::Set, Args, Subcommand};

use super::{
    asked::Asked,
    find::{self, TOKEN},
    row::{self, Row},
    show::{self, ShowFlags},
};
use crate::{arguments::go_bool, query::Query, target::HttpFlags};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token
    Create(Box<create::CreateFlags>),
    /// Print a token
    Read(ReadFlags),
    /// Change what a token is for and what it allows
    Update(Box<update::UpdateFlags>),
    /// Delete a token: who shows it is nobody from then on
    Delete(DeleteFlags),
    /// Print all tokens, without their secrets
    List(ListFlags),
    /// Make another token that allows the same
    Clone(CloneFlags),
}

/// Flags of `acl token read`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  By its accessor, or the beginning of it:
    lictor acl token read -accessor-id=3f8a
  With the rules of all that it has:
    lictor acl token read -accessor-id=3f8a -expanded
  The one that is shown:
    lictor acl token read -self -token-file=secret.txt")]
pub struct ReadFlags {
    #[command(flatten)]
    which: WhichFlags,
    /// The token that is shown, which needs no right
    #[arg(long = "self", value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    own: bool,
    /// Print the rules of its policies and roles too
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    expanded: bool,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl token delete`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl token delete -accessor-id=3f8a")]
pub struct DeleteFlags {
    #[command(flatten)]
    which: WhichFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl token list`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  lictor acl token list\n  lictor acl token list -format=json")]
pub struct ListFlags {
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl token clone`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl token clone -accessor-id=3f8a -description=\"for web-2\"")]
pub struct CloneFlags {
    #[command(flatten)]
    which: WhichFlags,
    /// What the new one is for [default: what the old one is for]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Which token.
#[derive(Args, Debug)]
struct WhichFlags {
    /// The token's accessor, or the beginning of it
    #[arg(long, value_name = "ID")]
    accessor_id: Option<String>,
    /// The same, as it was called once
    #[arg(long, value_name = "ID", hide = true)]
    id: Option<String>,
}

impl WhichFlags {
    /// The accessor, or its beginning.
    fn beginning(&self) -> anyhow::Result<&str> {
        let beginning = self.accessor_id.as_deref().or(self.id.as_deref()).filter(|id| !id.is_empty());
        beginning.context("Must specify the -accessor-id parameter")
    }

    /// The whole accessor.
    async fn accessor(&self, asked: &Asked) -> anyhow::Result<String> {
        find::id(asked, &TOKEN, self.beginning()?).await
    }
}

/// Does it.
///
/// # Errors
/// Wrong flags, or the agent could not be asked or refused.
pub async fn run(command: TokenCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create(flags) => create::run(&flags, out).await?,
        TokenCommand::Read(flags) => read(&flags, out).await?,
        TokenCommand::Update(flags) => update::run(&flags, out).await?,
        TokenCommand::Delete(flags) => delete(&flags, out).await?,
        TokenCommand::List(flags) => list(&flags, out).await?,
        TokenCommand::Clone(flags) => clone(&flags, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(flags: &ReadFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let (query, whose) = if flags.own {
        (Query::of(TOKEN.one, "self"), "the caller's token".into())
    } else {
        let accessor = flags.which.accessor(&asked).await?;
        (Query::of(TOKEN.one, &accessor), format!("token {}", find::beginning(&accessor)))
    };
    let query = if flags.expanded { query.pair("expanded", "true") } else { query };
    let answer = asked.read(query).await.with_context(|| format!("Error reading {whose}"))?;
    flags.show.one(out, &answer, if flags.expanded { show::expanded_token } else { show::token })
}

async fn delete(flags: &DeleteFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let accessor = find::delete(&asked, &TOKEN, Some(flags.which.beginning()?), None).await?;
    Ok(writeln!(out, "Token {accessor:?} deleted successfully")?)
}

async fn list(flags: &ListFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let answer = find::list(&asked, &TOKEN, Query::new(TOKEN.list)).await?;
    flags.show.list(out, &answer, "\n", show::token)
}

async fn clone(flags: &CloneFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let accessor = flags.which.accessor(&asked).await?;
    let mut body = Row::new();
    row::set(&mut body, "Description", flags.description.as_deref());
    let answer = asked.put(Query::new(&format!("{}/{accessor}/clone", TOKEN.one)), body).await;
    let answer = answer.with_context(|| format!("Error cloning token {}", find::beginning(&accessor)))?;
    flags.show.one(out, &answer, show::token)
}
