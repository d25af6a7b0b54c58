//! This host's services and checks: what people want registered here, and keeping the registry and the checks so.
//!
//! [`definition`] reads what people write; `local` is the table of what is wanted; `difference` compares it with a
//! view of the registry and `sync` mends what differs (anti-entropy); [`check`] runs the checks; `clock` ends TTLs and
//! deregisters what was critical for too long; `maintenance` takes things out by hand. [`Agent`] is the one handle to all of it.
//!
//! Nothing here is kept on disk: after a restart the files are read again, and what came by HTTP is taken up from the
//! registry (or, until that answers, from what this node knew of it last). While the registry cannot be written, this
//! node shows what it would write. Commands read from the registry are run only where any that come by HTTP are (`enable_script_checks`).

pub mod check;
mod clock;
pub mod definition;
mod difference;
pub mod duration;
mod fields;
mod local;
mod maintenance;
mod spelling;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use smol_str::SmolStr;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};

pub use self::check::ScriptChecks;
pub use self::local::{LOCAL_ROWS_MAX, OUTPUT_MAX};
pub use self::maintenance::is_maintenance;
use self::{
    definition::{CheckRegistration, ServiceDefinition},
    local::Local,
};
use crate::{
    acl::{Authority, Credential},
    backend::Backend,
    catalog::Topic,
    model::{Check, CheckId, Key, Node, Origin, Service, ServiceId, Status},
    outbound::Outbound,
    tasks::Tasks,
    view::Reader,
};

/// How long a registration waits until it is seen in the registry; after that it is still on its way.
const REGISTRATION_WAIT: Duration = Duration::from_secs(1);
/// Services that may have registrations which the servers could not be given yet; beyond it they are refused.
pub const UNSENT_GROUPS_MAX: usize = 1024;
/// Checks that run at the same moment; the others wait their turn. Many, since most of them only wait for a peer.
const RUNS_AT_ONCE: usize = 1024;
/// The same for checks that start a process.
const PROCESSES_AT_ONCE: usize = 64;

/// What becomes of a registration that comes while the servers cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutServers {
    /// It is taken, shown by this node at once, and written when the servers are back.
    #[default]
    Queue,
    /// It is refused.
    Refuse,
}

/// How an agent is to behave.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// The node: name, ID, address, and what tagged addresses and meta are configured; the usual ones are added.
    pub node: Node,
    /// The datacenter it is in.
    pub datacenter: SmolStr,
    /// Whether the leader keeps a `consul` service on this node.
    pub is_server: bool,
    /// How long a change of a check's output alone may wait; zero writes it at once. Consul's default: 5 minutes.
    pub check_update_interval: Duration,
    /// Whose commands may be run as checks.
    pub script_checks: ScriptChecks,
    /// The time between two full comparisons that nothing called for. Consul's default: 1 minute.
    pub sync_interval: Duration,
    /// What becomes of registrations while the servers cannot be asked.
    pub without_servers: WithoutServers,
}

/// Why the agent does not do what it was asked. `Display` is the sentence a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// The check is about a service that is not registered here.
    #[error("ServiceID \"{0}\" does not exist")]
    UnknownService(ServiceId),
    /// No service of that ID is registered here.
    #[error("No service registered with ID \"{0}\"")]
    NoService(ServiceId),
    /// Only TTL checks can be reported.
    #[error("CheckID \"{0}\" does not have associated TTL")]
    NoTtl(CheckId),
    /// A kind of check that cannot be run here, with its name and what to do.
    #[error("{0}")]
    Unsupported(String),
    /// What is wrong with a check that is written in a file.
    #[error("{file}: check {name:?}: {error}")]
    InFile {
        /// Which.
        file: SmolStr,
        /// The check's name.
        name: SmolStr,
        /// What is wrong with it.
        error: Box<AgentError>,
    },
    /// The table is full.
    #[error("This agent has {0} services or checks already, which is the limit: deregister some first")]
    TooMany(usize),
    /// The servers cannot be asked, and the configuration has registrations refused then.
    #[error("No cluster leader: this agent takes no registrations until there is one")]
    NoServers,
    /// The servers cannot be asked, and enough waits for them.
    #[error("No cluster leader, and changes of {0} services wait for one already: try again when there is one")]
    TooManyUnsent(usize),
}

