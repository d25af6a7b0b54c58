//! From a configuration to a running node, and back.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use uuid::Uuid;

use super::{
    Applications, Ground, Role, RoleError, ServeApplications, TakeProfile, applications, coordinates, flood, former,
    join::Joining,
    keyring, leaderless,
    log_file::RotatingFile,
    logging::Level,
    notify::{Notifier, State},
    own_tokens,
    pid_file::PidFile,
    protection,
    reload::needs_restart,
    signals::{Asked, Signals},
    tags, wan,
};
use crate::{
    acl::Authority,
    agent::{Agent, AgentSettings},
    audit::Audit,
    backend::Backend,
    config::{AgentFlags, Config, Join},
    control::{self, Control, Request},
    dns,
    events::Events,
    gossip::{KeyringError, Pool, PoolConfig, Timing},
    http,
    limits::{Paced, raise_descriptors},
    metrics::Measured,
    model::Node,
    tasks::Tasks,
    tls::Tls,
    view::{self, Reader},
    watch::Watches,
};

/// How long tasks may take to end.
const DRAIN: Duration = Duration::from_secs(5);
/// The time between two full comparisons of the agent's services with the registry's that nothing called for.
const SYNC_INTERVAL: Duration = Duration::from_secs(60);

/// Runs a node until it is told to stop, or something it needs has failed. `applications` serves its gRPC interface,
/// `profiler` looks at what the process computes, where the program has such a thing.
///
/// # Errors
/// What could not start or what failed while running, with its remedy where there is one.
pub async fn run(
    flags: AgentFlags,
    config: Config,
    level: Level,
    role: impl Role,
    applications: ServeApplications,
    profiler: Option<TakeProfile>,
) -> Result<(), RoleError> {
    let mut signals = Signals::install()?;
    let notifier = Notifier::from_environment();
    let _pid_file = config.pid_file.as_deref().map(PidFile::create).transpose()?;
    let (control, mut requests) = control::channel();
    let starting = start(flags, config, level, role, applications, profiler, control);
    let Some(started) = until_told(&mut signals, starting).await else {
        tracing::info!("stopped before it was ready");
        return Ok(());
    };
    let mut running = started?;
    notifier.tell(State::Ready);
    let ended = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => drop(running.reload(&notifier)),
                Asked::Interrupt => break Ended::Told { leave: !running.config.skip_leave_on_interrupt, answer: None },
                Asked::Terminate => break Ended::Told { leave: running.config.leave_on_terminate, answer: None },
            },
            request = requests.recv() => match request {
                Some(Request::Reload(answer)) => drop(answer.send(running.reload(&notifier))),
                Some(Request::Leave(answer)) => break Ended::Told { leave: true, answer: Some(answer) },
                None => break Ended::Failed("nobody is left to control this agent".into()),
            },
            reason = running.tasks.failed() => break Ended::Failed(reason),
            reason = running.agent_tasks.failed() => break Ended::Failed(reason),
        }
    };
    notifier.tell(State::Stopping);
    running.stop(ended, requests).await
}

/// What `starting` gives; nothing when the operator did not wait for it (a join that gets no answer, a long log).
async fn until_told<T>(signals: &mut Signals, starting: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(starting);
    loop {
        tokio::select! {
            started = &mut starting => return Some(started),
            asked = signals.next() => match asked {
                // The files are read already, or about to be.
                Asked::Reload => {}
                Asked::Interrupt | Asked::Terminate => return None,
            },
        }
    }
}

/// Why a node stops.
enum Ended {
    Told { leave: bool, answer: Option<oneshot::Sender<Result<(), String>>> },
    Failed(String),
}

struct Running<R> {
    flags: AgentFlags,
    /// As it was at the start: what cannot change while running still is.
    started: Arc<Config>,
    /// As the files said last.
    config: Arc<Config>,
    level: Level,
    role: R,
    tls: Arc<Tls>,
    pool: Pool,
    wan: Option<Pool>,
    agent: Agent,
    watches: Watches<http::Inside>,
    tasks: Tasks,
    agent_tasks: Tasks,
    authority: Arc<Authority>,
}

