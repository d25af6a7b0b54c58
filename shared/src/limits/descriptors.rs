//! How many descriptors the process has, and which port may take how many of them.
//!
//! Each port takes connections up to its share, and refuses what is above it. So there is always one left for what a
//! node must be able to do whoever connects: write its log, run checks, ask other nodes. Where the system gives many
//! descriptors, the ports' own limits are lower than their shares and these do not matter.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for everything but connections from outside: sockets that listen, files, checks, connections that this
/// node opens.
const RESERVE: u64 = 96;
/// What is shared out at least, however few there are.
const LEAST: u64 = 32;

/// What connections come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The HTTP interface.
    Http,
    /// The servers' port.
    Rpc,
    /// The gRPC interface for applications.
    Grpc,
    /// The DNS interface by TCP.
    Dns,
}

/// How many descriptors this process may have open; the largest number where nothing limits it.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The connections that a port may have at once: its share of the descriptors, and no more than `most`.
#[must_use]
pub fn share(port: Port, most: usize) -> usize {
    share_of(getrlimit(Resource::Nofile).current, port).min(most)
}

fn share_of(descriptors: Option<u64>, port: Port) -> usize {
    let Some(descriptors) = descriptors else { return usize::MAX };
    let free = descriptors.saturating_sub(RESERVE).max(LEAST);
    // A tenth is left to the reserve.
    let tenths = match port {
        Port::Http => 5,
        Port::Rpc => 2,
        Port::Grpc | Port::Dns => 1,
    };
    usize::try_from(free / 10 * tenths).unwrap_or(usize::MAX)
}

/// Takes as many descriptors as the system lets this process have: the lower limit that processes begin with is for
/// programs that cannot count beyond 1024.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, ?limit, "the number of descriptors stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_some_for_the_node_itself() {
        for descriptors in [256, 1024, 1 << 20] {
            let ports = [Port::Http, Port::Rpc, Port::Grpc, Port::Dns];
            let shared: usize = ports.map(|port| share_of(Some(descriptors), port)).iter().sum();
            assert!(shared as u64 + RESERVE <= descriptors, "{descriptors}");
        }
        assert_eq!(share_of(Some(256), Port::Http), 80);
        assert!(share_of(Some(0), Port::Dns) > 0 && share_of(None, Port::Dns) == usize::MAX);
        assert_eq!(share(Port::Http, 7), 7);
    }
}
