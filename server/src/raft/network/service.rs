//! The server's side of Raft's RPCs: checks whom a request is meant for, hands it to openraft, answers.
//!
//! Nothing a peer sends can panic here or take memory without bound: messages have a largest size, and one snapshot
//! is taken at a time. A snapshot is read and checked whole before openraft hears of it.

use std::{
    convert::Infallible,
    fmt::{self, Display},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use openraft::{
    Raft,
    raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, time::Instant};
use tonic::{
    Request, Response, Status, Streaming,
    codegen::{Body, BoxFuture, Service, StdError, http},
    server::{ClientStreamingService, Grpc, NamedService, UnaryService},
};

use super::{
    APPEND, Addressed, MAX_MESSAGE_BYTES, PRE_VOTE, SERVICE, SNAPSHOT, SnapshotOpening, TRANSFER, VOTE, decode, encode,
    frame::Frames,
};
use crate::raft::{
    SnapshotMeta, TypeConfig,
    incoming::Receiving,
    machine::Machine,
    snapshot::{Snapshot, SnapshotData, SnapshotError, SnapshotStore},
    surroundings,
};

/// When the leader was last heard of.
#[derive(Debug)]
pub(in crate::raft) struct Contact(Mutex<Option<Instant>>);

impl Contact {
    /// Not yet.
    pub fn never() -> Self {
        Self(Mutex::new(None))
    }

    /// The time since then; none if never.
    pub fn age(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The gRPC service that other servers call; it goes onto the servers' RPC port.
#[derive(Clone)]
pub struct RaftService {
    server: Arc<Server>,
}

struct Server {
    id: u64,
    raft: Raft<TypeConfig, Machine>,
    snapshots: Arc<SnapshotStore>,
    contact: Arc<Contact>,
    /// One snapshot comes in at a time.
    receiving: Semaphore,
}

impl fmt::Debug for RaftService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftService").field("id", &self.server.id).finish_non_exhaustive()
    }
}

impl RaftService {
    pub(in crate::raft) fn new(
        id: u64,
        raft: Raft<TypeConfig, Machine>,
        snapshots: Arc<SnapshotStore>,
        contact: Arc<Contact>,
    ) -> Self {
        Self { server: Arc::new(Server { id, raft, snapshots, contact, receiving: Semaphore::new(1) }) }
    }
}

impl Server {
    async fn answer(&self, method: Method, request: &[u8]) -> Result<Bytes, Status> {
        match method {
            Method::Append => self.append(self.read(request)?).await,
            Method::Vote => {
                let request: VoteRequest<TypeConfig> = self.read(request)?;
                reply(&self.raft.vote(request).await.map_err(refused)?)
            }
            Method::PreVote => {
                let request: VoteRequest<TypeConfig> = self.read(request)?;
                reply(&self.raft.pre_vote(request).await.map_err(refused)?)
            }
            Method::Transfer => {
                let request: TransferLeaderRequest<TypeConfig> = self.read(request)?;
                reply(&self.raft.handle_transfer_leader(request).await.map_err(refused)?)
            }
        }
    }

    async fn append(&self, request: AppendEntriesRequest<TypeConfig>) -> Result<Bytes, Status> {
        if !consecutive(&request) {
            return Err(Status::invalid_argument("the entries are not in a row"));
        }
        let answer = self.raft.append_entries(request).await.map_err(refused)?;
        if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
            self.contact.now();
        }
        reply(&answer)
    }

    async fn take_snapshot(&self, mut pieces: Streaming<Bytes>) -> Result<Bytes, Status> {
        let busy = || Status::resource_exhausted("another snapshot is on its way in");
        let _one_at_a_time = self.receiving.try_acquire().map_err(|_| busy())?;
        let opening = pieces.message().await?.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        let SnapshotOpening { vote, meta } = self.read(&opening)?;
        let snapshots = self.snapshots.clone();
        let mut receiving = blocking(move || snapshots.receive().map_err(internal)).await?;
        while let Some(piece) = pieces.message().await? {
            receiving = blocking(move || receiving.push(&piece).map_err(internal).map(|()| receiving)).await?;
            self.contact.now();
        }
        let expected = meta.clone();
        let snapshot = blocking(move || checked(receiving, &expected)).await?;
        reply(&self.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await.map_err(refused)?)
    }

    fn read<T: DeserializeOwned>(&self, request: &[u8]) -> Result<T, Status> {
        let malformed = |error: postcard::Error| Status::invalid_argument(format!("a Raft message: {error}"));
        // The address comes first, so that it can be read whatever the rest is.
        let (target, _) = postcard::take_from_bytes::<u64>(request).map_err(malformed)?;
        if target != self.id {
            let reason = format!("meant for the server with Raft ID {target}, this is {}", self.id);
            return Err(Status::failed_precondition(reason));
        }
        let Addressed { body, .. } = decode(request).map_err(malformed)?;
        Ok(body)
    }
}

pub(super) fn consecutive(request: &AppendEntriesRequest<TypeConfig>) -> bool {
    let before = request.prev_log_id.map(|id| id.index);
    let indexes = before.into_iter().chain(request.entries.iter().map(|entry| entry.log_id.index));
    let indexes: Vec<u64> = indexes.collect();
    indexes.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]))
}

fn checked(receiving: Receiving, expected: &SnapshotMeta) -> Result<SnapshotData, Status> {
    let received = receiving.finish().map_err(|error| match error {
        SnapshotError::Damaged { .. } => Status::data_loss(error.to_string()),
        other => internal(other),
    })?;
    if received.meta != *expected {
        return Err(Status::data_loss("the snapshot is another than announced"));
    }
    Ok(SnapshotData::Received(Arc::new(received)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Status> + Send + 'static) -> Result<T, Status> {
    surroundings::blocking(work).await.map_err(internal)?
}

fn reply<T: Serialize>(answer: &T) -> Result<Bytes, Status> {
    encode(answer).map_err(internal)
}

fn internal(error: impl Display) -> Status {
    Status::internal(error.to_string())
}

/// openraft has stopped, or its storage failed: the process is about to end.
fn refused(error: impl Display) -> Status {
    Status::unavailable(error.to_string())
}

#[derive(Clone, Copy)]
enum Method {
    Append,
    Vote,
    PreVote,
    Transfer,
}

/// One unary method, as tonic wants it.
struct Unary(Arc<Server>, Method);

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (server, method) = (self.0.clone(), self.1);
        Box::pin(async move { server.answer(method, request.get_ref()).await.map(Response::new) })
    }
}

/// The snapshot's stream, as tonic wants it.
struct TakeSnapshot(Arc<Server>);

impl ClientStreamingService<Bytes> for TakeSnapshot {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move { server.take_snapshot(request.into_inner()).await.map(Response::new) })
    }
}

impl NamedService for RaftService {
    const NAME: &'static str = SERVICE;
}

impl<B> Service<http::Request<B>> for RaftService
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.server.clone();
        let method = match request.uri().path() {
            APPEND => Some(Method::Append),
            VOTE => Some(Method::Vote),
            PRE_VOTE => Some(Method::PreVote),
            TRANSFER => Some(Method::Transfer),
            _ => None,
        };
        Box::pin(async move {
            let mut grpc = Grpc::new(Frames)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES);
            Ok(match method {
                Some(method) => grpc.unary(Unary(server, method), request).await,
                None if request.uri().path() == SNAPSHOT => grpc.client_streaming(TakeSnapshot(server), request).await,
                None => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}
