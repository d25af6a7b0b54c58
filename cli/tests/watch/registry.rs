//! Servers that answer the real Registry service on loopback, with a consensus that agrees with itself: one log, which
//! each server applies as far as a test lets it.

use lictor_shared::acl::Authority;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lictor_server::{
    archive::Archives,
    consensus::Consensus,
    fanout::Fanout,
    grpc::{self, Desk, RegistryService, Watchers},
    leader::sessions::SessionTimers,
};
use lictor_shared::{
    backend::{Consistency, ServersReport},
    catalog::{Change, Record, State},
    command::{Command, Outcome, Written},
    forward::AskError,
    http::Interface,
    limits::Connections,
    model::{Index, Time},
    tasks::Tasks,
    view::{self, Reader, Writer},
};
use tokio::{net::TcpListener, sync::Semaphore};

/// What all servers agree on.
pub struct Log {
    commands: Mutex<Vec<Command>>,
    leader: Mutex<Option<SocketAddr>>,
    addresses: Mutex<Vec<SocketAddr>>,
    ids: Vec<u64>,
    /// How often a read index was asked for, and the permits without which none is given.
    pub barriers: AtomicU64,
    pub barrier_permits: Semaphore,
}

impl Log {
    pub fn new(ids: &[u64]) -> Arc<Self> {
        Arc::new(Self {
            commands: Mutex::default(),
            leader: Mutex::default(),
            addresses: Mutex::default(),
            ids: ids.to_vec(),
            barriers: AtomicU64::new(0),
            barrier_permits: Semaphore::new(1_000_000),
        })
    }

    pub fn lead(&self, leader: Option<&Server>) {
        *self.leader.lock().unwrap() = leader.map(|server| server.address);
    }

    pub fn append(&self, command: Command) -> Index {
        let mut commands = self.commands.lock().unwrap();
        commands.push(command);
        Index(commands.len() as u64)
    }
}

/// What a server has applied; survives its restarts.
pub struct Store {
    log: Arc<Log>,
    applied: Mutex<Applied>,
    pub reader: Reader,
    fanout: Arc<Fanout>,
    address: SocketAddr,
}

struct Applied {
    state: State,
    writer: Writer,
    /// What the view shows and the fan-out was not told yet.
    untold: Vec<Change>,
}

impl Store {
    pub fn records(&self) -> Vec<Record> {
        self.reader.load().records().collect()
    }

    fn applied(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap()
    }

    /// Of a server that has applied nothing; with a ring of at most `ring` changes.
    pub fn new(log: &Arc<Log>, ring: usize, address: SocketAddr) -> Arc<Self> {
        let (writer, reader) = view::new();
        Arc::new(Self {
            log: log.clone(),
            applied: Mutex::new(Applied { state: State::default(), writer, untold: Vec::new() }),
            reader,
            fanout: Arc::new(Fanout::with_limits(ring, usize::MAX)),
            address,
        })
    }

    /// The service as a server has it.
    pub fn service(self: &Arc<Self>, tasks: &Tasks) -> RegistryService {
        let desk = Desk {
            sessions: SessionTimers::new(self.reader.clone()),
            interface: Interface::default(),
            archives: Archives::new(self.clone(), self.reader.clone(), "dc1", None),
            authority: Arc::new(Authority::open(self.reader.clone())),
        };
        RegistryService::new(self.clone(), self.reader.clone(), self.fanout.clone(), desk, "dc1", tasks)
    }

    /// Applies what the log has, at most up to `index`, one view swap and one push for all.
    pub fn apply_to(&self, index: Index) -> Option<Outcome> {
        let outcome = self.show_to(index);
        self.tell();
        outcome
    }

