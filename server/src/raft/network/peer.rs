//! The client's side of Raft's RPCs: one connection for each peer, shared by votes, heartbeats and replication; a snapshot
//! has one of its own.
//!
//! A connection is made when it is first needed and again when it broke; while it cannot be made, calls fail within
//! the connect time-out and openraft backs off. Replication has a longer time-out than openraft's own, because a
//! follower answers only after its fsync: a stall of its disk is no reason to send the same entries again.
//!
//! Where a peer is: where it was last found ([`Peers::found`]: the LAN pool), else where the membership in the log has
//! it. A server that came back at another address is thus reached at once, also while no leader could write the new
//! one into the log, and openraft, which keeps its replication streams when an address changes, need not know of it.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use lictor_proto::client::Secured;
use lictor_shared::tls::Tls;
use openraft::{
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
        VoteResponse,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use super::{
    APPEND, Addressed, MAX_MESSAGE_BYTES, PIECE_BYTES, PRE_VOTE, SNAPSHOT, SnapshotAnswer, SnapshotOpening, TRANSFER,
    VOTE, decode, encode, frame::Frames,
};
use crate::raft::{
    RaftSettings, ServerAddress, TypeConfig, Vote,
    snapshot::{Snapshot, SnapshotData},
    surroundings,
};

/// The longest that making a connection may take.
const CONNECT: Duration = Duration::from_millis(500);
/// A connection on which nothing comes back is probed after this long, and given up after as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// The longest that sending and installing a snapshot may take; a dead peer is noticed long before.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(600);
/// Pieces of a snapshot read ahead of the network.
const PIECES_AHEAD: usize = 4;
/// Connections kept; there are never that many servers.
const MAX_CHANNELS: usize = 64;

/// Makes the clients of all peers.
#[derive(Clone)]
pub(in crate::raft) struct Peers {
    id: u64,
    /// The longest that one replication request may take.
    append: Duration,
    channels: Arc<Mutex<HashMap<String, Channel>>>,
    /// Raft IDs and RPC addresses, as last found.
    found: Arc<Mutex<BTreeMap<u64, String>>>,
    tls: Arc<Tls>,
    datacenter: Arc<str>,
}

impl Peers {
    /// For the server of these settings.
    pub fn new(settings: &RaftSettings) -> Self {
        Self {
            id: settings.raft_id,
            append: settings.append_limit(),
            channels: Arc::default(),
            found: Arc::default(),
            tls: settings.tls.clone(),
            datacenter: settings.datacenter.as_str().into(),
        }
    }

    /// These servers are at these addresses now, whatever the membership says. Replaces what was found before.
    pub fn found(&self, addresses: BTreeMap<u64, String>) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn address(&self, target: u64) -> Option<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&target).cloned()
    }

    fn channel(&self, address: &str) -> Result<Channel, tonic::transport::Error> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.connection(address)?;
        if channels.len() >= MAX_CHANNELS {
            channels.clear();
        }
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// A connection of its own, made when it is first used.
    fn connection(&self, address: &str) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        Ok(if self.tls.asks_by_tls() {
            endpoint.connect_with_connector_lazy(Secured::of(self.tls.clone(), &self.datacenter))
        } else {
            surroundings::channel(&endpoint)
        })
    }
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &ServerAddress) -> Peer {
        Peer { peers: self.clone(), target, member: node.rpc.clone() }
    }
}

/// The way to one peer.
pub(in crate::raft) struct Peer {
    peers: Peers,
    target: u64,
    /// Its address in the membership.
    member: String,
}

/// Why a call failed.
enum CallError {
    TimedOut(Duration),
    Failed(Status),
}