impl AgentError {
    /// Names the check, and its file, where it is written in one.
    fn of(self, check: &CheckRegistration) -> Self {
        let (file, name) = (check.file.clone(), check.name.clone());
        if file.is_empty() { self } else { Self::InFile { file, name, error: Box::new(self) } }
    }
}

/// This host's agent. Cheap to clone; all clones are the same agent.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    datacenter: SmolStr,
    sync_interval: Duration,
    without_servers: WithoutServers,
    /// Groups that differ from what the servers have, while these cannot be asked.
    unsent: AtomicUsize,
    reader: Reader,
    backend: Arc<dyn Backend>,
    authority: Arc<Authority>,
    local: Mutex<Local>,
    /// Wakes `sync`.
    changed: Notify,
    /// Wakes `clock`.
    deadlines: Notify,
    adopted: watch::Sender<bool>,
    tasks: OnceLock<Tasks>,
    script_checks: ScriptChecks,
    turns: Semaphore,
    process_turns: Semaphore,
    outbound: Arc<Outbound>,
}

impl Inner {
    fn local(&self) -> MutexGuard<'_, Local> {
        // Every change of the table leaves it usable, whatever the next one does.
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agent {
    /// An agent that takes registrations but does nothing yet; see [`Agent::start`].
    #[must_use]
    pub fn new(settings: AgentSettings, reader: Reader, backend: Arc<dyn Backend>, authority: Arc<Authority>) -> Self {
        Self::with_outbound(settings, reader, backend, authority, Outbound::default())
    }

    fn with_outbound(
        settings: AgentSettings,
        reader: Reader,
        backend: Arc<dyn Backend>,
        authority: Arc<Authority>,
        outbound: Outbound,
    ) -> Self {
        let node = completed(settings.node);
        let local =
            Local::new(node.clone(), settings.is_server, settings.check_update_interval, settings.script_checks);
        Self {
            inner: Arc::new(Inner {
                node,
                datacenter: settings.datacenter,
                sync_interval: settings.sync_interval,
                without_servers: settings.without_servers,
                unsent: AtomicUsize::new(0),
                reader,
                backend,
                authority,
                local: Mutex::new(local),
                changed: Notify::new(),
                deadlines: Notify::new(),
                adopted: watch::Sender::new(false),
                tasks: OnceLock::new(),
                script_checks: settings.script_checks,
                turns: Semaphore::new(RUNS_AT_ONCE),
                process_turns: Semaphore::new(PROCESSES_AT_ONCE),
                outbound: Arc::new(outbound),
            }),
        }
    }

    /// Starts the checks and the writing to the registry, until `tasks` stop. To be called once, inside a runtime,
    /// after the first [`Agent::load_files`], so that files win over what is adopted.
    pub fn start(&self, tasks: &Tasks) {
        if self.inner.tasks.set(tasks.clone()).is_ok() {
            tasks.spawn("agent sync", sync::run(self.clone(), tasks.stopping()));
            tasks.spawn("agent clock", clock::run(self.clone(), tasks.stopping()));
            self.change(|_| ());
        }
    }

    /// Resolves when what an earlier life of this agent registered has been taken up.
    pub async fn adopted(&self) {
        // The sender lives as long as the agent.
        let _ = self.inner.adopted.subscribe().wait_for(|adopted| *adopted).await;
    }

    /// This node's row, complete.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.inner.node
    }

    /// The datacenter this agent is in.
    #[must_use]
    pub fn datacenter(&self) -> &str {
        &self.inner.datacenter
    }

    /// The way to other hosts, shared by all that this agent does.
    #[must_use]
    pub fn outbound(&self) -> Arc<Outbound> {
        self.inner.outbound.clone()
    }

