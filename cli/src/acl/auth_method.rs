//! `lictor acl auth-method`: who else is trusted to say who somebody is. Which types there are is the agents' to say.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use clap::{ArgAction::Set, Args, Subcommand};
use serde_json::Value;

use super::{
    asked::Asked,
    required,
    row::{self, Row},
    show::{self, ShowFlags},
};
use crate::{
    arguments::{self, go_bool},
    data,
    query::Query,
    target::HttpFlags,
};

const LIST: &str = "/v1/acl/auth-methods";
const ONE: &str = "/v1/acl/auth-method";

const CREATE_EXAMPLES: &str = "\
Examples:
  Web tokens (JWT) of a build system, whose public keys are in the configuration:
    lictor acl auth-method create -name=builds -type=jwt -max-token-ttl=1h -config=@builds.json";

const UPDATE_EXAMPLES: &str = "\
Examples:
  Another configuration:
    lictor acl auth-method update -name=builds -config=@builds.json
  Only what is said here:
    lictor acl auth-method update -name=builds -no-merge -config=@builds.json";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AuthMethodCommand {
    /// Make an auth method
    Create(CreateFlags),
    /// Print an auth method
    Read(ReadFlags),
    /// Change an auth method
    Update(UpdateFlags),
    /// Delete an auth method, its binding rules, and the tokens of all who logged in by it
    Delete(DeleteFlags),
    /// Print all auth methods
    List(ListFlags),
}

/// What an auth method is made of, but for its name and type.
#[derive(Args, Debug)]
struct Content {
    /// A name for people
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long the token of a login counts
    #[arg(long, value_name = "DURATION")]
    max_token_ttl: Option<String>,
    /// Where the token of a login counts: local (this datacenter) or global
    #[arg(long, value_name = "PLACE")]
    token_locality: Option<String>,
    /// Its configuration, in JSON; - for stdin, @FILE for a file's contents
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    config: Option<String>,
}

/// Flags of `acl auth-method create`.
#[derive(Args, Debug)]
#[command(after_long_help = CREATE_EXAMPLES)]
pub struct CreateFlags {
    /// Its name: letters, digits, - and _
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its type, such as jwt
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl auth-method read`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl auth-method read -name=builds")]
pub struct ReadFlags {
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl auth-method update`.
#[derive(Args, Debug)]
#[command(after_long_help = UPDATE_EXAMPLES)]
pub struct UpdateFlags {
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    content: Content,
    /// Empty what is not said here
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    no_merge: bool,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl auth-method delete`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl auth-method delete -name=builds")]
pub struct DeleteFlags {
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl auth-method list`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl auth-method list")]
pub struct ListFlags {
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Does it.
///
/// # Errors
/// Wrong flags or configuration, or the agent could not be asked or refused.
pub async fn run(command: AuthMethodCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        AuthMethodCommand::Create(flags) => create(&flags, out).await?,
        AuthMethodCommand::Read(flags) => read(&flags, out).await?,
        AuthMethodCommand::Update(flags) => update(&flags, out).await?,
        AuthMethodCommand::Delete(flags) => delete(&flags, out).await?,
        AuthMethodCommand::List(flags) => list(&flags, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(flags: &CreateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = named(flags.name.as_deref())?;
    let kind = required(flags.kind.as_deref(), "-type")?;
    let mut method = Row::from_iter([("Name".into(), name.into()), ("Type".into(), kind.into())]);
    write_content(&mut method, &flags.content)?;
    let asked = Asked::new(&flags.http)?;
    let answer = asked.put(Query::new(ONE), method).await.context("Failed to create new auth method")?;
    flags.show.one(out, &answer, show::auth_method)
}

async fn read(flags: &ReadFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = named(flags.name.as_deref())?;
    let answer = Asked::new(&flags.http)?.read(Query::of(ONE, name)).await;
    let answer = answer.with_context(|| format!("Error reading auth method {name:?}"))?;
    flags.show.one(out, &answer, show::auth_method)
}

async fn update(flags: &UpdateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = named(flags.name.as_deref())?;
    let asked = Asked::new(&flags.http)?;
    let read = asked.row(Query::of(ONE, name)).await;
    let mut method = read.with_context(|| format!("Error reading auth method {name:?}"))?;
    if flags.no_merge {
        row::only(&mut method, &["Name", "Type"]);
    }
    row::forget(&mut method);
    write_content(&mut method, &flags.content)?;
    let answer = asked.put(Query::of(ONE, name), method).await;
    let answer = answer.with_context(|| format!("Error updating auth method {name:?}"))?;
    flags.show.one(out, &answer, show::auth_method)
}

async fn delete(flags: &DeleteFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = named(flags.name.as_deref())?;
    let deleted = Asked::new(&flags.http)?.delete(Query::of(ONE, name)).await;
    deleted.with_context(|| format!("Error deleting auth method {name:?}"))?;
    Ok(writeln!(out, "Auth-method {name:?} deleted successfully")?)
}

async fn list(flags: &ListFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let answer = Asked::new(&flags.http)?.read(Query::new(LIST)).await;
    flags.show.list(out, &answer.context("Failed to retrieve the auth method list")?, "", show::auth_method_in_list)
}

fn named(name: Option<&str>) -> anyhow::Result<&str> {
    match name {
        Some(name) if !name.is_empty() => Ok(name),
        _ => bail!("Must specify the -name parameter"),
    }
}

fn write_content(method: &mut Row, content: &Content) -> anyhow::Result<()> {
    arguments::duration("max-token-ttl", content.max_token_ttl.as_deref())?;
    row::set(method, "DisplayName", content.display_name.as_deref());
    row::set(method, "Description", content.description.as_deref());
    row::set(method, "MaxTokenTTL", content.max_token_ttl.as_deref());
    row::set(method, "TokenLocality", content.token_locality.as_deref());
    if let Some(config) = &content.config {
        let text = data::text(config).context("Error loading configuration")?;
        let config: Value = serde_json::from_str(&text).context("-config is not JSON")?;
        method.insert("Config".into(), config);
    }
    Ok(())
}