impl Peer {
    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &'static str,
        body: Q,
        limit: Duration,
    ) -> Result<A, CallError> {
        let body = encode(&Addressed { target: self.target, body }).map_err(internal)?;
        let mut grpc = self.grpc()?;
        let answer = async move {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(Request::new(body), PathAndQuery::from_static(path), Frames).await
        };
        let answer = tokio::time::timeout(limit, answer).await.map_err(|_| CallError::TimedOut(limit))?;
        decode(answer.map_err(CallError::Failed)?.get_ref()).map_err(internal)
    }

    fn grpc(&self) -> Result<Grpc<Channel>, CallError> {
        self.grpc_by(|address| self.peers.channel(address))
    }

    fn grpc_by(
        &self,
        connect: impl Fn(&str) -> Result<Channel, tonic::transport::Error>,
    ) -> Result<Grpc<Channel>, CallError> {
        let address = self.peers.address(self.target);
        let address = address.as_deref().unwrap_or(&self.member);
        let channel = connect(address);
        let channel = channel.map_err(|error| CallError::Failed(Status::unavailable(format!("{address}: {error}"))))?;
        Ok(Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
    }

    async fn send_snapshot(&self, vote: Vote, snapshot: Snapshot) -> Result<SnapshotAnswer, CallError> {
        let body = SnapshotOpening { vote, meta: snapshot.meta };
        let opening = encode(&Addressed { target: self.target, body }).map_err(internal)?;
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        // A heartbeat shall not stand behind megabytes of it.
        let mut grpc = self.grpc_by(|address| self.peers.connection(address))?;
        let answer = async move {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let pieces = Request::new(ReceiverStream::new(pieces));
            grpc.client_streaming(pieces, PathAndQuery::from_static(SNAPSHOT), Frames).await
        };
        let (answer, sent) = tokio::join!(answer, send_pieces(opening, snapshot.snapshot, sender));
        // A reader that stopped early has sent half a file, which the peer has refused: this says why.
        sent.map_err(internal)?;
        decode(answer.map_err(CallError::Failed)?.get_ref()).map_err(internal)
    }

    fn rpc_error(&self, action: RPCTypes, error: CallError) -> RPCError<TypeConfig> {
        match error {
            CallError::TimedOut(timeout) => {
                RPCError::Timeout(Timeout { action, id: self.peers.id, target: self.target, timeout })
            }
            CallError::Failed(status) => RPCError::Unreachable(Unreachable::new(&status)),
        }
    }
}

/// Sends the opening and then the file. Returns early and without an error when nobody takes it any more.
async fn send_pieces(opening: Bytes, snapshot: SnapshotData, sender: mpsc::Sender<Bytes>) -> std::io::Result<()> {
    let mut file = surroundings::blocking(move || snapshot.open()).await??;
    let mut piece = opening;
    while !piece.is_empty() && sender.send(piece).await.is_ok() {
        let read = move || {
            let mut bytes = Vec::with_capacity(PIECE_BYTES);
            file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut bytes).map(|_| (file, bytes))
        };
        let (rest, bytes) = surroundings::blocking(read).await??;
        (file, piece) = (rest, bytes.into());
    }
    Ok(())
}

fn internal(error: impl std::fmt::Display) -> CallError {
    CallError::Failed(Status::internal(error.to_string()))
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let limit = option.hard_ttl().max(self.peers.append);
        let from_the_start = rpc.prev_log_id.is_none();
        let answer: Result<AppendEntriesResponse<TypeConfig>, _> = self.call(APPEND, rpc, limit).await;
        let answer = answer.map_err(|error| self.rpc_error(RPCTypes::AppendEntries, error))?;
        if from_the_start && answer.is_conflict() {
            // openraft would panic: nothing can be in conflict with the beginning of the log.
            return Err(Unreachable::from_string("a conflict with the beginning of the log").into());
        }
        Ok(answer)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(VOTE, rpc, option.hard_ttl()).await.map_err(|error| self.rpc_error(RPCTypes::Vote, error))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(PRE_VOTE, rpc, option.hard_ttl()).await.map_err(|error| self.rpc_error(RPCTypes::Vote, error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotAnswer, StreamingError<TypeConfig>> {
        let (id, target) = (self.peers.id, self.target);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = tokio::time::timeout(SNAPSHOT_LIMIT, self.send_snapshot(vote, snapshot)) => match sent {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(CallError::Failed(status))) => Err(Unreachable::new(&status).into()),
                Ok(Err(CallError::TimedOut(timeout))) => {
                    Err(Timeout { action: RPCTypes::InstallSnapshot, id, target, timeout }.into())
                }
                Err(_) => Err(NetworkError::from_string("the snapshot took too long").into()),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(TRANSFER, rpc, option.hard_ttl())
            .await
            .map_err(|error| self.rpc_error(RPCTypes::TransferLeader, error))
    }
}
