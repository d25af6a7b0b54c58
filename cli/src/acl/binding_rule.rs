//! `lictor acl binding-rule`: what those get who log in by an auth method.

use std::{io, process::ExitCode};

use anyhow::Context;
use clap::{ArgAction::Set, Args, Subcommand};

use super::{
    asked::Asked,
    find::{self, RULE},
    required,
    row::{self, Row},
    show::{self, ShowFlags},
};
use crate::{arguments::go_bool, query::Query, target::HttpFlags};

const CREATE_EXAMPLES: &str = "\
Examples:
  Builds of a project are the service of that name:
    lictor acl binding-rule create -method=builds -bind-type=service -bind-name='${value.project}'
  Those of one project have a role:
    lictor acl binding-rule create -method=builds -bind-type=role -bind-name=deployers -selector='value.project==deploy'";

const UPDATE_EXAMPLES: &str = "\
Examples:
  For others:
    lictor acl binding-rule update -id=3f8a -selector='value.project==web'
  Only what is said here:
    lictor acl binding-rule update -id=3f8a -no-merge -bind-type=role -bind-name=deployers";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum BindingRuleCommand {
    /// Make a binding rule
    Create(CreateFlags),
    /// Print a binding rule
    Read(ReadFlags),
    /// Change a binding rule
    Update(UpdateFlags),
    /// Delete a binding rule: it counts for no login from then on
    Delete(DeleteFlags),
    /// Print all binding rules
    List(ListFlags),
}

/// What a binding rule is made of, but for its auth method.
#[derive(Args, Debug)]
struct Content {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// For which logins it counts [default: all of the method]
    #[arg(long, value_name = "EXPRESSION")]
    selector: Option<String>,
    /// What a login is bound to: service, node or role
    #[arg(long, value_name = "KIND")]
    bind_type: Option<String>,
    /// The name of that; ${value.NAME} stands for what the login says
    #[arg(long, value_name = "NAME")]
    bind_name: Option<String>,
}

/// Flags of `acl binding-rule create`.
#[derive(Args, Debug)]
#[command(after_long_help = CREATE_EXAMPLES)]
pub struct CreateFlags {
    /// The auth method's name
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl binding-rule read`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl binding-rule read -id=3f8a")]
pub struct ReadFlags {
    /// The rule's ID, or the beginning of it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl binding-rule update`.
#[derive(Args, Debug)]
#[command(after_long_help = UPDATE_EXAMPLES)]
pub struct UpdateFlags {
    /// The rule's ID, or the beginning of it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    content: Content,
    /// Empty what is not said here, but for the auth method
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    no_merge: bool,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl binding-rule delete`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl binding-rule delete -id=3f8a")]
pub struct DeleteFlags {
    /// The rule's ID, or the beginning of it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl binding-rule list`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor acl binding-rule list -method=builds")]
pub struct ListFlags {
    /// Only those of this auth method
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Does it.
///
/// # Errors
/// Wrong flags, or the agent could not be asked or refused.
pub async fn run(command: BindingRuleCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        BindingRuleCommand::Create(flags) => create(&flags, out).await?,
        BindingRuleCommand::Read(flags) => read(&flags, out).await?,
        BindingRuleCommand::Update(flags) => update(&flags, out).await?,
        BindingRuleCommand::Delete(flags) => delete(&flags, out).await?,
        BindingRuleCommand::List(flags) => list(&flags, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(flags: &CreateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let method = required(flags.method.as_deref(), "-method")?;
    required(flags.content.bind_name.as_deref(), "-bind-name")?;
    let mut rule = Row::from_iter([("AuthMethod".into(), method.into()), ("BindType".into(), "service".into())]);
    write_content(&mut rule, &flags.content);
    let asked = Asked::new(&flags.http)?;
    let answer = find::create(&asked, &RULE, rule).await?;
    flags.show.one(out, &answer, show::binding_rule)
}

async fn read(flags: &ReadFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let id = find::id(&asked, &RULE, required(flags.id.as_deref(), "-id")?).await?;
    let answer = asked.read(Query::of(RULE.one, &id)).await;
    let answer = answer.with_context(|| format!("Error reading binding rule {id:?}"))?;
    flags.show.one(out, &answer, show::binding_rule)
}

async fn update(flags: &UpdateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let id = required(flags.id.as_deref(), "-id")?;
    let mut rule = find::row(&asked, &RULE, Some(id), None).await?;
    let id = find::id_of(&RULE, &rule)?.to_owned();
    if flags.no_merge {
        required(flags.content.bind_type.as_deref(), "-bind-type")?;
        required(flags.content.bind_name.as_deref(), "-bind-name")?;
        row::only(&mut rule, &["ID", "AuthMethod"]);
    }
    row::forget(&mut rule);
    write_content(&mut rule, &flags.content);
    let answer = find::update(&asked, &RULE, &id, rule).await?;
    flags.show.one(out, &answer, show::binding_rule)
}

async fn delete(flags: &DeleteFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let id = find::delete(&asked, &RULE, Some(required(flags.id.as_deref(), "-id")?), None).await?;
    Ok(writeln!(out, "Binding rule {id:?} deleted successfully")?)
}

async fn list(flags: &ListFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let query = Query::new(RULE.list).maybe("authmethod", flags.method.as_deref());
    let answer = find::list(&Asked::new(&flags.http)?, &RULE, query).await?;
    flags.show.list(out, &answer, "", show::binding_rule_in_list)
}

fn write_content(rule: &mut Row, content: &Content) {
    row::set(rule, "Description", content.description.as_deref());
    row::set(rule, "Selector", content.selector.as_deref());
    row::set(rule, "BindType", content.bind_type.as_deref());
    row::set(rule, "BindName", content.bind_name.as_deref());
}