    /// The services registered here, by ID; their indexes are 0 or out of date.
    #[must_use]
    pub fn services(&self) -> Vec<Arc<Service>> {
        self.inner.local().services.values().cloned().collect()
    }

    /// The service registered here under that ID, in any letter case.
    #[must_use]
    pub fn service(&self, id: &str) -> Option<Arc<Service>> {
        self.inner.local().services.get(&Key::new(id)).cloned()
    }

    /// The check registered here under that ID, in any letter case.
    #[must_use]
    pub fn check(&self, id: &str) -> Option<Arc<Check>> {
        self.inner.local().checks.get(&Key::new(id)).map(|check| check.row.clone())
    }

    /// The checks registered here, by ID, with their present status and output; indexes are 0 or out of date.
    #[must_use]
    pub fn checks(&self) -> Vec<Arc<Check>> {
        self.inner.local().checks.values().map(|check| check.row.clone()).collect()
    }

    /// Registers a service with its checks, over one of the same ID, and waits (at most a second) until this node shows
    /// it: as the registry has it or, while that cannot be written, as it will be written. Checks of that service that the definition does not have stay, unless `replace_existing_checks`.
    ///
    /// # Errors
    /// When one of its checks cannot be run here, the table is full, or the servers cannot be asked and that is not to
    /// be done without them; then nothing is changed.
    pub async fn register_service(
        &self,
        definition: ServiceDefinition,
        replace_existing_checks: bool,
        by: &Credential,
    ) -> Result<(), AgentError> {
        self.refuse_unsupported(&definition.checks, Origin::Agent)?;
        self.refuse_unsent()?;
        let now = Instant::now();
        let by = definition.token.or(by);
        self.change(|local| {
            local.put_service(&definition, Origin::Agent, replace_existing_checks, now)?;
            local.set_token(&definition.service.id.key(), by);
            Ok(())
        })?;
        self.settled(&definition.service.id.key()).await;
        Ok(())
    }

    /// Deregisters a service with its checks, and waits (at most a second) until the registry has forgotten it. One
    /// that is not there is no error.
    ///
    /// # Errors
    /// When the servers cannot be asked and that is not to be done without them.
    pub async fn deregister_service(&self, id: &ServiceId) -> Result<(), AgentError> {
        self.refuse_unsent()?;
        self.change(|local| local.remove_service(id));
        self.settled(&id.key()).await;
        Ok(())
    }

    /// Registers a check, over one of the same ID, and waits (at most a second) until the registry has it.
    ///
    /// # Errors
    /// When its service is not registered here, it cannot be run here, the table is full, or the servers cannot be
    /// asked and that is not to be done without them.
    pub async fn register_check(&self, registration: CheckRegistration, by: &Credential) -> Result<(), AgentError> {
        self.refuse_unsupported([&registration], Origin::Agent)?;
        self.refuse_unsent()?;
        let now = Instant::now();
        let by = registration.token.or(by);
        self.change(|local| {
            local.put_check(&registration, Origin::Agent, now)?;
            local.offer_token(&registration.service_id.key(), by);
            Ok(())
        })?;
        self.settled(&registration.service_id.key()).await;
        Ok(())
    }

    /// Deregisters a check, and waits (at most a second) until the registry has forgotten it. One that is not there is
    /// no error.
    ///
    /// # Errors
    /// When the servers cannot be asked and that is not to be done without them.
    pub async fn deregister_check(&self, id: &CheckId) -> Result<(), AgentError> {
        self.refuse_unsent()?;
        let state = self.inner.reader.load_full();
        let group = self.change(|local| local.remove_check(id, &state));
        self.settled(&group).await;
        Ok(())
    }

    /// Takes the report of a TTL check: its status, and what to say of it. The registry is told soon after.
    ///
    /// # Errors
    /// When there is no TTL check of that ID.
    pub fn report(&self, id: &CheckId, status: Status, output: &str) -> Result<(), AgentError> {
        self.change(|local| local.report(id, status, output, Instant::now()))
    }

