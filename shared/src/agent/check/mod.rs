//! What a check can be, which kinds this agent runs, and the loop that runs one.
//!
//! A runner is a task of its own, from the registration of its check to its end. Each kind's module does one run of
//! it (`alias` follows the view instead, and a TTL check is told); what a result means for the check's status is for
//! the local table to say.

mod alias;
mod docker;
mod grpc;
mod h2ping;
mod http;
mod os_service;
pub(super) mod output;
mod script;
mod tcp;
mod udp;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::MissedTickBehavior;

use super::{Agent, duration, local::Local};
use crate::{
    metrics::CHECK_RUNS,
    model::{CheckDefinition, Key, Origin, Status},
    outbound::Trust,
    tasks::Tasks,
};

/// The longest a run may take where its definition says nothing, as in Consul.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same for runs that start a process, as in Consul.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest time between two runs, whatever the definition says.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Waits to be told.
    Ttl,
    /// Requests a URL.
    Http,
    /// Opens a connection.
    Tcp,
    /// Sends a datagram.
    Udp,
    /// Asks gRPC's health service.
    Grpc,
    /// Sends an HTTP/2 ping.
    H2Ping,
    /// Runs a command.
    Script,
    /// Runs a command inside a container.
    Docker,
    /// Follows another service or node.
    Alias,
    /// Asks the init system.
    OsService,
}

impl Kind {
    /// Whether a run executes a command that its registrar chose.
    #[must_use]
    pub fn is_command(self) -> bool {
        matches!(self, Self::Script | Self::Docker)
    }

    /// Whether a run starts a process on this host or in a container.
    fn is_process(self) -> bool {
        self.is_command() || self == Self::OsService
    }
}

/// Whose commands this agent runs: `enable_script_checks` and `enable_local_script_checks`. Who may register a check
/// with a command may run anything as the agent's user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScriptChecks {
    /// Nobody's.
    #[default]
    Off,
    /// Those in the agent's own files.
    FromFiles,
    /// Those, and what comes by HTTP.
    Everywhere,
}

impl ScriptChecks {
    /// Whether a command that came so is run.
    #[must_use]
    pub fn allows(self, origin: Origin) -> bool {
        match self {
            Self::Off => false,
            Self::FromFiles => origin == Origin::File,
            Self::Everywhere => true,
        }
    }
}

/// Consul's word for what the definition asks for; `ttl` where it asks for nothing else.
#[must_use]
pub fn kind_name(definition: &CheckDefinition) -> &'static str {
    let asks = [
        (!definition.alias_node.is_empty() || !definition.alias_service.is_empty(), "alias"),
        (!definition.docker_container_id.is_empty(), "docker"),
        (!definition.script_args.is_empty(), "script"),
        (!definition.http.is_empty(), "http"),
        (!definition.tcp.is_empty(), "tcp"),
        (!definition.udp.is_empty(), "udp"),
        (!definition.grpc.is_empty(), "grpc"),
        (!definition.h2ping.is_empty(), "h2ping"),
        (!definition.os_service.is_empty(), "os_service"),
    ];
    asks.into_iter().find(|(asked, _)| *asked).map_or("ttl", |(_, name)| name)
}

/// The kind to run, or why it cannot be run here.
///
/// # Errors
/// A sentence that says what is wrong or not allowed.
pub fn kind(definition: &CheckDefinition, origin: Origin, scripts: ScriptChecks) -> Result<Kind, String> {
    let kind = match kind_name(definition) {
        "http" => Kind::Http,
        "tcp" => Kind::Tcp,
        "udp" => Kind::Udp,
        "grpc" => Kind::Grpc,
        "h2ping" => Kind::H2Ping,
        "script" => Kind::Script,
        "docker" if definition.script_args.is_empty() => {
            return Err("Invalid check: a check inside a container needs a command (args)".into());
        }
        "docker" => Kind::Docker,
        "alias" => Kind::Alias,
        "os_service" => Kind::OsService,
        _ => Kind::Ttl,
    };
    if kind.is_command() && !scripts.allows(origin) {
        return Err("Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or \
                    'enable_local_script_checks' to true"
            .into());
    }
    Ok(kind)
}

/// Starts a runner for every check that needs one. A runner ends when its check is replaced or deregistered.
pub(super) fn start(agent: &Agent, tasks: &Tasks, local: &mut Local) {
    for key in local.take_to_start() {
        let Some(check) = local.checks.get_mut(&key) else { continue };
        let (Some(kind), Some(definition)) = (check.kind, check.definition().cloned()) else { continue };
        let cancelled = tasks.stopping().child_token();
        check.runner = Some(cancelled.clone().drop_guard());
        let runner = Runner { agent: agent.clone(), key, run: check.run, kind, definition };
        tasks.spawn_short(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = runner.run() => {}
            }
        });
    }
}

/// Whose certificate a check takes.
fn trust(definition: &CheckDefinition) -> Trust<'_> {
    Trust { name: &definition.tls_server_name, accept_any: definition.tls_skip_verify }
}

struct Runner {
    agent: Agent,
    key: Key,
    run: u64,
    kind: Kind,
    definition: CheckDefinition,
}

impl Runner {
    async fn run(self) {
        match self.kind {
            Kind::Ttl => {}
            Kind::Alias => alias::follow(&self).await,
            _ => self.repeat().await,
        }
    }

    /// Runs the check again and again; the first time at a random moment of its interval, so that checks that were
    /// registered together do not all run together. A run that takes longer than the interval leaves out those it
    /// has overrun; the others stay where they were.
    async fn repeat(&self) {
        let inner = &self.agent.inner;
        let turns = if self.kind.is_process() { &inner.process_turns } else { &inner.turns };
        let interval = self.definition.interval.max(INTERVAL_MIN);
        tokio::time::sleep(interval.mul_f64(rand::random_range(0.0..1.0))).await;
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            // The semaphores are never closed.
            let Ok(turn) = turns.acquire().await else { return };
            let (status, output) = self.probe().await;
            drop(turn);
            CHECK_RUNS.count(status as usize);
            self.agent.record(&self.key, self.run, status, &output);
        }
    }

    async fn probe(&self) -> (Status, String) {
        let (definition, outbound) = (&self.definition, &*self.agent.inner.outbound);
        let limit = match definition.timeout {
            Duration::ZERO if self.kind.is_process() => PROCESS_TIMEOUT,
            Duration::ZERO => TIMEOUT,
            timeout => timeout,
        };
        let (what, probe): (&str, BoxFuture<'_, _>) = match self.kind {
            Kind::Http => (&definition.http, Box::pin(http::probe(definition, outbound))),
            Kind::Tcp => (&definition.tcp, Box::pin(tcp::probe(&definition.tcp, outbound))),
            Kind::Udp => (&definition.udp, Box::pin(udp::probe(&definition.udp, limit, outbound))),
            Kind::Grpc => (&definition.grpc, Box::pin(grpc::probe(definition, outbound))),
            Kind::H2Ping => (&definition.h2ping, Box::pin(h2ping::probe(definition, outbound))),
            Kind::Script => (&definition.script_args[0], Box::pin(script::probe(definition))),
            Kind::Docker => (&definition.docker_container_id, Box::pin(docker::probe(definition))),
            Kind::OsService => (&definition.os_service, Box::pin(os_service::probe(definition))),
            // Not run, but told or followed.
            Kind::Ttl | Kind::Alias => return std::future::pending().await,
        };
        match tokio::time::timeout(limit, probe).await {
            Ok(result) => result,
            Err(_) => (Status::Critical, format!("{what}: no answer within {}", duration::show(limit))),
        }
    }
}
