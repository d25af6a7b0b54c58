//! The Registry service of a server: writes, read barriers, watch streams and what a sidecar does not hold, for sidecars
//! and for fellow servers.
//!
//! Writes and barriers are answered by the leader only; a watch stream by any server, from its own view and the
//! changes in the [`Fanout`]. A server that does not lead says who does and forwards nothing: whoever asks goes there
//! himself. `operate` has what operators ask, `fetch` answers in pieces, `watch` a stream's life, `whole` the state it begins
//! with, `watchers` who holds one.
//!
//! [`serve`] takes the port that carries this service and Raft's; [`listen`] opens it. With TLS, `admission` says what each
//! connection may call; `access` by which right.

mod access;
mod admission;
mod fetch;
mod operate;
mod watch;
mod watchers;
mod whole;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use lictor_proto::{
    client::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION},
    connection,
    internal::{
        self, BarrierReply, BarrierRequest, ChangeServersReply, ChangeServersRequest, Denied, FetchRequest, NotLeader,
        Rejected, RenewReply, RenewRequest, RestoreArchivePiece, RestoreArchiveReply, SaveArchiveRequest, ServersReply,
        ServersRequest, Unknown, Unsent, WatchRequest, WatchingReply, WatchingRequest, WriteOutcome, WriteReply,
        WriteRequest, barrier_reply,
        registry_server::{Registry, RegistryServer},
        renew_reply, servers_reply,
        write_outcome::Outcome,
    },
};
use lictor_shared::{
    acl::{Authority, Credential, Level, Resource},
    backend::Consistency,
    command::{Command, SessionCommand, Written},
    forward::AskError,
    http::Interface,
    limits::{Connections, Door, Port},
    model::NodeName,
    tasks::Tasks,
    tls::{self, Tls},
    view::Reader,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::Router},
};
use uuid::Uuid;

pub use self::{
    admission::Admitted, fetch::FetchStream, operate::ArchiveStream, watch::HEARTBEAT, watch::WatchStream,
    watchers::Watchers,
};
use crate::{archive::Archives, consensus::Consensus, fanout::Fanout, leader::sessions::SessionTimers};

/// The most writes and barriers under way at a server; who comes while there are more is asked to come again.
pub const MAX_REQUESTS: usize = 4096;
/// The most requests that are answered with the HTTP interface at the same time; most of them wait for a change.
pub const MAX_FETCHES: usize = 16_384;
/// The most watch streams of a server.
pub const MAX_STREAMS: usize = 10_000;
/// The most connections to a server; more are closed at once. A sidecar has two.
pub const MAX_CONNECTIONS: usize = 2 * MAX_STREAMS;
/// The most streams that are sent a whole state at the same time; the rest wait for their turn.
pub const MAX_INITS: usize = 32;

/// The most requests of one connection; a fellow server has all its clients' on one.
const MAX_REQUESTS_OF_CONNECTION: u32 = 2048;
/// A connection on which nothing is sent, whose other end went away without a word, is closed after the sum of these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(3);
/// One on which something was sent is closed when the other end's system has not acknowledged it for so long. A watch
/// stream is sent something every second ([`HEARTBEAT`]), so it outlives its host by no more than this and that second:
/// shorter than gossip takes to call the host failed. A process that gets no processor is not meant by it: its system
/// acknowledges all the same.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(3);
/// How long requests under way may take when the server stops. A peer that does not read cannot hold it open.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// What a server does for sidecars beside Raft.
#[derive(Clone)]
pub struct Desk {
    /// The deadlines of sessions.
    pub sessions: Arc<SessionTimers>,
    /// Answers what sidecars do not hold.
    pub interface: Interface,
    /// Saves and restores the registry.
    pub archives: Arc<Archives>,
    /// Who decides who may do what.
    pub authority: Arc<Authority>,
}

/// Answers the Registry service.
#[derive(Clone)]
pub struct RegistryService {
    inner: Arc<Inner>,
}

struct Inner {
    consensus: Arc<dyn Consensus>,
    reader: Reader,
    fanout: Arc<Fanout>,
    watchers: Arc<Watchers>,
    datacenter: String,
    desk: Desk,
    requests: Semaphore,
    fetches: Arc<Semaphore>,
    inits: Semaphore,
    whole: whole::Shared,
    tasks: Tasks,
}

