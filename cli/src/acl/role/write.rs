//! `lictor acl role create` and `update`.

use std::io;

use anyhow::bail;
use clap::{ArgAction::Set, Args};

use super::super::{
    asked::Asked,
    find::{self, ROLE},
    grants::{Given, IdentityFlags, PolicyFlags},
    required,
    row::{self, Row},
    show::{self, ShowFlags},
};
use crate::{arguments::go_bool, target::HttpFlags};

const CREATE_EXAMPLES: &str = "\
Examples:
  Two policies:
    lictor acl role create -name=operators -policy-name=reader -policy-name=keys
  What a service and the agents of two hosts need:
    lictor acl role create -name=web -service-identity=web:dc1 -node-identity=host-1:dc1 -node-identity=host-2:dc1";

const UPDATE_EXAMPLES: &str = "\
Examples:
  One policy more:
    lictor acl role update -name=operators -policy-name=sessions
  Another name:
    lictor acl role update -id=3f8a -name=admins
  Only what is said here:
    lictor acl role update -name=operators -no-merge -policy-name=reader";

/// Flags of `acl role create`.
#[derive(Args, Debug)]
#[command(after_long_help = CREATE_EXAMPLES)]
pub struct CreateFlags {
    /// Its name: letters, digits, - and _
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    policies: PolicyFlags,
    #[command(flatten)]
    identities: IdentityFlags,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `acl role update`.
#[derive(Args, Debug)]
#[command(after_long_help = UPDATE_EXAMPLES)]
pub struct UpdateFlags {
    /// The role's ID, or the beginning of it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The role's name; with -id, the name that it gets
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    policies: PolicyFlags,
    #[command(flatten)]
    identities: IdentityFlags,
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
/// No name, or nothing given; the agent could not be asked or refused.
pub async fn create(flags: CreateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let name = required(flags.name.as_deref(), "-name")?;
    let asked = Asked::new(&flags.http)?;
    let given = given(&asked, &flags.policies, &flags.identities).await?;
    if given.iter().all(Given::is_empty) {
        bail!(
            "A role that gives nothing is not made: name at least one -policy-name, -policy-id, -service-identity or \
             -node-identity"
        );
    }
    let mut role = Row::from_iter([("Name".into(), name.into())]);
    row::set(&mut role, "Description", flags.description.as_deref());
    given.into_iter().for_each(|given| given.add(&mut role));
    let answer = find::create(&asked, &ROLE, role).await?;
    flags.show.one(out, &answer, show::role)
}

/// Changes one.
///
/// # Errors
/// There is no such role; the agent could not be asked or refused.
pub async fn update(flags: UpdateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    let asked = Asked::new(&flags.http)?;
    let mut role = find::row(&asked, &ROLE, flags.id.as_deref(), flags.name.as_deref()).await?;
    let id = find::id_of(&ROLE, &role)?.to_owned();
    if flags.no_merge {
        row::only(&mut role, &["ID", "Name"]);
    }
    row::forget(&mut role);
    row::set(&mut role, "Name", flags.name.as_deref());
    row::set(&mut role, "Description", flags.description.as_deref());
    for given in given(&asked, &flags.policies, &flags.identities).await? {
        given.add(&mut role);
    }
    let answer = find::update(&asked, &ROLE, &id, role).await?;
    flags.show.one(out, &answer, show::role)
}

async fn given(asked: &Asked, policies: &PolicyFlags, identities: &IdentityFlags) -> anyhow::Result<[Given; 3]> {
    let [services, nodes] = identities.given();
    Ok([policies.given(asked).await?, services, nodes])
}
