//! `lictor acl token update`: of policies, roles and identities, those of a sort that is named take the place of what the
//! token has, or are added to it; a sort that is not named stays as it is.

use std::io;

use anyhow::{Context, bail};
use clap::{ArgAction::Set, Args};
use serde_json::Value;

use super::{
    super::{
        asked::Asked,
        find::{self, TOKEN},
        grants::{self, Given, IdentityFlags, PolicyFlags, RoleFlags},
        row::{self, Row},
        show::{self, ShowFlags},
    },
    WhichFlags,
};
use crate::{arguments::go_bool, query::Query, target::HttpFlags};

const EXAMPLES: &str = "\
Examples:
  This policy instead of those it has:
    lictor acl token update -accessor-id=3f8a -policy-name=web
  This policy besides those it has:
    lictor acl token update -accessor-id=3f8a -append-policy-name=web
  What it is for:
    lictor acl token update -accessor-id=3f8a -description=\"for web-2\"

A sort of things that is not named (policies, roles, services, nodes) stays as it is. Its secret, its end and whether it is
local do not change: for that, make another.";

/// What the servers and nobody else say of a token; what is not the writer's to change is not said.
const NOT_WRITTEN: [&str; 3] = ["SecretID", "CreateTime", "ExpirationTime"];

/// Flags of `acl token update`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct UpdateFlags {
    #[command(flatten)]
    which: WhichFlags,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    policies: PolicyFlags,
    #[command(flatten)]
    roles: RoleFlags,
    #[command(flatten)]
    identities: IdentityFlags,
    #[command(flatten)]
    added: AddedFlags,
    #[command(flatten)]
    merge: MergeFlags,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// What is added to what the token has.
#[derive(Args, Debug)]
struct AddedFlags {
    /// A policy to add, by its ID or the beginning of it; may be given several times
    #[arg(long, value_name = "ID")]
    append_policy_id: Vec<String>,
    /// A policy to add, by its name; may be given several times
    #[arg(long, value_name = "NAME")]
    append_policy_name: Vec<String>,
    /// A role to add, by its ID or the beginning of it; may be given several times
    #[arg(long, value_name = "ID")]
    append_role_id: Vec<String>,
    /// A role to add, by its name; may be given several times
    #[arg(long, value_name = "NAME")]
    append_role_name: Vec<String>,
    /// An identity of a service to add; may be given several times
    #[arg(long, value_name = "NAME[:DC,...]", value_parser = grants::service_identity)]
    append_service_identity: Vec<Value>,
    /// An identity of a node to add; may be given several times
    #[arg(long, value_name = "NAME:DC", value_parser = grants::node_identity)]
    append_node_identity: Vec<Value>,
}

/// The older way to say that what is named is added.
#[derive(Args, Debug)]
struct MergeFlags {
    /// Add the policies to those it has
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    merge_policies: bool,
    /// Add the roles to those it has
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    merge_roles: bool,
    /// Add the identities of services to those it has
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    merge_service_identities: bool,
    /// Add the identities of nodes to those it has
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    merge_node_identities: bool,
}

/// Changes one.
///
/// # Errors
/// There is no such token; the same sort is replaced and added to; the agent could not be asked or refused.
pub async fn run(flags: &UpdateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let accessor = flags.which.accessor(&asked).await?;
    let mut token = find::row(&asked, &TOKEN, Some(&accessor), None).await?;
    row::forget(&mut token);
    token.retain(|key, _| !NOT_WRITTEN.contains(&key.as_str()));
    row::set(&mut token, "Description", flags.description.as_deref());

    let (added, merge) = (&flags.added, &flags.merge);
    let [services, nodes] = flags.identities.given();
    let policies = grants::policies(&asked, &added.append_policy_id, &added.append_policy_name).await?;
    let roles = grants::roles(&asked, &added.append_role_id, &added.append_role_name).await?;
    let (more_services, more_nodes) =
        (grants::services(&added.append_service_identity), grants::nodes(&added.append_node_identity));
    for (sort, merges, given, more) in [
        ("policy", merge.merge_policies, flags.policies.given(&asked).await?, policies),
        ("role", merge.merge_roles, flags.roles.given(&asked).await?, roles),
        ("service-identity", merge.merge_service_identities, services, more_services),
        ("node-identity", merge.merge_node_identities, nodes, more_nodes),
    ] {
        change(&mut token, sort, merges, given, more)?;
    }
    let answer = asked.put(Query::of(TOKEN.one, &accessor), token).await;
    let answer = answer.with_context(|| format!("Failed to update token {}", find::beginning(&accessor)))?;
    flags.show.one(out, &answer, show::token)
}

fn change(token: &mut Row, sort: &str, merges: bool, given: Given, more: Given) -> anyhow::Result<()> {
    match (given.is_empty(), more.is_empty()) {
        (true, true) => {}
        (false, false) => {
            bail!("-{sort}... and -append-{sort}... exclude each other: what is named replaces or is added")
        }
        (false, true) if !merges => given.replace(token),
        (false, true) => given.add(token),
        (true, false) => more.add(token),
    }
    Ok(())
}
