//! What a check can be, which kinds this agent runs, and the loop that runs one.
//!
//! A runner is a task of its own, from the registration of its check to its end. `http` and `tcp` do one run each;
//! what a result means for the check's status is for the local table to say.

mod connect;
mod http;
mod tcp;

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Agent, duration, local::Local};
use crate::{
    model::{CheckDefinition, Key, Status},
    tasks::Tasks,
};

/// The longest a run may take where its definition says nothing, as in Consul.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest time between two runs, whatever the definition says.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A kind of check that can be run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Waits to be told.
    Ttl,
    /// Requests a URL.
    Http,
    /// Opens a connection.
    Tcp,
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
/// A sentence that names the kind.
pub fn kind(definition: &CheckDefinition) -> Result<Kind, String> {
    match kind_name(definition) {
        "ttl" => Ok(Kind::Ttl),
        "tcp" => Ok(Kind::Tcp),
        "http" if definition.http.to_ascii_lowercase().starts_with("https:") => {
            Err("Invalid check: https checks need TLS, which this version cannot do: check by http or tcp".into())
        }
        "http" => Ok(Kind::Http),
        other => Err(format!("Invalid check: {other} checks cannot be run by this version: use http, tcp or ttl")),
    }
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
                () = runner.repeat() => {}
            }
        });
    }
}

struct Runner {
    agent: Agent,
    key: Key,
    run: u64,
    kind: Kind,
    definition: CheckDefinition,
}

impl Runner {
    /// Runs the check again and again; the first time at a random moment of its interval, so that checks that were
    /// registered together do not all run together.
    async fn repeat(self) {
        let interval = self.definition.interval.max(INTERVAL_MIN);
        tokio::time::sleep(interval.mul_f64(rand::random_range(0.0..1.0))).await;
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // The semaphore is never closed.
            let Ok(turn) = self.agent.inner.runs.acquire().await else { return };
            let (status, output) = self.probe().await;
            drop(turn);
            self.agent.change(|local| local.record(&self.key, self.run, status, &output, Instant::now()));
        }
    }

    async fn probe(&self) -> (Status, String) {
        let definition = &self.definition;
        let limit = if definition.timeout.is_zero() { TIMEOUT } else { definition.timeout };
        let (what, probe) = match self.kind {
            Kind::Http => (&definition.http, http::probe(definition).left_future()),
            Kind::Tcp => (&definition.tcp, tcp::probe(&definition.tcp).right_future()),
            // Not run, but told.
            Kind::Ttl => return std::future::pending().await,
        };
        match tokio::time::timeout(limit, probe).await {
            Ok(result) => result,
            Err(_) => (Status::Critical, format!("{what}: no answer within {}", duration::show(limit))),
        }
    }
}