impl RegistryService {
    /// The service of the server of `datacenter` whose view `reader` sees and whose changes go through `fanout`.
    #[must_use]
    pub fn new(
        consensus: Arc<dyn Consensus>,
        reader: Reader,
        fanout: Arc<Fanout>,
        desk: Desk,
        datacenter: &str,
        tasks: &Tasks,
    ) -> Self {
        let inner = Inner {
            consensus,
            reader,
            fanout,
            watchers: Arc::new(Watchers::new(MAX_STREAMS)),
            datacenter: datacenter.to_owned(),
            desk,
            requests: Semaphore::new(MAX_REQUESTS),
            fetches: Arc::new(Semaphore::new(MAX_FETCHES)),
            inits: Semaphore::new(MAX_INITS),
            whole: whole::Shared::default(),
            tasks: tasks.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Which nodes hold a watch stream here.
    #[must_use]
    pub fn watchers(&self) -> Arc<Watchers> {
        self.inner.watchers.clone()
    }

    /// The service as a gRPC server takes it.
    #[must_use]
    pub fn into_server(self) -> RegistryServer<Self> {
        let server = RegistryServer::new(self);
        server.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}

/// The settings of the RPC port: dead connections are found and closed, requests of a connection are bounded.
#[must_use]
pub fn server() -> Server {
    connection::bounded_server()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_LIMIT))
        .max_concurrent_streams(MAX_REQUESTS_OF_CONNECTION)
}

/// Opens the RPC port.
///
/// # Errors
/// When the address cannot be bound.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    // Connections have it from the listener.
    let limit_ms = u32::try_from(UNACKNOWLEDGED_LIMIT.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&listener, limit_ms)?;
    Ok(listener)
}

/// Serves the RPC port, with TLS where the node has it for that, until `stopping`; then streams end at once, and what is under way has a second to end.
///
/// # Errors
/// None so far: a failing accept is tried again.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    tls: Arc<Tls>,
    limits: Connections,
    stopping: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let door = Arc::new(Door::new(Port::Rpc, MAX_CONNECTIONS, limits));
    let secured = tls.secures_rpc().then_some((tls, tls::Port::Rpc));
    let incoming = connection::accept(listener, secured, door);
    let drained = async {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    tokio::select! {
        served = router.serve_with_incoming_shutdown(incoming, stopping.cancelled()) => served,
        () = drained => Ok(()),
    }
}

#[tonic::async_trait]
impl Registry for RegistryService {
    type FetchStream = FetchStream;
    type SaveArchiveStream = ArchiveStream;
    type WatchStream = WatchStream;

    async fn write(&self, request: Request<WriteRequest>) -> Result<Response<WriteReply>, Status> {
        let WriteRequest { commands, tokens } = request.into_inner();
        let places =
            u32::try_from(commands.len()).ok().and_then(|count| self.inner.requests.try_acquire_many(count).ok());
        let _places = places.ok_or_else(|| Status::resource_exhausted("too many requests"))?;
        Ok(Response::new(WriteReply { outcomes: self.inner.propose(commands, &tokens).await }))
    }

    async fn barrier(&self, request: Request<BarrierRequest>) -> Result<Response<BarrierReply>, Status> {
        self.inner.admit(&request)?;
        let consistency = Consistency::try_from(request.into_inner());
        let consistency = consistency.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let _place = self.inner.requests.try_acquire().map_err(|_| Status::resource_exhausted("too many requests"))?;
        let reply = match self.inner.consensus.read_index(consistency).await {
            Ok(index) => barrier_reply::Reply::Index(index.0),
            Err(AskError::NotLeader { leader }) => barrier_reply::Reply::NotLeader(not_leader(leader)),
            Err(AskError::Unsent(reason)) => return Err(Status::resource_exhausted(reason)),
            Err(AskError::Denied(reason)) => return Err(Status::permission_denied(reason)),
            Err(AskError::Rejected(reason)) => return Err(Status::failed_precondition(reason)),
            Err(AskError::Unknown(reason)) => barrier_reply::Reply::Unknown(Unknown { reason }),
        };
        Ok(Response::new(BarrierReply { reply: Some(reply) }))
    }

