//! `lictor acl policy create` and `update`.

use std::io;

use anyhow::Context;
use clap::{ArgAction::Set, Args};
use serde_json::json;

use super::super::{
    asked::Asked,
    find::{self, POLICY},
    required,
    row::{self, Row},
    show::{self, ShowFlags},
};
use crate::{arguments::go_bool, data, target::HttpFlags};

const CREATE_EXAMPLES: &str = "\
Examples:
  Rules from a file:
    lictor acl policy create -name=web -description=\"what web needs\" -rules=@web.hcl
  Rules as they are, valid in one datacenter:
    lictor acl policy create -name=reader -valid-datacenter=dc1 -rules='service_prefix \"\" { policy = \"read\" }'
  Rules from a program:
    make-rules | lictor acl policy create -name=web -rules=-";

const UPDATE_EXAMPLES: &str = "\
Examples:
  Other rules:
    lictor acl policy update -name=web -rules=@web.hcl
  Another name:
    lictor acl policy update -id=3f8a -name=frontend
  Only what is said here; the rest is emptied:
    lictor acl policy update -name=web -no-merge -rules=@web.hcl";

/// What a policy is made of, but for its name.
#[derive(Args, Debug)]
struct Content {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The rules, in HCL or JSON; - for stdin, @FILE for a file's contents
    #[arg(long, value_name = "RULES", allow_hyphen_values = true)]
    rules: Option<String>,
    /// A datacenter where it counts; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    valid_datacenter: Vec<String>,
}

/// Flags of `acl policy create`.
#[derive(Args, Debug)]
#[command(after_long_help = CREATE_EXAMPLES)]
pub struct CreateFlags {
    /// Its name: letters, digits, - and _
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl policy update`.
#[derive(Args, Debug)]
#[command(after_long_help = UPDATE_EXAMPLES)]
pub struct UpdateFlags {
    /// The policy's ID, or the beginning of it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The policy's name; with -id, the name that it gets
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    content: Content,
    /// Empty what is not said here, but for the name
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    no_merge: bool,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Makes one.
///
/// # Errors
/// No name, or rules that cannot be read; the agent could not be asked or refused.
pub async fn create(flags: CreateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = required(flags.name.as_deref(), "-name")?;
    let mut policy = Row::from_iter([("Name".into(), name.into())]);
    write_content(&mut policy, &flags.content)?;
    let asked = Asked::new(&flags.http)?;
    let answer = find::create(&asked, &POLICY, policy).await?;
    flags.show.one(out, &answer, show::policy)
}

/// Changes one.
///
/// # Errors
/// As [`create`], and there is no such policy.
pub async fn update(flags: UpdateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let mut policy = find::row(&asked, &POLICY, flags.id.as_deref(), flags.name.as_deref()).await?;
    let id = find::id_of(&POLICY, &policy)?.to_owned();
    if flags.no_merge {
        row::only(&mut policy, &["ID", "Name"]);
    }
    row::forget(&mut policy);
    row::set(&mut policy, "Name", flags.name.as_deref());
    write_content(&mut policy, &flags.content)?;
    let answer = find::update(&asked, &POLICY, &id, policy).await?;
    flags.show.one(out, &answer, show::policy)
}

fn write_content(policy: &mut Row, content: &Content) -> anyhow::Result<()> {
    row::set(policy, "Description", content.description.as_deref());
    if let Some(rules) = &content.rules {
        let rules = data::text(rules).context("Error loading rules")?;
        policy.insert("Rules".into(), rules.into());
    }
    if !content.valid_datacenter.is_empty() {
        policy.insert("Datacenters".into(), json!(content.valid_datacenter));
    }
    Ok(())
}