async fn start<R: Role>(
    flags: AgentFlags,
    config: Config,
    level: Level,
    mut role: R,
    applications: ServeApplications,
    profiler: Option<TakeProfile>,
    control: Control,
) -> Result<Running<R>, RoleError> {
    raise_descriptors();
    let config = Arc::new(config);
    let tls = Tls::open(&config.tls)?;
    let mut sockets = Sockets::bind(&config, &tls).await?;
    let id = role.prepare(&config).await?;
    let (tasks, agent_tasks) = (Tasks::new(), Tasks::new());
    tls.start(&tasks);
    let tags = own_tags(&config, id);
    let pool = Pool::start(pool_config(&config, tags.clone())?, &tasks).await?;
    let wan = wan::start(&config, tags.clone(), &tasks).await?;
    announce(&config, id);
    former::keep_all(&config, &pool, wan.as_ref(), &tasks);
    let joining = join_all(&config, &pool, wan.as_ref(), &tasks).await?;
    let (writer, reader) = view::new();
    let interface = http::Interface::default();
    let tokens = own_tokens::load(&config)?;
    let authority = Arc::new(Authority::new(config.acl.settings.clone(), tokens, reader.clone()));
    let ground = Ground {
        config: config.clone(),
        pool: pool.clone(),
        wan: wan.clone(),
        tags,
        writer,
        reader: reader.clone(),
        tls: tls.clone(),
        interface: interface.clone(),
        authority: authority.clone(),
        tasks: tasks.clone(),
    };
    let backend = measured(role.start(ground).await?, &config);
    let heard = backend.clone();
    authority.hear(move || heard.contact());
    let agent = Agent::new(agent_settings(&config, id), reader.clone(), backend.clone(), authority.clone());
    agent.load_files(&config.services, &config.checks)?;
    agent.start(&agent_tasks);
    leaderless::start(backend.clone(), &tasks);
    if let Some(settings) = config.protection {
        protection::start(settings, reader.clone(), &tasks);
    }
    coordinates::start(agent.node().name.clone(), pool.clone(), backend.clone(), authority.clone(), &tasks);
    applications(for_applications(&mut sockets, &config, &tls, &reader, &backend, &authority, &tasks));
    let translates = config.http_access.translates_wan;
    let copies = http::Copies::start(&config.remote_copies, translates, &backend, &authority, &tasks);
    let context = Arc::new(http::Context {
        settings: http_settings(&config, id),
        reader: reader.clone(),
        backend,
        agent: agent.clone(),
        members: pool.clone(),
        wan: wan.clone(),
        events: Events::start(&pool, &agent, &tasks),
        control,
        monitor: level.monitor(),
        copies,
        guests: Arc::new(http::Guests::new(&config.http_limits)),
        answers: Arc::default(),
        authority: authority.clone(),
        profiler: http::Profiler::new(profiler),
        audit: audit(&config)?,
    });
    interface.open(context.clone(), tasks.stopping());
    let inside = http::Inside::new(context.clone(), tasks.stopping());
    let mut watches = Watches::new(inside, agent.outbound(), tasks.clone());
    watches.set(&config.watches);
    sockets.serve(&config, context, &reader, &tasks);
    joining.into_iter().for_each(|pool| pool.retry(&tasks));
    let started = config.clone();
    Ok(Running { flags, started, config, level, role, tls, authority, pool, wan, agent, watches, tasks, agent_tasks })
}

/// Joins whom the configuration names; gives those pools that are to try on.
async fn join_all(config: &Config, lan: &Pool, wan: Option<&Pool>, tasks: &Tasks) -> Result<Vec<Joining>, RoleError> {
    let joining = joining(config, lan, wan);
    for pool in &joining {
        pool.start().await?;
    }
    if let Some(wan) = wan {
        flood::start(config.datacenter.clone(), lan.clone(), wan.clone(), tasks);
    }
    Ok(joining)
}

fn audit(config: &Config) -> Result<Option<Arc<Audit>>, RoleError> {
    let Some(file) = config.audit.clone() else { return Ok(None) };
    Ok(Some(Arc::new(Audit::start(RotatingFile::open(file)?)?)))
}

/// What this node shows of itself in the pools.
fn own_tags(config: &Config, id: Uuid) -> BTreeMap<String, String> {
    let server = config.is_server().then_some((config.listen.server, config.listen.serf_wan));
    let mut tags = tags::own(&config.datacenter, id, server);
    if config.acl.settings.enabled {
        tags.insert(tags::ACCESS_CONTROL.into(), "1".into());
    }
    tags
}

fn for_applications(
    sockets: &mut Sockets,
    config: &Config,
    tls: &Arc<Tls>,
    reader: &Reader,
    backend: &Arc<dyn Backend>,
    authority: &Arc<Authority>,
    tasks: &Tasks,
) -> Applications {
    Applications {
        listeners: std::mem::take(&mut sockets.grpc),
        secured: std::mem::take(&mut sockets.grpc_tls),
        tls: tls.clone(),
        datacenter: config.datacenter.clone(),
        reader: reader.clone(),
        backend: backend.clone(),
        authority: authority.clone(),
        tasks: tasks.clone(),
        connections: config.grpc_limits,
        streams_per_client: config.grpc_streams_per_client,
    }
}