    async fn servers(&self, request: Request<ServersRequest>) -> Result<Response<ServersReply>, Status> {
        self.inner.require(&request, Resource::Operator, Level::Read)?;
        let reply = match self.inner.consensus.report(request.get_ref().any_server) {
            Ok(report) => servers_reply::Reply::Report((&report).into()),
            Err(AskError::NotLeader { leader }) => servers_reply::Reply::NotLeader(not_leader(leader)),
            Err(error) => return Err(Status::unavailable(error.to_string())),
        };
        Ok(Response::new(ServersReply { reply: Some(reply) }))
    }

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<FetchStream>, Status> {
        let place = self.inner.fetches.clone().try_acquire_owned();
        let place = place.map_err(|_| Status::resource_exhausted("too many requests"))?;
        let fetched = self.inner.desk.interface.answer(request.into_inner().into()).await;
        let fetched = fetched.ok_or_else(|| Status::resource_exhausted("this server is not ready to answer"))?;
        Ok(Response::new(FetchStream::new(fetched, place)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let session = Uuid::try_from(request.get_ref().clone());
        let session = session.map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Who may keep one may end it.
        self.inner.authorize(&request, &Command::Session(SessionCommand::Destroy(session)))?;
        let reply = match self.inner.desk.sessions.renew(session) {
            Some(known) => renew_reply::Reply::Known(known),
            None => renew_reply::Reply::NotLeader(not_leader(self.inner.consensus.leader())),
        };
        Ok(Response::new(RenewReply { reply: Some(reply) }))
    }

    async fn watching(&self, request: Request<WatchingRequest>) -> Result<Response<WatchingReply>, Status> {
        self.inner.admit(&request)?;
        let _place = self.inner.requests.try_acquire().map_err(|_| Status::resource_exhausted("too many requests"))?;
        let mut nodes = request.into_inner().nodes;
        nodes.retain(|node| self.inner.watchers.watching(&NodeName::from(node.as_str())));
        Ok(Response::new(WatchingReply { nodes }))
    }

    async fn save_archive(&self, request: Request<SaveArchiveRequest>) -> Result<Response<ArchiveStream>, Status> {
        self.inner.require(&request, Resource::Acl, Level::Write)?;
        self.inner.save_archive(request.into_inner().any_server).await.map(Response::new)
    }

    async fn restore_archive(
        &self,
        request: Request<Streaming<RestoreArchivePiece>>,
    ) -> Result<Response<RestoreArchiveReply>, Status> {
        self.inner.require(&request, Resource::Acl, Level::Write)?;
        Ok(Response::new(self.inner.restore_archive(request.into_inner()).await))
    }

    async fn change_servers(
        &self,
        request: Request<ChangeServersRequest>,
    ) -> Result<Response<ChangeServersReply>, Status> {
        self.inner.require(&request, Resource::Operator, Level::Write)?;
        self.inner.change_servers(request.into_inner()).await.map(Response::new)
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchStream>, Status> {
        self.inner.admit_as(&request, &request.get_ref().node)?;
        // What a certificate says holds as long as the connection.
        let shown = (!self.inner.is_certified(&request)).then(|| access::shown(&request));
        let request = request.into_inner();
        self.inner.refuse(&request)?;
        let held = self.inner.watchers.enter(&request.node);
        let held = held.ok_or_else(|| Status::resource_exhausted("too many watch streams at this server"))?;
        Ok(Response::new(watch::start(self.inner.clone(), request, shown, held)))
    }
}

impl Inner {
    async fn propose(&self, commands: Vec<internal::Command>, tokens: &[String]) -> Vec<WriteOutcome> {
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(commands.len());
        let mut readable = Vec::with_capacity(commands.len());
        for (place, command) in commands.into_iter().enumerate() {
            let by = Credential::new(tokens.get(place).map_or("", String::as_str));
            outcomes.push(match Command::try_from(command) {
                Ok(command) => match self.desk.authority.authorize(&by, &command) {
                    Ok(()) => {
                        readable.push(command);
                        None
                    }
                    Err(denial) => Some(Outcome::Denied(Denied { reason: denial.to_string() })),
                },
                Err(error) => Some(Outcome::Rejected(rejected(format!("WriteRequest.commands: {error}")))),
            });
        }
        let mut proposed = self.consensus.propose_all(readable).await.into_iter().map(outcome);
        let outcomes = outcomes.into_iter().map(|outcome| outcome.or_else(|| proposed.next()));
        outcomes.map(|outcome| WriteOutcome { outcome }).collect()
    }

    fn refuse(&self, request: &WatchRequest) -> Result<(), Status> {
        if request.protocol_version != PROTOCOL_VERSION {
            let (ours, theirs) = (PROTOCOL_VERSION, request.protocol_version);
            let reason = format!("this server speaks protocol version {ours}, not {theirs}: upgrade the older of both");
            return Err(Status::failed_precondition(reason));
        }
        if request.datacenter != self.datacenter {
            let (ours, theirs) = (&self.datacenter, &request.datacenter);
            let reason = format!("this server is of datacenter {ours:?}, not {theirs:?}: check -join and -datacenter");
            return Err(Status::failed_precondition(reason));
        }
        if request.node.is_empty() {
            return Err(Status::invalid_argument("WatchRequest.node: empty"));
        }
        Ok(())
    }

    fn heartbeat(&self) -> internal::Heartbeat {
        let leader = self.consensus.leader();
        let contact = self.consensus.last_contact().unwrap_or_default();
        internal::Heartbeat {
            index: self.fanout.newest().borrow().0,
            known_leader: leader.is_some(),
            leader: leader.unwrap_or_default(),
            servers: self.consensus.servers(),
            server_ids: self.consensus.server_ids(),
            leader_contact_ms: u64::try_from(contact.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn outcome(proposed: Result<Written, AskError>) -> Outcome {
    match proposed {
        Ok(written) => Outcome::Written((&written).into()),
        Err(AskError::NotLeader { leader }) => Outcome::NotLeader(not_leader(leader)),
        Err(AskError::Unsent(reason)) => Outcome::Unsent(Unsent { reason }),
        Err(AskError::Unknown(reason)) => Outcome::Unknown(Unknown { reason }),
        Err(AskError::Denied(reason)) => Outcome::Denied(Denied { reason }),
        Err(AskError::Rejected(reason)) => Outcome::Rejected(rejected(reason)),
    }
}

fn rejected(reason: String) -> Rejected {
    Rejected { reason }
}

fn not_leader(leader: Option<String>) -> NotLeader {
    NotLeader { leader: leader.unwrap_or_default() }
}
