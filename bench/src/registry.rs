//! What is registered to be asked for: services with instances on hosts that do not exist.
//!
//! An instance looks as one of a real host does: an address, a port, a tag, and a passing check.

use std::{thread, time::Duration};

use lictor_tests::{agent::Agent, cluster::Cluster, http::Client, wait};
use serde_json::{Value, json};

/// Registrations under way at once.
const CALLERS: usize = 32;
/// Longest time until a sidecar has what was registered.
const SEEN_LIMIT: Duration = Duration::from_secs(30);

/// The body of a registration: the instance of `service` on host number `host`, at `port`.
#[must_use]
pub fn instance(service: &str, host: usize, port: usize) -> Value {
    let id = format!("{service}-{host}");
    json!({
        "Node": format!("host-{host}"),
        "Address": address(host),
        "Service": {"ID": id, "Service": service, "Port": port, "Tags": ["v1"]},
        "Check": {"CheckID": format!("service:{id}"), "Name": "answers", "Status": "passing", "ServiceID": id},
    })
}

/// The address of host number `host`.
#[must_use]
pub fn address(host: usize) -> String {
    format!("10.9.{}.{}", host / 250, host % 250 + 1)
}

/// The port of an instance that nobody has changed yet.
pub const PORT: usize = 8080;

/// Registers instances on hosts 0 to `hosts` - 1 of each service, and waits until every agent has them.
///
/// # Panics
/// A registration fails, or an agent does not learn of them.
pub fn fill(cluster: &Cluster, services: &[(String, usize)]) {
    let all: Vec<Value> =
        services.iter().flat_map(|(name, hosts)| (0..*hosts).map(|host| instance(name, host, PORT))).collect();
    let client = cluster.servers[0].http();
    thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(CALLERS).max(1)) {
            scope.spawn(move || part.iter().for_each(|instance| register(client, instance)));
        }
    });
    let Some((last, hosts)) = services.last() else { return };
    cluster.agents().for_each(|agent| wait_for(agent, last, *hosts));
}

/// Registers an instance.
///
/// # Panics
/// It fails.
pub fn register(client: Client, instance: &Value) {
    client.put("/v1/catalog/register", instance).unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until an agent knows so many instances of a service.
///
/// # Panics
/// It does not learn of them.
pub fn wait_for(agent: &Agent, service: &str, instances: usize) {
    wait::until(&format!("{} has all of {service}", agent.name), SEEN_LIMIT, || {
        let found = agent.passing(service)?.len();
        wait::ensure(found == instances, || format!("it has {found} of {instances}"))
    });
}
