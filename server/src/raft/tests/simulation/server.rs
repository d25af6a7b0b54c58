//! A server of the simulation: a real [`RaftNode`] with its real log, machine, snapshots and gRPC, and a port for clients.
//!
//! What a client asks comes in one frame and is answered with one: the length in four bytes, then postcard. The port does
//! what the servers' own handlers do with a write and a read, and no more.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::Arc,
    time::Duration,
};

use lictor_shared::{
    backend::Consistency,
    catalog::{Change, State},
    command::{Command, Outcome},
    model::Index,
    tasks::Tasks,
    view::{self, Reader},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tonic::transport::Server;
use turmoil::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::{network, oracles, world};
use crate::raft::{ChangeSink, ProposeError, RaftNode, RaftSettings, ReadError, ServerAddress, Vote, log};

/// Where Raft listens.
const RAFT_PORT: u16 = 8300;
/// Where clients are heard.
const CLIENT_PORT: u16 = 8500;
/// How often it is looked at who leads.
const LOOK: Duration = Duration::from_millis(20);
/// How long a server tries to write.
const PROPOSE: Duration = Duration::from_secs(3);
/// How long a read waits for an index.
const REACH: Duration = Duration::from_secs(1);
/// A snapshot is made after so many entries: often, so that servers fall behind one.
const SNAPSHOT_ENTRIES: u64 = 24;
/// The largest frame, in bytes.
const MAX_FRAME: usize = 64 << 10;

/// What a client asks a server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Which index a read must see; with the confirmation of a quorum or under the lease.
    Barrier { quorum: bool },
    /// A key, as of that index or later.
    Get { key: String, index: u64 },
    /// A command, in protobuf.
    Write(Vec<u8>),
    /// The index that this server has applied.
    Applied,
}

/// What a server answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It is at that index, or a read must be.
    Index(u64),
    /// The value and its modify index.
    Value(Option<(Vec<u8>, u64)>),
    /// It was done, or something else was there first.
    Written { index: u64, done: bool },
    /// Nothing was done: another server leads, or none.
    Elsewhere(Option<String>),
    /// It may have been done.
    Unknown,
}

/// A server's name in the network.
pub(super) fn name(server: usize) -> String {
    format!("server-{server}")
}

/// Where clients find it.
pub(super) fn client_address(name: &str) -> String {
    format!("{name}:{CLIENT_PORT}")
}

/// Raft IDs are neither in the order of the names nor near each other, as in life.
fn raft_id(server: usize) -> u64 {
    [4_611, 77, 900_000, 12, 5_000][server]
}

fn address(server: usize) -> ServerAddress {
    let name = name(server);
    let node_id = Uuid::from_u128(raft_id(server).into());
    ServerAddress { rpc: format!("{name}:{RAFT_PORT}"), node_id, name: name.as_str().into() }
}

/// One life of a server. Ends only when it is killed.
pub(super) async fn live(server: usize, servers: usize) -> turmoil::Result {
    let tasks = Tasks::new();
    let (writer, reader) = view::new();
    world::with(|world| {
        world.oracles.applied.restarted(server);
        world.readers[server] = Some(reader.clone());
    });
    let settings = RaftSettings {
        data_dir: Some(world::data_dir(server)),
        snapshot_entries: SNAPSHOT_ENTRIES,
        kept_entries: SNAPSHOT_ENTRIES / 4,
        propose_limit: PROPOSE,
        ..RaftSettings::new(raft_id(server), address(server))
    };
    let sink = Arc::new(Observer { server, reader: reader.clone() });
    let node = match RaftNode::start(settings, writer, sink, &tasks).await {
        Ok(node) => node,
        Err(error) => return ended(server, &error.to_string()).await,
    };
    world::note(|| format!("{} begins at index {} in term {}", name(server), reader.load().index(), node.term()));
    let members: BTreeMap<_, _> = (0..servers).map(|member| (raft_id(member), address(member))).collect();
    if !node.is_initialized().await? {
        // All of them may do this at once; one that another has asked for its vote meanwhile is told so.
        let _ = node.bootstrap(members).await;
    }
    let raft = TcpListener::bind(("0.0.0.0", RAFT_PORT)).await?;
    tokio::spawn(Server::builder().add_service(node.service()).serve_with_incoming(network::incoming(raft)));
    tokio::spawn(watch(server, servers, node.clone()));
    let clients = TcpListener::bind(("0.0.0.0", CLIENT_PORT)).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = clients.accept().await {
            tokio::spawn(answer(stream, node.clone(), reader.clone()));
        }
    });
    ended(server, &tasks.failed().await).await
}

