//! `lictor acl token create`.

use std::io;

use anyhow::bail;
use clap::{ArgAction::Set, Args};

use super::super::{
    asked::Asked,
    find::{self, TOKEN},
    grants::{Given, IdentityFlags, PolicyFlags, RoleFlags},
    row::{self, Row},
    show::{self, ShowFlags},
};
use crate::{
    arguments::{self, go_bool},
    target::HttpFlags,
};

const EXAMPLES: &str = "\
Examples:
  What a policy allows:
    lictor acl token create -description=\"for web\" -policy-name=web
  What a service needs to register itself, and what its host's agent needs:
    lictor acl token create -service-identity=web:dc1
    lictor acl token create -node-identity=host-1:dc1
  For an hour:
    lictor acl token create -policy-name=operators -expires-ttl=1h
  Its secret alone, for a file:
    lictor acl token create -policy-name=web -format=json | jq -r .SecretID";

/// Flags of `acl token create`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct CreateFlags {
    /// Its accessor, a UUID [default: the servers make one]
    #[arg(long, value_name = "UUID")]
    accessor: Option<String>,
    /// Its secret, a UUID [default: the servers make one]
    #[arg(long, value_name = "UUID")]
    secret: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long it counts [default: until it is deleted]
    #[arg(long, value_name = "DURATION")]
    expires_ttl: Option<String>,
    /// It counts in this datacenter only
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    local: bool,
    #[command(flatten)]
    policies: PolicyFlags,
    #[command(flatten)]
    roles: RoleFlags,
    #[command(flatten)]
    identities: IdentityFlags,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Makes one and prints it with its secret.
///
/// # Errors
/// Nothing is given; wrong flags; the agent could not be asked or refused.
pub async fn run(flags: &CreateFlags, out: &mut impl io::Write) -> anyhow::Result<()> {
    arguments::duration("expires-ttl", flags.expires_ttl.as_deref())?;
    let asked = Asked::new(&flags.http)?;
    let [services, nodes] = flags.identities.given();
    let given = [flags.policies.given(&asked).await?, flags.roles.given(&asked).await?, services, nodes];
    if given.iter().all(Given::is_empty) {
        bail!(
            "A token that allows nothing is not made: name at least one -policy-name, -policy-id, -role-name, -role-id, \
             -service-identity or -node-identity"
        );
    }
    let mut token = Row::from_iter([("Local".into(), flags.local.into())]);
    row::set(&mut token, "AccessorID", flags.accessor.as_deref());
    row::set(&mut token, "SecretID", flags.secret.as_deref());
    row::set(&mut token, "Description", flags.description.as_deref());
    row::set(&mut token, "ExpirationTTL", flags.expires_ttl.as_deref());
    given.into_iter().filter(|given| !given.is_empty()).for_each(|given| given.add(&mut token));
    let answer = find::create(&asked, &TOKEN, token).await?;
    flags.show.one(out, &answer, show::token)
}
