//! What a connection to the servers' port may call, by the certificate of its other end.
//!
//! Raft, and what only a fellow server asks, takes a server's name of this datacenter; requests that have crossed from
//! another datacenter a server's name, whatever its datacenter; the rest a server's or a client's of this datacenter. A
//! method that is not in the table is as Raft's: a new one is closed to sidecars until it stands there.
//!
//! While certificates are not demanded (`verify_incoming` off, for a roll-out), a connection without one, or with one
//! that names no node, may call everything, as without TLS. A certificate that says "client" binds its owner even then.
//!
//! Handlers find the [`Peer`] in their request. Who may write what is no matter of this: that is access control's.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use lictor_shared::tls::{Peer, Refusal, Seen, Tls};
use tonic::{
    Status,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
};

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callers {
    /// Servers of this datacenter.
    Servers,
    /// Nodes of this datacenter.
    Nodes,
    /// ... and servers of every other.
    NodesAndFarServers,
}

/// The methods that others than fellow servers may call.
const OPEN: [(&str, Callers); 9] = [
    ("/lictor.internal.v1.Registry/Write", Callers::Nodes),
    ("/lictor.internal.v1.Registry/Barrier", Callers::Nodes),
    ("/lictor.internal.v1.Registry/Servers", Callers::NodesAndFarServers),
    ("/lictor.internal.v1.Registry/Fetch", Callers::NodesAndFarServers),
    ("/lictor.internal.v1.Registry/Renew", Callers::Nodes),
    ("/lictor.internal.v1.Registry/SaveArchive", Callers::Nodes),
    ("/lictor.internal.v1.Registry/RestoreArchive", Callers::Nodes),
    ("/lictor.internal.v1.Registry/ChangeServers", Callers::Nodes),
    ("/lictor.internal.v1.Registry/Watch", Callers::Nodes),
];

impl Callers {
    fn of(method: &str) -> Self {
        OPEN.iter().find(|(open, _)| *open == method).map_or(Self::Servers, |(_, callers)| *callers)
    }

    /// Whether the peer is among them; certificates are demanded of all, or not.
    fn admit(self, peer: &Peer, demanded: bool, datacenter: &str) -> Result<(), Refusal> {
        let admitted = match peer {
            Peer::Plain if demanded => return Err(Refusal::Plain),
            Peer::Anonymous if demanded => return Err(Refusal::NoCertificate),
            Peer::Plain | Peer::Anonymous => true,
            Peer::Unnamed => !demanded,
            Peer::Server { .. } => peer.is_server_of(datacenter) || self == Self::NodesAndFarServers,
            Peer::Client { .. } => peer.is_client_of(datacenter) && self != Self::Servers,
        };
        if admitted { Ok(()) } else { Err(Refusal::Role) }
    }
}

/// A service that answers those who may ask it.
#[derive(Clone)]
pub struct Admitted<S> {
    service: S,
    /// None: the port has no TLS, and everybody may.
    gate: Option<Arc<Gate>>,
}

struct Gate {
    tls: Arc<Tls>,
    datacenter: String,
}

impl<S> Admitted<S> {
    /// A service of a server of that datacenter.
    pub fn new(service: S, tls: &Arc<Tls>, datacenter: &str) -> Self {
        let gate = || Arc::new(Gate { tls: tls.clone(), datacenter: datacenter.to_owned() });
        Self { service, gate: tls.secures_rpc().then(gate) }
    }
}

impl Gate {
    fn check(&self, method: &str, peer: &Peer) -> Result<(), Status> {
        let refused = Callers::of(method).admit(peer, self.tls.rpc_verifies(), &self.datacenter);
        refused.map_err(|refusal| {
            refusal.count("rpc", peer, method);
            let reason = match peer {
                Peer::Plain | Peer::Anonymous => "without a certificate".to_owned(),
                Peer::Unnamed => "with a certificate that names neither a server nor a client".to_owned(),
                Peer::Client { datacenter } => format!("with the certificate of a client of {datacenter}"),
                Peer::Server { datacenter } => format!("with the certificate of a server of {datacenter}"),
            };
            let name = self.tls.server_name(&self.datacenter);
            Status::permission_denied(format!("{method} cannot be called {reason} (servers here are {name})"))
        })
    }
}

impl<S: NamedService> NamedService for Admitted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Admitted<S>
where
    S: Service<
            http::Request<B>,
            Response = http::Response<tonic::body::Body>,
            Error = Infallible,
            Future = BoxFuture<http::Response<tonic::body::Body>, Infallible>,
        >,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        if let Some(gate) = &self.gate {
            let peer = request.extensions().get::<Seen>().map(Seen::peer).unwrap_or_default();
            if let Err(status) = gate.check(request.uri().path(), &peer) {
                return Box::pin(async move { Ok(status.into_http()) });
            }
            request.extensions_mut().insert(peer);
        }
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_call_what() {
        let server = |datacenter: &str| Peer::Server { datacenter: datacenter.into() };
        let client = |datacenter: &str| Peer::Client { datacenter: datacenter.into() };
        let methods = [
            "/lictor.raft.v1.Raft/Append",
            "/lictor.raft.v1.Raft/Snapshot",
            "/lictor.internal.v1.Registry/Watching",
            "/lictor.internal.v1.Registry/Watch",
            "/lictor.internal.v1.Registry/Fetch",
            "/some.other.Service/Method",
        ];
        // As (demanded, not demanded), for each of the methods.
        let (all, none) = ([true; 6], [false; 6]);
        let (node, far) = ([false, false, false, true, true, false], [false, false, false, false, true, false]);
        for (peer, demanded, otherwise) in [
            (server("dc1"), all, all),
            (server("DC1"), all, all),
            (server("dc2"), far, far),
            (client("dc1"), node, node),
            (client("dc2"), none, none),
            (Peer::Unnamed, none, all),
            (Peer::Anonymous, none, all),
            (Peer::Plain, none, all),
        ] {
            let admitted = |demanded| methods.map(|method| Callers::of(method).admit(&peer, demanded, "dc1").is_ok());
            assert_eq!((admitted(true), admitted(false)), (demanded, otherwise), "{peer:?}");
        }
        assert_eq!(Callers::Nodes.admit(&Peer::Plain, true, "dc1"), Err(Refusal::Plain));
        assert_eq!(Callers::Nodes.admit(&Peer::Anonymous, true, "dc1"), Err(Refusal::NoCertificate));
        assert_eq!(Callers::Servers.admit(&client("dc1"), true, "dc1"), Err(Refusal::Role));
    }

    /// A method that sidecars call would be refused them by its absence; one that is gone should not stand there.
    #[test]
    fn every_method_of_the_registry_has_its_callers() {
        let proto = include_str!("../../../proto/proto/lictor/internal/v1/registry.proto");
        let methods = proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
        let methods: Vec<String> =
            methods.map(|name| format!("/lictor.internal.v1.Registry/{}", name.trim())).collect();
        let closed: Vec<&String> = methods.iter().filter(|method| Callers::of(method) == Callers::Servers).collect();
        assert_eq!(closed, ["/lictor.internal.v1.Registry/Watching"]);
        assert!(OPEN.iter().all(|(open, _)| methods.iter().any(|method| method == open)), "{methods:?}");
    }
}
