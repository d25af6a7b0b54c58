//! What handlers have at hand: this node's settings and its ways to read, write and ask.

use std::{path::PathBuf, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Failure,
    access::Access,
    answer::Answer,
    answer::encode,
    copies::Copies,
    guests::Guests,
    kept::Answers,
    listener::Limits,
    page::Page,
    params::Near,
    profile::Profiler,
    query::Query,
    route::{Origin, Request},
};
use crate::{
    acl::Authority,
    agent::Agent,
    audit::Audit,
    backend::Backend,
    catalog::Protection,
    command::{Command, Outcome, Written},
    control::Control,
    events::Events,
    gossip::Pool,
    monitor::Monitor,
    view::Reader,
};

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The datacenter it is in.
    pub datacenter: String,
    /// Its name.
    pub node_name: String,
    /// Its ID.
    pub node_id: Uuid,
    /// On a server, the address its servers speak to each other at (`ip:port`); `None` on a sidecar.
    pub server_address: Option<String>,
}

/// What this program calls itself.
#[derive(Clone, Debug)]
pub struct Versions {
    /// The level of Consul's interface that is spoken (`1.10.12`): clients decide by it what they may ask.
    pub api_level: String,
    /// Its own version.
    pub own: String,
}

/// What the configuration says about this interface.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this node is.
    pub identity: Identity,
    /// What this program calls itself.
    pub versions: Versions,
    /// How old the last word from a leader may be while catalog and health are still answered; zero: never without one.
    pub discovery_max_stale: Duration,
    /// When the instances of vanished nodes are served all the same; none: never.
    pub protection: Option<Protection>,
    /// The port of the LAN pool, where an address to join has none.
    pub serf_lan_port: u16,
    /// The port of the WAN pool, where an address to join has none.
    pub serf_wan_port: u16,
    /// What one caller, and all together, may take.
    pub limits: Limits,
    /// Who may do what, and what every answer carries.
    pub access: Access,
    /// The web page.
    pub page: Page,
    /// The domain and the port of DNS at this agent.
    pub dns: (String, u16),
    /// Whether profiles are taken where there is no access control.
    pub debug: bool,
    /// Where this node keeps its data, if it does.
    pub data_dir: Option<PathBuf>,
    /// Where tokens are kept that are set while it runs, if they are.
    pub token_dir: Option<PathBuf>,
}

/// What handlers have at hand.
pub struct Context {
    /// From the configuration.
    pub settings: Settings,
    /// This node's view of the registry.
    pub reader: Reader,
    /// The way to the servers.
    pub backend: Arc<dyn Backend>,
    /// This node's own services and checks.
    pub agent: Agent,
    /// The LAN pool.
    pub members: Pool,
    /// The WAN pool, on servers that are in it.
    pub wan: Option<Pool>,
    /// The user events for this node.
    pub events: Events,
    /// The way to the process's main loop.
    pub control: Control,
    /// Where the log can be watched.
    pub monitor: Monitor,
    /// Copies of services of other datacenters.
    pub copies: Copies,
    /// What callers hold, for all interfaces of this node together.
    pub guests: Arc<Guests>,
    /// Answers that are kept, for all interfaces of this node together.
    pub answers: Arc<Answers>,
    /// Who decides who may do what.
    pub authority: Arc<Authority>,
    /// What takes profiles of this process.
    pub profiler: Profiler,
    /// Where requests are written down, if they are.
    pub audit: Option<Arc<Audit>>,
}

impl Context {
    /// The pool that a request is about: `?wan` asks for the servers of all datacenters.
    pub(super) fn pool(&self, wan: bool) -> Option<&Pool> {
        if wan { self.wan.as_ref() } else { Some(&self.members) }
    }

    pub(super) fn datacenter(&self) -> &str {
        &self.settings.identity.datacenter
    }

    /// Whether this node's view has keys and sessions: only servers' have.
    pub(super) fn holds_keys(&self) -> bool {
        self.settings.identity.server_address.is_some()
    }

    /// From where the caller wants lists to be sorted.
    pub(super) fn near(&self, request: &Request) -> Near {
        Near::parse(&request.query, self.agent_asked(request))
    }

    /// The node of the agent that the caller has asked. In another datacenter it is none that this one knows, and nobody
    /// shall vouch for it: its name is empty.
    pub(super) fn agent_asked(&self, request: &Request) -> &str {
        match request.origin {
            Origin::Here => &self.settings.identity.node_name,
            Origin::OtherDatacenter => "",
        }
    }

    /// Whether that name is this datacenter's.
    pub(super) fn is_own_datacenter(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.datacenter())
    }

    /// Stops at a request for another datacenter, so that it is passed on.
    pub(super) fn refuse_other_datacenter(&self, name: &str) -> Result<(), Failure> {
        if name.is_empty() || self.is_own_datacenter(name) {
            Ok(())
        } else {
            Err(Failure::OtherDatacenter(name.to_owned()))
        }
    }

    /// Writes for whoever asks what is not too large to be kept.
    pub(super) async fn propose(&self, request: &Request, command: Command) -> Result<Written, Failure> {
        command.check_sizes()?;
        Ok(self.backend.write(command, &request.token).await?)
    }

    /// Writes for whoever asks, and answers with whether it was done.
    pub(super) async fn write(&self, request: &Request, command: Command) -> Result<Answer, Failure> {
        match self.propose(request, command).await?.outcome {
            Outcome::Refused(refusal) => Err(refusal.into()),
            outcome => Ok(Answer::json(encode(&outcome.is_done(), false))),
        }
    }
}

/// The datacenter that a query asks for; empty where it asks for none.
pub(super) fn datacenter_asked(query: &Query) -> &str {
    query.get("dc").unwrap_or_default()
}
