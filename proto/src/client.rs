//! Asks servers over the internal Registry service, in the terms of `lictor_shared`.
//!
//! Writes go together (`writes`). Keeps a connection to each server it has asked and makes them again as needed; knows
//! nothing of who leads and never tries again: that is `lictor_shared::forward`. `refusal` has what servers say instead
//! of an answer, `fetch` an answer that may be long, `connect` how a connection is made, plain or by TLS.

mod connect;
mod fetch;
mod refusal;
mod writes;

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, ready};
use lictor_shared::{
    acl::Credential,
    backend::{Archive, BackendError, Consistency, Contact, Fetch, Fetched, Pieces, ServersChange, ServersReport},
    command::{Command, Written},
    forward::AskError,
    model::{Index, NodeName},
    tls::Tls,
};
use tonic::{
    Request, Streaming,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

pub use self::connect::Secured;
use self::{
    refusal::{missing, refused, unreadable},
    writes::Writes,
};
use crate::{
    internal::{
        self, BarrierRequest, ChangeServersRequest, FetchRequest, RenewRequest, RestoreArchivePiece,
        SaveArchiveRequest, ServersRequest, WatchEvent, WatchRequest, WatchingRequest, barrier_reply,
        change_servers_reply, registry_client::RegistryClient, renew_reply, restore_archive_reply,
        save_archive_piece::Piece, servers_reply,
    },
    traced::Asking,
};

/// The largest message between servers and sidecars, in bytes; above the largest command and a batch of changes.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Of `WatchRequest.protocol_version`.
pub const PROTOCOL_VERSION: u32 = 1;

/// A datacenter has a handful of servers, and there is a handful of those; more connections than this are addresses of
/// the past.
const MAX_CONNECTIONS: usize = 128;
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// A connection on which nothing is sent, whose other end went away without a word, is given up after the sum of these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(3);
/// One on which something was sent is given up when the other end's system has not acknowledged it for so long: a write
/// to a leader that was cut off ends soon after the others have a new one.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(3);

/// Who asks, in a request's metadata: the secret of a token.
pub const TOKEN: &str = "x-consul-token";
/// Which node asks for itself, likewise.
pub const NODE: &str = "x-lictor-node";

/// What a node shows for itself, when it asks.
type Shown = Arc<dyn Fn() -> Credential + Send + Sync>;

/// Connections to servers.
#[derive(Default)]
pub struct Client {
    connections: Mutex<HashMap<String, Connection>>,
    /// The node that asks, and what it shows.
    own: Option<(NodeName, Shown)>,
    tls: Arc<Tls>,
    /// The datacenter that the asked servers are of.
    datacenter: String,
}

/// The way to a server.
type Way = Asking<Channel>;

#[derive(Clone, Debug)]
struct Connection {
    channel: Way,
    writes: Arc<Writes>,
}

impl Client {
    /// A client without connections, which makes plain ones.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that asks servers of this datacenter, by TLS where this node is to.
    #[must_use]
    pub fn secured(tls: Arc<Tls>, datacenter: &str) -> Self {
        Self { tls, datacenter: datacenter.to_owned(), ..Self::default() }
    }

    /// The same of that node, which shows what `shown` gives where nobody else asks.
    #[must_use]
    pub fn of_node(self, node: NodeName, shown: impl Fn() -> Credential + Send + Sync + 'static) -> Self {
        Self { own: Some((node, Arc::new(shown))), ..self }
    }

    /// A request of this node itself.
    fn own<T>(&self, message: T) -> Request<T> {
        let Some((node, shown)) = &self.own else { return Request::new(message) };
        let mut request = by(message, &shown());
        // A name that cannot be told is no node that could be admitted.
        if let Ok(node) = node.as_str().parse() {
            request.metadata_mut().insert(NODE, node);
        }
        request
    }

    /// Proposes a command at `server` (`ip:port`), in one request with others that come at the same time.
    ///
    /// # Errors
    /// [`AskError`]; only `Unknown` leaves the outcome open.
    pub async fn write(&self, server: &str, command: &Command, by: &Credential) -> Result<Written, AskError> {
        let Connection { channel, writes } = self.connection(server)?;
        let send = move |request| {
            let mut registry = registry(channel.clone());
            async move { Ok(registry.write(request).await.map_err(refused)?.into_inner()) }
        };
        writes.write(command.into(), by.clone(), send).await
    }

    /// Asks `server` for the index to read at.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn barrier(&self, server: &str, consistency: Consistency) -> Result<Index, AskError> {
        let request = BarrierRequest { consistency: internal::Consistency::from(consistency).into() };
        let reply = self.registry(server)?.barrier(self.own(request)).await.map_err(refused)?;
        match reply.into_inner().reply {
            Some(barrier_reply::Reply::Index(index)) => Ok(Index(index)),
            Some(barrier_reply::Reply::NotLeader(hint)) => Err(hint.into()),
            Some(barrier_reply::Reply::Unknown(unknown)) => Err(unknown.into()),
            None => Err(missing("BarrierReply.reply")),
        }
    }

    /// Asks `server` for the set of servers, whether it leads or (with `any_server`) not.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn servers(&self, server: &str, any_server: bool, asks: &Credential) -> Result<ServersReport, AskError> {
        let request = by(ServersRequest { any_server }, asks);
        let reply = self.registry(server)?.servers(request).await.map_err(refused)?;
        match reply.into_inner().reply {
            Some(servers_reply::Reply::Report(report)) => report.try_into().map_err(unreadable),
            Some(servers_reply::Reply::NotLeader(hint)) => Err(hint.into()),
            None => Err(missing("ServersReply.reply")),
        }
    }

    /// Has `server` answer a request with its HTTP interface. The server stops when this is dropped, or the answer.
    ///
    /// # Errors
    /// [`AskError`]; `Unsent` where it is not ready to.
    pub async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError> {
        let reply = self.registry(server)?.fetch(FetchRequest::from(fetch)).await.map_err(refused)?;
        fetch::answer(reply.into_inner()).await
    }

    /// Which of `nodes` hold a watch stream at `server`.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn watching(&self, server: &str, nodes: Vec<String>) -> Result<Vec<String>, AskError> {
        let reply = self.registry(server)?.watching(self.own(WatchingRequest { nodes })).await.map_err(refused)?;
        Ok(reply.into_inner().nodes)
    }

    /// Starts a session's time to live anew at `server`. Whether there is such a session.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn renew(&self, server: &str, session: Uuid, asks: &Credential) -> Result<bool, AskError> {
        let request = by(RenewRequest::from(session), asks);
        let reply = self.registry(server)?.renew(request).await.map_err(refused)?;
        match reply.into_inner().reply {
            Some(renew_reply::Reply::Known(known)) => Ok(known),
            Some(renew_reply::Reply::NotLeader(hint)) => Err(hint.into()),
            None => Err(missing("RenewReply.reply")),
        }
    }

    /// The whole registry as a file from `server`, whether it leads or (with `any_server`) not.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn save_archive(&self, server: &str, any_server: bool, asks: &Credential) -> Result<Archive, AskError> {
        let request = by(SaveArchiveRequest { any_server }, asks);
        let reply = self.registry(server)?.save_archive(request).await.map_err(refused)?;
        let mut pieces = reply.into_inner();
        let first = pieces.message().await.map_err(refused)?;
        let head = match first.and_then(|first| first.piece) {
            Some(Piece::Head(head)) => head,
            Some(Piece::NotLeader(hint)) => return Err(hint.into()),
            Some(Piece::Bytes(_)) | None => return Err(missing("SaveArchivePiece.piece")),
        };
        let pieces = pieces.map(|piece| match piece.map(|piece| piece.piece) {
            Ok(Some(Piece::Bytes(bytes))) => Ok(bytes),
            Ok(_) => Err(BackendError::Failed("a piece of the snapshot is none".into())),
            Err(status) => Err(BackendError::Failed(status.message().to_owned())),
        });
        let last = Duration::from_millis(head.leader_contact_ms);
        let contact = Contact { known_leader: head.known_leader, last };
        Ok(Archive { index: Index(head.index), contact, pieces: Pieces::new(pieces) })
    }

    /// Restores such a file at `server`; gives the registry's index.
    ///
    /// # Errors
    /// [`AskError`]; only `Unknown` leaves the outcome open.
    pub async fn restore_archive(&self, server: &str, pieces: Pieces, asks: &Credential) -> Result<Index, AskError> {
        let broken = Broken::default();
        let pieces = UntilBroken { pieces, broken: broken.clone() };
        let reply = self.registry(server)?.restore_archive(by(pieces, asks)).await.map_err(refused)?;
        let broken = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
        match reply.into_inner().reply {
            Some(restore_archive_reply::Reply::Index(index)) => Ok(Index(index)),
            Some(restore_archive_reply::Reply::NotLeader(hint)) => Err(hint.into()),
            Some(restore_archive_reply::Reply::Unknown(unknown)) => Err(unknown.into()),
            Some(restore_archive_reply::Reply::Rejected(rejected)) => {
                Err(AskError::Rejected(broken.unwrap_or(rejected.reason)))
            }
            None => Err(missing("RestoreArchiveReply.reply")),
        }
    }

    /// Has `server` change the servers.
    ///
    /// # Errors
    /// [`AskError`]; only `Unknown` leaves the outcome open.
    pub async fn change_servers(
        &self,
        server: &str,
        change: &ServersChange,
        asks: &Credential,
    ) -> Result<(), AskError> {
        let request = by(ChangeServersRequest::from(change), asks);
        let reply = self.registry(server)?.change_servers(request).await.map_err(refused)?;
        match reply.into_inner().reply {
            Some(change_servers_reply::Reply::Done(_)) => Ok(()),
            Some(change_servers_reply::Reply::NotLeader(hint)) => Err(hint.into()),
            Some(change_servers_reply::Reply::Unknown(unknown)) => Err(unknown.into()),
            Some(change_servers_reply::Reply::Rejected(rejected)) => Err(rejected.into()),
            None => Err(missing("ChangeServersReply.reply")),
        }
    }

    /// Opens a watch stream at `server`. The stream says when it is dead only by its silence.
    ///
    /// # Errors
    /// [`AskError`]; `Rejected` where the server refuses this watcher for what it is.
    pub async fn watch(&self, server: &str, request: WatchRequest) -> Result<Streaming<WatchEvent>, AskError> {
        let stream = self.registry(server)?.watch(self.own(request)).await.map_err(refused)?;
        Ok(stream.into_inner())
    }

    fn registry(&self, server: &str) -> Result<RegistryClient<Way>, AskError> {
        Ok(registry(self.connection(server)?.channel))
    }

    fn connection(&self, server: &str) -> Result<Connection, AskError> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(server) {
            return Ok(connection.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{server}"))
            .map_err(|error| AskError::Unsent(format!("{server:?} is no address of a server: {error}")))?
            .connect_timeout(CONNECT_LIMIT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_LIMIT)
            .keep_alive_while_idle(true);
        if connections.len() >= MAX_CONNECTIONS {
            // Requests under way keep theirs; the servers of today are connected again.
            connections.clear();
        }
        let connector = connect::plain(Some(UNACKNOWLEDGED_LIMIT));
        let channel = if self.tls.asks_by_tls() {
            endpoint.connect_with_connector_lazy(Secured::new(connector, self.tls.clone(), &self.datacenter))
        } else {
            endpoint.connect_with_connector_lazy(connector)
        };
        let connection = Connection { channel: Asking::new(channel, server), writes: Arc::default() };
        connections.insert(server.to_owned(), connection.clone());
        Ok(connection)
    }
}

/// A request of whoever shows that.
fn by<T>(message: T, credential: &Credential) -> Request<T> {
    let mut request = Request::new(message);
    // What is no header's text is no token's secret.
    if !credential.is_none()
        && let Ok(token) = credential.expose().parse()
    {
        request.metadata_mut().insert(TOKEN, token);
    }
    request
}

fn registry(channel: Way) -> RegistryClient<Way> {
    let client = RegistryClient::new(channel);
    client.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// Why a file that was being sent broke off, if it did.
type Broken = Arc<Mutex<Option<String>>>;

/// A file as it is sent, up to where it breaks off: the server finds it truncated then; why it is will be known here.
struct UntilBroken {
    pieces: Pieces,
    broken: Broken,
}

impl Stream for UntilBroken {
    type Item = RestoreArchivePiece;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<RestoreArchivePiece>> {
        Poll::Ready(match ready!(self.pieces.poll_next_unpin(context)) {
            Some(Ok(bytes)) => Some(RestoreArchivePiece { bytes }),
            Some(Err(error)) => {
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                None
            }
            None => None,
        })
    }
}