/// The way to the servers: counted, and as often as it may be.
fn measured(backend: Arc<dyn Backend>, config: &Config) -> Arc<dyn Backend> {
    let measured = Arc::new(Measured(backend));
    match config.rpc_rate {
        Some(rate) => Arc::new(Paced::new(measured, rate)),
        None => measured,
    }
}

/// Whom to join, in each pool that this node is in.
fn joining(config: &Config, lan: &Pool, wan: Option<&Pool>) -> Vec<Joining> {
    let of = |pool: &Pool, name, default_port, join: &Join| Joining {
        pool: pool.clone(),
        name,
        default_port,
        join: join.clone(),
    };
    let lan = of(lan, "LAN", config.listen.serf_lan, &config.join);
    let wan = wan.map(|pool| of(pool, "WAN", config.listen.serf_wan, &config.join_wan));
    std::iter::once(lan).chain(wan).collect()
}

/// The sockets that clients use, bound before anything else happens.
struct Sockets {
    http: Vec<http::Listener>,
    dns: Vec<dns::Bound>,
    grpc: Vec<TcpListener>,
    grpc_tls: Vec<TcpListener>,
}

impl Sockets {
    async fn bind(config: &Config, tls: &Arc<Tls>) -> Result<Self, RoleError> {
        let [grpc, grpc_tls] = applications::bind(&config.listen).await?;
        let mut sockets = Self { http: Vec::new(), dns: Vec::new(), grpc, grpc_tls };
        for address in &config.listen.http {
            sockets.http.push(http::bind(*address).await?.into());
        }
        for address in &config.listen.https {
            sockets.http.push(http::Listener::Tls(http::bind(*address).await?, tls.clone()));
        }
        for path in &config.listen.http_paths {
            sockets.http.push(http::bind_path(path, config.listen.unix_sockets)?.into());
        }
        for address in &config.listen.dns {
            sockets.dns.push(dns::bind(*address).await?);
        }
        Ok(sockets)
    }

    fn serve(self, config: &Config, context: Arc<http::Context>, reader: &Reader, tasks: &Tasks) {
        for listener in self.http {
            tasks.spawn("HTTP", http::serve(context.clone(), listener, tasks.clone()));
        }
        tasks.spawn("kept answers", http::keep_small(context.answers.clone(), tasks.stopping()));
        let authority = context.authority.clone();
        let freshness = dns::Freshness::new(context.backend.clone(), config.discovery_max_stale);
        let far = dns::FarLookups::new(http::Inside::new(context, tasks.stopping()));
        dns::serve(self.dns, config.dns.clone(), reader.clone(), freshness, Some(far), authority, tasks);
    }
}

fn pool_config(config: &Config, tags: BTreeMap<String, String>) -> Result<PoolConfig, KeyringError> {
    let bind = SocketAddr::new(config.listen.serf_lan_bind, config.listen.serf_lan);
    Ok(PoolConfig {
        label: format!("lan {}", config.datacenter),
        shows_health: true,
        advertise: Some(SocketAddr::new(config.advertise, config.listen.serf_lan)),
        tags,
        keyring: keyring::open(config, "lan")?,
        rejoin: former::load(former::file(config, "lan").as_deref()),
        timing: Timing {
            reap: config.gossip.reconnect_timeout,
            reap_left: config.gossip.left_timeout,
            ..Timing::lan()
        },
        ..PoolConfig::new(config.node_name.clone(), bind)
    })
}

fn agent_settings(config: &Config, id: Uuid) -> AgentSettings {
    AgentSettings {
        node: Node {
            name: config.node_name.as_str().into(),
            id: Some(id),
            address: config.advertise.to_string().into(),
            tagged_addresses: config.tagged_addresses.clone(),
            meta: config.node_meta.clone(),
            ..Node::default()
        },
        datacenter: config.datacenter.as_str().into(),
        is_server: config.is_server(),
        check_update_interval: config.check_update_interval,
        script_checks: config.script_checks,
        sync_interval: SYNC_INTERVAL,
        without_servers: config.without_servers,
    }
}