    /// The first half of that: the view has it, the fan-out does not.
    pub fn show_to(&self, index: Index) -> Option<Outcome> {
        let mut applied = self.applied();
        let commands = self.log.commands.lock().unwrap();
        let (mut touched, mut outcome) = (std::collections::HashSet::new(), None);
        while applied.state.index() < index {
            let at = applied.state.index().0;
            let Some(command) = commands.get(usize::try_from(at).unwrap()) else { break };
            let done = applied.state.apply(Index(at + 1), Time(at * 1000), command);
            applied.untold.push(done.change);
            touched.extend(done.touched);
            outcome = Some(done.outcome);
        }
        let state = applied.state.clone();
        applied.writer.publish(state, &touched);
        outcome
    }

    /// The other half.
    pub fn tell(&self) {
        let untold = std::mem::take(&mut self.applied().untold);
        self.fanout.push(&untold);
    }

    /// As after the server was sent a snapshot of all that the log has.
    pub fn install_snapshot(&self) {
        let mut applied = self.applied();
        let commands = self.log.commands.lock().unwrap();
        let mut state = applied.state.clone();
        for command in commands.iter().skip(usize::try_from(state.index().0).unwrap()) {
            let next = state.index().0 + 1;
            state.apply(Index(next), Time((next - 1) * 1000), command);
        }
        applied.state = state.clone();
        applied.writer.replace(state);
        applied.untold.clear();
        self.fanout.restart(applied.state.index());
    }
}

#[async_trait]
impl Consensus for Store {
    async fn propose_all(&self, commands: Vec<Command>) -> Vec<Result<Written, AskError>> {
        let propose = |command| {
            if *self.log.leader.lock().unwrap() != Some(self.address) {
                return Err(AskError::NotLeader { leader: self.leader() });
            }
            let index = self.log.append(command);
            let outcome = self.apply_to(index).unwrap_or(Outcome::Done);
            Ok(Written { index, outcome })
        };
        commands.into_iter().map(propose).collect()
    }

    async fn read_index(&self, _: Consistency) -> Result<Index, AskError> {
        if *self.log.leader.lock().unwrap() != Some(self.address) {
            return Err(AskError::NotLeader { leader: self.leader() });
        }
        self.log.barriers.fetch_add(1, Ordering::SeqCst);
        self.log.barrier_permits.acquire().await.unwrap().forget();
        Ok(self.reader.load().index())
    }

    fn leader(&self) -> Option<String> {
        self.log.leader.lock().unwrap().map(|leader| leader.to_string())
    }

    fn servers(&self) -> Vec<String> {
        self.log.addresses.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    fn server_ids(&self) -> Vec<u64> {
        self.log.ids.clone()
    }

    fn last_contact(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    fn report(&self, _: bool) -> Result<ServersReport, AskError> {
        Err(AskError::NotLeader { leader: self.leader() })
    }
}

/// A server that runs.
pub struct Server {
    pub store: Arc<Store>,
    pub address: SocketAddr,
    pub watchers: Arc<Watchers>,
    tasks: Tasks,
}

impl Server {
    /// A new server on a free port, with a ring of at most `ring` changes.
    pub async fn start(log: &Arc<Log>, ring: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        log.addresses.lock().unwrap().push(address);
        Self::serve(Store::new(log, ring, address), listener)
    }

    /// The same server with all it had, on the same port.
    pub async fn restart(store: Arc<Store>) -> Self {
        let listener = TcpListener::bind(store.address).await.unwrap();
        Self::serve(store, listener)
    }

    fn serve(store: Arc<Store>, listener: TcpListener) -> Self {
        let tasks = Tasks::new();
        let address = store.address;
        let service = store.service(&tasks);
        let watchers = service.watchers();
        let router = grpc::server().add_service(service.into_server());
        tasks.spawn("rpc", grpc::serve(router, listener, Arc::default(), Connections::default(), tasks.stopping()));
        Self { store, address, watchers, tasks }
    }

    /// Stops it and gives what it has.
    pub async fn stop(self) -> Arc<Store> {
        assert!(self.tasks.shutdown(Duration::from_secs(10)).await, "a stream holds the server open");
        self.store
    }

    /// Appends a command and applies it here, and whatever of the log was missing.
    pub fn write(&self, command: Command) -> Index {
        let index = self.store.log.append(command);
        self.store.apply_to(index);
        index
    }
}
