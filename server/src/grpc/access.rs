//! Who may ask what on the RPC port: by the token in a request's metadata, or beside each command.
//!
//! A connection whose certificate says that it belongs to this datacenter is not asked for a token where it asks for
//! itself; for what a caller wants, the caller's token decides, whoever passes it on.

use lictor_proto::client::{NODE, TOKEN};
use lictor_shared::{
    acl::{Credential, Level, Resource},
    command::Command,
    tls::Peer,
};
use tonic::{Request, Status};

use super::Inner;

impl Inner {
    /// Whether a node of this datacenter asks for itself.
    pub(super) fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.admit_as(request, text(request, NODE))
    }

    /// The same, of that node.
    pub(super) fn admit_as<T>(&self, request: &Request<T>, node: &str) -> Result<(), Status> {
        let denied = |denial: lictor_shared::acl::Denial| {
            let remedy = "give its agent a token that allows to write its node (acl.tokens.agent)";
            Status::permission_denied(format!("{denial}: {remedy}"))
        };
        if self.is_certified(request) {
            return Ok(());
        }
        self.desk.authority.admit(&shown(request), node).map_err(denied)
    }

    /// Whether the connection's certificate says that its other end is of this datacenter.
    pub(super) fn is_certified<T>(&self, request: &Request<T>) -> bool {
        let peer = request.extensions().get::<Peer>();
        peer.is_some_and(|peer| peer.is_server_of(&self.datacenter) || peer.is_client_of(&self.datacenter))
    }

    /// Whether the caller has that right.
    pub(super) fn require<T>(&self, request: &Request<T>, resource: Resource, level: Level) -> Result<(), Status> {
        self.desk.authority.require(&shown(request), resource, level, "").map_err(denied)
    }

    /// Whether the caller may have the command done.
    pub(super) fn authorize<T>(&self, request: &Request<T>, command: &Command) -> Result<(), Status> {
        self.desk.authority.authorize(&shown(request), command).map_err(denied)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn denied(denial: lictor_shared::acl::Denial) -> Status {
    Status::permission_denied(denial.to_string())
}

pub(super) fn shown<T>(request: &Request<T>) -> Credential {
    Credential::new(text(request, TOKEN))
}

fn text<'a, T>(request: &'a Request<T>, name: &str) -> &'a str {
    request.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
