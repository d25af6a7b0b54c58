//! Who is let in where: the right that each endpoint needs, as its line in the table of endpoints says.
//!
//! A request for another datacenter is let through here and decided there: its token may be one that only counts there.
//! Whatever this node would answer of it meanwhile is nothing.

use std::sync::Arc;

use super::{Context, Failure, context::datacenter_asked, remote::crosses, route::Request};
use crate::acl::{Known, Level, Resource};

/// The right that an endpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// None: it says nothing about the registry, or is how somebody comes to have a token.
    Open,
    /// Any token, or a default policy that allows: it says little, but not to everybody.
    Member,
    /// One of what is there once.
    Needs(Resource, Level),
    /// This agent's own.
    OwnAgent(Level),
    /// This agent's node.
    OwnNode(Level),
    /// Of what the path's parameter names.
    Parameter(Resource, Level),
    /// None for itself: rows that the caller may not see are left out.
    Filtered,
    /// That of the command which comes of it: the server that takes it decides.
    Written,
    /// That of what it is about, which the handler finds.
    Inside,
}

/// Whether the request is one for another datacenter, to which it will be passed on.
fn is_abroad(context: &Context, request: &Request) -> bool {
    let datacenter = datacenter_asked(&request.query);
    !datacenter.is_empty() && !context.is_own_datacenter(datacenter) && crosses(&request.target)
}

/// The datacenter to which a request is passed on at once: its endpoint asks for a right before anything else, and would
/// do here what is to be decided there.
pub(super) fn passed_on<'a>(context: &Context, guard: Guard, request: &'a Request) -> Option<&'a str> {
    use Guard::{Filtered, Inside, Open, Written};
    let looks_itself = matches!(guard, Filtered | Inside | Open | Written);
    (!looks_itself && is_abroad(context, request)).then(|| datacenter_asked(&request.query))
}

/// Who asks, if that one is let in.
///
/// # Errors
/// 403: nobody has that token, or it does not have the right.
pub(super) fn admit(context: &Context, guard: Guard, request: &Request) -> Result<Arc<Known>, Failure> {
    if guard == Guard::Open {
        // Whoever shows a wrong token is told so nowhere else.
        return Ok(context.authority.identify(&request.token).unwrap_or_else(|_| context.authority.nobody()));
    }
    if is_abroad(context, request) {
        return Ok(context.authority.nobody());
    }
    let known = context.authority.identify(&request.token)?;
    let rights = &known.rights;
    let own = context.settings.identity.node_name.as_str();
    match guard {
        Guard::Open | Guard::Filtered | Guard::Written | Guard::Inside => {}
        Guard::Member => {
            if known.is_anonymous() && !context.authority.settings().allowed_otherwise {
                // As if it were about the servers: that is what it says something of.
                rights.require(Resource::Operator, Level::Read, "")?;
            }
        }
        Guard::Needs(resource, level) => rights.require(resource, level, "")?,
        Guard::OwnAgent(level) => rights.require(Resource::Agent, level, own)?,
        Guard::OwnNode(level) => rights.require(Resource::Node, level, own)?,
        Guard::Parameter(resource, level) => rights.require(resource, level, &request.parameter)?,
    }
    Ok(known)
}