/// A server ends by itself only when its disk does.
async fn ended(server: usize, reason: &str) -> turmoil::Result {
    if !world::disk_of(server).is_off() {
        world::with(|world| world.oracles.hear(Err(format!("server {server} ended: {reason}"))));
    }
    world::note(|| format!("{} ended", name(server)));
    std::future::pending().await
}

/// Tells the oracles who leads, as long as the server lives.
async fn watch(server: usize, servers: usize, node: RaftNode) {
    loop {
        let term = node.is_leader().then(|| node.term());
        let begun = world::with(|world| world.oracles.leaders.seen(server, term));
        let begun = begun.unwrap_or_else(|wrong| {
            world::with(|world| world.oracles.hear(Err(wrong)));
            false
        });
        if let Some(term) = term.filter(|_| begun) {
            world::note(|| format!("{} leads term {term}", name(server)));
            world::with(|world| world.elections += 1);
            let votes: Vec<Option<Vote>> =
                (0..servers).map(|one| log::simulated::durable_vote(&world::disk_of(one)).unwrap()).collect();
            let verdict = oracles::remembered(server, &Vote::new(term, node.id()), &votes);
            world::with(|world| world.oracles.hear(verdict));
        }
        sleep(LOOK).await;
    }
}

/// Tells the oracles what is applied.
struct Observer {
    server: usize,
    reader: Reader,
}

impl ChangeSink for Observer {
    fn applied(&self, changes: Vec<Change>) {
        let indexes: Vec<u64> = changes.iter().map(|change| change.index.0).collect();
        let digest = digest(&self.reader.load());
        world::note(|| format!("{} applied {indexes:?} {digest:x}", name(self.server)));
        world::with(|world| {
            let verdict = world.oracles.applied.applied(self.server, &indexes, digest);
            world.oracles.hear(verdict);
        });
    }

    fn replaced(&self, index: Index) {
        let digest = digest(&self.reader.load());
        world::note(|| format!("{} took a snapshot at {index} {digest:x}", name(self.server)));
        world::with(|world| {
            let verdict = world.oracles.applied.replaced(self.server, index.0, digest);
            world.oracles.hear(verdict);
        });
    }
}

/// Of all keys: their values and indexes.
fn digest(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    for row in state.keys_below("") {
        (row.key.as_str(), &row.value[..], row.create_index, row.modify_index).hash(&mut hasher);
    }
    state.nodes().count().hash(&mut hasher);
    hasher.finish()
}

async fn answer(mut stream: TcpStream, node: RaftNode, reader: Reader) -> io::Result<()> {
    let ask = receive(&mut stream).await?;
    let answer = match ask {
        Ask::Barrier { quorum } => {
            let consistency = if quorum { Consistency::Quorum } else { Consistency::Leader };
            match node.read_index(consistency).await {
                Ok(index) => Answer::Index(index.0),
                Err(ReadError::NotLeader { leader }) => Answer::Elsewhere(leader.map(|leader| leader.name.to_string())),
                Err(_) => Answer::Elsewhere(None),
            }
        }
        Ask::Get { key, index } => match timeout(REACH, reader.reach(Index(index))).await {
            Ok(()) => {
                let state = reader.load();
                Answer::Value(state.key(&key).map(|row| (row.value.to_vec(), row.modify_index.0)))
            }
            Err(_) => Answer::Elsewhere(None),
        },
        Ask::Write(command) => write(&node, &command).await,
        Ask::Applied => Answer::Index(reader.load().index().0),
    };
    send(&mut stream, &answer).await
}

async fn write(node: &RaftNode, command: &[u8]) -> Answer {
    let command: Command = lictor_proto::decode_command(command).unwrap();
    match node.propose(command).await {
        Ok(written) => Answer::Written { index: written.index.0, done: written.outcome == Outcome::Done },
        Err(ProposeError::NotLeader { leader }) => Answer::Elsewhere(leader.map(|leader| leader.name.to_string())),
        Err(_) => Answer::Unknown,
    }
}

/// Sends one frame.
pub(super) async fn send<T: Serialize>(stream: &mut TcpStream, value: &T) -> io::Result<()> {
    let bytes = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_le_bytes()[..], &bytes].concat()).await
}

/// Takes one frame.
pub(super) async fn receive<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::other("a frame that is too large"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}