    /// Makes what was read from files the only services and checks of this node that came from files: new ones are
    /// added, changed ones replaced (their checks keep their state), missing ones deregistered. Does not wait.
    ///
    /// # Errors
    /// When a check cannot be run here, names a service that is not there, or there are too many; then nothing is
    /// changed.
    pub fn load_files(&self, services: &[ServiceDefinition], checks: &[CheckRegistration]) -> Result<(), AgentError> {
        let nested = services.iter().flat_map(|definition| &definition.checks);
        self.refuse_unsupported(nested.chain(checks), Origin::File)?;
        self.change(|local| local.replace_files(services, checks, Instant::now()))
    }

    /// Refuses what cannot be given to the servers now and is not to wait for them.
    fn refuse_unsent(&self) -> Result<(), AgentError> {
        let inner = &self.inner;
        if inner.backend.contact().known_leader {
            return Ok(());
        }
        let unsent = inner.unsent.load(Ordering::Relaxed) + inner.local().dirty_count();
        match inner.without_servers {
            WithoutServers::Refuse => Err(AgentError::NoServers),
            WithoutServers::Queue if unsent >= UNSENT_GROUPS_MAX => Err(AgentError::TooManyUnsent(UNSENT_GROUPS_MAX)),
            WithoutServers::Queue => Ok(()),
        }
    }

    fn refuse_unsupported<'a>(
        &self,
        checks: impl IntoIterator<Item = &'a CheckRegistration>,
        origin: Origin,
    ) -> Result<(), AgentError> {
        let scripts = self.inner.script_checks;
        checks.into_iter().try_for_each(|check| match check::kind(&check.definition, origin, scripts) {
            Ok(_) => Ok(()),
            Err(reason) => Err(AgentError::Unsupported(reason).of(check)),
        })
    }

    /// Takes the result of a run; wakes others only where it changes something for them.
    fn record(&self, key: &Key, run: u64, status: Status, output: &str) {
        if self.inner.local().record(key, run, status, output, Instant::now()) {
            self.inner.changed.notify_one();
            self.inner.deadlines.notify_one();
        }
    }

    /// Changes the local table, starts the checks that came, and wakes those who act on it.
    fn change<T>(&self, change: impl FnOnce(&mut Local) -> T) -> T {
        let mut local = self.inner.local();
        let result = change(&mut local);
        if let Some(tasks) = self.inner.tasks.get() {
            check::start(self, tasks, &mut local);
        }
        drop(local);
        self.inner.changed.notify_one();
        self.inner.deadlines.notify_one();
        result
    }

    /// Waits until this node shows a group as it is wanted, for a bounded time.
    async fn settled(&self, group: &Key) {
        let waiting = self.inner.reader.wait_for(&Topic::Node(self.inner.node.name.key()));
        let seen = async {
            loop {
                let next = waiting.next();
                let state = self.inner.reader.load_full();
                {
                    let local = self.inner.local();
                    let decided = local.adopted || !self.inner.backend.contact().known_leader;
                    if decided && local.commands(group, &state, Instant::now()).is_empty() {
                        return;
                    }
                }
                next.await;
            }
        };
        let _ = tokio::time::timeout(REGISTRATION_WAIT, seen).await;
    }
}

/// Adds the tagged addresses and the meta that every Consul node has.
fn completed(mut node: Node) -> Node {
    for (scope, family) in [("lan", ["lan_ipv4", "lan_ipv6"]), ("wan", ["wan_ipv4", "wan_ipv6"])] {
        let address = node.tagged_addresses.entry(scope.into()).or_insert_with(|| node.address.clone()).clone();
        match address.parse::<std::net::IpAddr>() {
            Ok(ip) => node.tagged_addresses.entry(family[usize::from(ip.is_ipv6())].into()).or_insert(address),
            Err(_) => continue,
        };
    }
    node.meta.entry("consul-network-segment".into()).or_default();
    node
}
