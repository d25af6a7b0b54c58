//! Who takes part: every process's name, address, ports and command line. Nothing here starts anything.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use super::ports;
use crate::client::{AddressError, Agent};

/// After this a request to an agent is given up. A write may wait at a sidecar while there is no leader.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const SERVERS: usize = 3;
const SIDECARS: usize = 2;
/// Ports of one agent.
const PORTS: usize = 6;
/// Name of the service.
pub const SERVICE: &str = "hello";

/// All who take part.
pub struct Plan {
    /// They keep the catalog.
    pub servers: Vec<Host>,
    /// One for each host with instances.
    pub sidecars: Vec<Host>,
    /// The first is registered by a file, the second by HTTP; each on the host of the sidecar with its index.
    pub instances: Vec<Instance>,
}

/// An agent and the host it stands for.
pub struct Host {
    /// Node name.
    pub name: String,
    /// The host's address, which gossip and services use. HTTP and DNS are at 127.0.0.1 as by default.
    pub address: Ipv4Addr,
    /// Its HTTP interface.
    pub http: Agent,
    ports: [u16; PORTS],
    is_server: bool,
    directory: PathBuf,
}

/// An instance of the service.
pub struct Instance {
    /// Name and service ID.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The tag it is registered with.
    pub tag: &'static str,
}

impl Plan {
    /// Finds addresses and ports and makes the directories below `scratch`.
    ///
    /// # Errors
    /// There are not enough ports, or a directory cannot be made.
    pub fn new(scratch: &Path) -> io::Result<Self> {
        let addresses = ports::addresses((SERVERS + SIDECARS) as u8);
        let mut ports = ports::free(&addresses, (SERVERS + SIDECARS) * PORTS + SIDECARS)?;
        let mut hosts = Vec::new();
        for (index, address) in addresses.into_iter().enumerate() {
            let is_server = index < SERVERS;
            let name =
                if is_server { format!("server-{}", index + 1) } else { format!("sidecar-{}", index + 1 - SERVERS) };
            let own: [u16; PORTS] = std::array::from_fn(|_| ports.pop().unwrap_or_default());
            let directory = scratch.join(&name);
            fs::create_dir_all(directory.join("config"))?;
            let http = Agent::new(&format!("127.0.0.1:{}", own[HTTP]))
                .map_err(|error: AddressError| io::Error::other(error))?;
            let http = http.with_limit(REQUEST_LIMIT);
            hosts.push(Host { name, address, http, ports: own, is_server, directory });
        }
        let sidecars = hosts.split_off(SERVERS);
        let instances = ["file", "http"].into_iter().zip(&sidecars).zip(ports).enumerate();
        let instances = instances.map(|(index, ((tag, host), port))| Instance {
            name: format!("{SERVICE}-{}", index + 1),
            address: (host.address, port).into(),
            tag,
        });
        Ok(Self { instances: instances.collect(), servers: hosts, sidecars })
    }

    /// The command line of an agent. It joins by the servers' gossip addresses, its own left out.
    pub fn agent_arguments(&self, host: &Host) -> Vec<String> {
        let mut arguments: Vec<String> = vec!["agent".into()];
        if host.is_server {
            arguments.extend(["-server".into(), format!("-bootstrap-expect={SERVERS}")]);
        }
        arguments.extend([format!("-node={}", host.name), format!("-bind={}", host.address)]);
        arguments.push(format!("-data-dir={}", host.directory.join("data").display()));
        arguments.push(format!("-config-dir={}", host.config_directory().display()));
        for server in self.servers.iter().filter(|server| server.name != host.name) {
            arguments.push(format!("-retry-join={}:{}", server.address, server.ports[SERF_LAN]));
        }
        arguments.push("-retry-interval=500ms".into());
        for (flag, port) in PORT_FLAGS.iter().zip(host.ports) {
            arguments.push(format!("-{flag}={port}"));
        }
        arguments
    }

    /// The server whose Raft address is `address`.
    pub fn server_at(&self, address: &str) -> Option<&Host> {
        self.servers.iter().find(|server| format!("{}:{}", server.address, server.ports[SERVER]) == address)
    }

    /// Every agent, servers first.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.servers.iter().chain(&self.sidecars)
    }
}

const PORT_FLAGS: [&str; PORTS] =
    ["http-port", "dns-port", "serf-lan-port", "serf-wan-port", "server-port", "grpc-port"];
const HTTP: usize = 0;
const DNS: usize = 1;
const SERF_LAN: usize = 2;
const SERVER: usize = 4;

impl Host {
    /// Where it answers DNS.
    pub fn dns(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[DNS]).into()
    }

    /// Where it answers HTTP.
    pub fn http_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[HTTP]).into()
    }

    /// The directory of its configuration files.
    pub fn config_directory(&self) -> PathBuf {
        self.directory.join("config")
    }
}

impl Instance {
    /// The command line of the instance.
    pub fn arguments(&self) -> Vec<String> {
        vec!["hello".into(), format!("--listen={}", self.address), format!("--name={}", self.name)]
    }

    /// The configuration file that registers it.
    pub fn file(&self) -> String {
        let (name, tag, port, tcp) = (&self.name, self.tag, self.address.port(), self.address.to_string());
        let check = json!({ "name": "accepts connections", "tcp": tcp, "interval": "1s", "timeout": "500ms" });
        let service = json!({ "id": name, "name": SERVICE, "port": port, "tags": [tag], "check": check });
        format!("{:#}\n", json!({ "service": service }))
    }

    /// The body of the request that registers it.
    pub fn body(&self) -> String {
        let (name, tag, port, tcp) = (&self.name, self.tag, self.address.port(), self.address.to_string());
        let check = json!({ "Name": "accepts connections", "TCP": tcp, "Interval": "1s", "Timeout": "500ms" });
        json!({ "ID": name, "Name": SERVICE, "Port": port, "Tags": [tag], "Check": check }).to_string()
    }
}
