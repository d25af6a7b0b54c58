//! unbound with the same records as local data: what a DNS server in C that does nothing else makes of this machine.

use std::{fmt::Write, fs, net::UdpSocket, path::Path};

use lictor_tests::{ports, process::Process};

use super::{command, wait_for};
use crate::registry;

/// A running unbound. It ends when dropped.
#[derive(Debug)]
pub struct Unbound {
    /// Where it answers.
    pub port: u16,
    process: Process,
}

impl Unbound {
    /// Starts it with the A and SRV records of services with so many instances.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(directory: &Path, services: &[(String, usize)]) -> Self {
        let port = ports::free();
        let file = directory.join("unbound.conf");
        fs::write(&file, configuration(port, services)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut process = Process::start("unbound", directory, command("unbound").arg("-d").arg("-c").arg(&file));
        // Its port is taken once it listens.
        wait_for("unbound", &mut process, || UdpSocket::bind(("127.0.0.1", port)).is_err());
        Self { port, process }
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

fn configuration(port: u16, services: &[(String, usize)]) -> String {
    let mut text = format!(
        "server:\n  interface: 127.0.0.1@{port}\n  num-threads: 1\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  \
         directory: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  module-config: \"iterator\"\n  minimal-responses: no\n  \
         local-zone: \"consul.\" static\n"
    );
    for (service, instances) in services {
        for host in 0..*instances {
            let (address, port) = (registry::address(host), registry::PORT);
            // Writing to a text does not fail.
            let _ = writeln!(text, "  local-data: \"{service}.service.consul. 0 IN A {address}\"");
            let target = format!("host-{host}.node.dc1.consul.");
            let _ = writeln!(text, "  local-data: \"{service}.service.consul. 0 IN SRV 1 1 {port} {target}\"");
        }
    }
    text + "remote-control:\n  control-enable: no\n"
}