fn http_settings(config: &Config, node_id: Uuid) -> http::Settings {
    let server_address = SocketAddr::new(config.advertise, config.listen.server).to_string();
    let domain = config.dns.domain.to_string();
    http::Settings {
        identity: http::Identity {
            datacenter: config.datacenter.clone(),
            node_name: config.node_name.clone(),
            node_id,
            server_address: config.is_server().then_some(server_address),
        },
        versions: http::Versions { api_level: tags::API_LEVEL.into(), own: env!("CARGO_PKG_VERSION").into() },
        discovery_max_stale: config.discovery_max_stale,
        protection: config.protection,
        serf_lan_port: config.listen.serf_lan,
        serf_wan_port: config.listen.serf_wan,
        limits: config.http_limits,
        access: config.http_access.clone(),
        page: config.page.clone(),
        dns: (domain.trim_end_matches('.').to_string(), config.listen.dns.first().map_or(0, SocketAddr::port)),
        debug: config.enable_debug,
        data_dir: config.data_dir.clone(),
        token_dir: config.data_dir.clone().filter(|_| config.acl.keeps_tokens),
    }
}

/// One line that says who this is, and one for each interface.
fn announce(config: &Config, id: Uuid) {
    let role = if config.is_server() { "server" } else { "sidecar" };
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, role, node = %config.node_name, %id, datacenter = %config.datacenter, "Lictor agent");
    let lan = SocketAddr::new(config.listen.serf_lan_bind, config.listen.serf_lan);
    if !config.listen.http_paths.is_empty() {
        tracing::info!(http = ?config.listen.http_paths, "listening");
    }
    let (http, dns, grpc) = (&config.listen.http, &config.listen.dns, &config.listen.grpc);
    tracing::info!(?http, ?dns, ?grpc, %lan, advertise = %config.advertise, "listening");
    let (https, grpc_tls, rpc_tls) = (&config.listen.https, &config.listen.grpc_tls, config.tls.secures_rpc());
    if rpc_tls || !https.is_empty() || !grpc_tls.is_empty() {
        let verify_incoming = config.tls.internal_rpc.verify_incoming;
        tracing::info!(?https, ?grpc_tls, rpc_tls, verify_incoming, "TLS");
    }
    if !config.ignored.is_empty() {
        tracing::warn!(settings = %config.ignored.join(", "), "these settings are accepted and have no effect");
    }
}

impl<R: Role> Running<R> {
    /// Reads the files again and applies what can change while running: all of it, or nothing.
    fn reload(&mut self, notifier: &Notifier) -> Result<(), String> {
        notifier.tell(State::Reloading);
        let result = self.read_again();
        notifier.tell(State::Ready);
        result
    }

    fn read_again(&mut self) -> Result<(), String> {
        let result = Config::load(&self.flags).map_err(|error| error.to_string()).and_then(|new| {
            let certificates = Tls::read(&new.tls).map_err(|error| error.to_string())?;
            let tokens = own_tokens::load(&new).map_err(|error| error.to_string())?;
            self.agent.load_files(&new.services, &new.checks).map_err(|error| error.to_string())?;
            self.tls.take(certificates);
            Ok((new, tokens))
        });
        match result {
            Ok((new, tokens)) => {
                self.authority.set_own(tokens);
                self.watches.set(&new.watches);
                self.level.set(&new.log.level);
                for setting in needs_restart(&self.started, &new) {
                    tracing::warn!(setting, "this setting has changed and takes a restart to apply");
                }
                self.config = Arc::new(new);
                tracing::info!("configuration reloaded");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded; nothing was changed");
                Err(error)
            }
        }
    }

    async fn stop(mut self, ended: Ended, requests: mpsc::Receiver<Request>) -> Result<(), RoleError> {
        drop(requests);
        // First, so that nothing repairs in the registry what leaving takes out of it.
        self.agent_tasks.shutdown(DRAIN).await;
        let left = matches!(ended, Ended::Told { leave: true, .. });
        let result = match ended {
            Ended::Failed(reason) => Err(reason.into()),
            Ended::Told { leave, answer } => {
                self.role.hand_over().await;
                if leave {
                    tracing::info!("leaving");
                    if let Some(wan) = &self.wan {
                        wan.leave().await;
                    }
                    self.pool.leave().await;
                }
                if let Some(answer) = answer {
                    // The caller may have given up; the agent leaves all the same.
                    let _ = answer.send(Ok(()));
                }
                Ok(())
            }
        };
        if !self.tasks.shutdown(DRAIN).await {
            tracing::warn!(limit = ?DRAIN, "some tasks did not end in time");
        }
        if left {
            former::forget_all(&self.started);
        }
        self.role.stop().await;
        tracing::info!("stopped");
        result
    }
}
