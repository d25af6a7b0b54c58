//! What can be seen from outside: over HTTP, over DNS, and by calling an instance. Nothing here changes anything but
//! [`put`]. What is not as it should be is a [`NotYet`] that names the process.

use std::{fmt, io};

use hickory_proto::{op::Message, rr::RecordType};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::{
    dns::{self, Asker},
    failure::NotYet,
    plan::{Host, Instance, Plan, SERVICE},
};
use crate::members::Member;

/// The name that is looked up.
pub const QUESTION: &str = "hello.service.consul.";

/// The name of the leader, if all of `servers` name the same.
pub async fn common_leader<'plan>(
    plan: &'plan Plan,
    servers: impl Iterator<Item = &'plan Host>,
) -> Result<String, NotYet> {
    let mut common: Option<&str> = None;
    for server in servers {
        let address: String = get(server, "/v1/status/leader").await?;
        let leader = plan.server_at(&address).map(|leader| leader.name.as_str());
        let leader = leader.ok_or_else(|| NotYet::new(&server.name, format!("the leader is {address:?}")))?;
        if *common.get_or_insert(leader) != leader {
            return Err(NotYet::new(&server.name, format!("the leader is {leader}")));
        }
    }
    common.map(str::to_string).ok_or_else(|| NotYet::new("servers", "there are none"))
}

/// The members that `host` sees, if they are all alive.
pub async fn all_alive(plan: &Plan, host: &Host) -> Result<Vec<Member>, NotYet> {
    let members: Vec<Member> = get(host, "/v1/agent/members").await?;
    let alive = members.iter().filter(|member| member.status() == "alive").count();
    if alive == plan.hosts().count() && alive == members.len() {
        return Ok(members);
    }
    Err(NotYet::new(&host.name, format!("{alive} of {} members are alive", members.len())))
}

/// Whether the DNS of both sidecars has just these instances.
pub async fn found_everywhere(plan: &Plan, instances: impl Iterator<Item = &Instance>) -> Result<(), NotYet> {
    let mut expected: Vec<u16> = instances.map(|instance| instance.address.port()).collect();
    expected.sort_unstable();
    for sidecar in &plan.sidecars {
        let found = dns::srv_ports(&lookup(sidecar, RecordType::SRV).await?);
        if found != expected {
            return Err(NotYet::new(&sidecar.name, format!("DNS has the ports {found:?}, not {expected:?}")));
        }
    }
    Ok(())
}

/// Whether the host's own copy of the catalog has a node.
pub async fn has_node(host: &Host, node: &str) -> Result<(), NotYet> {
    match get::<Value>(host, &format!("/v1/catalog/node/{node}?stale")).await? {
        Value::Null => Err(NotYet::new(&host.name, format!("no node {node} in the catalog"))),
        _ => Ok(()),
    }
}

/// An entry of `/v1/health/service/NAME`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    node: EntryNode,
    service: EntryService,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntryNode {
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntryService {
    #[serde(rename = "ID")]
    id: String,
    port: u16,
    tags: Vec<String>,
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (node, service) = (&self.node, &self.service);
        write!(out, "{} at {}:{}, tags {:?}", service.id, node.address, service.port, service.tags)
    }
}

/// The passing instances as `host`'s HTTP tells them.
pub async fn passing(host: &Host) -> Result<Vec<Entry>, NotYet> {
    get(host, &format!("/v1/health/service/{SERVICE}?passing")).await
}

/// A JSON document of `host`.
pub async fn get<T: DeserializeOwned>(host: &Host, path: &str) -> Result<T, NotYet> {
    host.http.get(path).await.map_err(|error| NotYet::new(&host.name, format!("{:#}", anyhow::Error::from(error))))
}

/// A write at `host`.
pub async fn put(host: &Host, path: &str, body: String) -> Result<(), NotYet> {
    let answer = host.http.put(path, body).await;
    answer.map(|_| ()).map_err(|error| NotYet::new(&host.name, error))
}

/// What `host`'s DNS says about the service.
pub async fn lookup(host: &Host, kind: RecordType) -> Result<Message, NotYet> {
    let asker = Asker::new(host.dns()).await.map_err(|error| NotYet::new(&host.name, error))?;
    asker.ask(QUESTION, kind).await.map_err(|error| NotYet::new(&host.name, format!("DNS: {error}")))
}

/// The line that an instance answers with.
pub async fn call(instance: &Instance) -> Result<String, NotYet> {
    let exchange = async {
        let mut stream = BufReader::new(TcpStream::connect(instance.address).await?);
        stream.get_mut().write_all(b"is anybody there?\n").await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        io::Result::Ok(line)
    };
    let line = timeout(dns::ANSWER_LIMIT, exchange).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
    line.map_err(|error| NotYet::new(&instance.name, error))
}
