//! What can go wrong with a pool, in sentences for operators.

use std::{fmt, io, net::SocketAddr, time::Duration};

use super::member::RecordError;

/// Why a pool did not start.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Another process listens there.
    #[error(
        "gossip cannot listen on {protocol} {address}: the port is in use; stop the process that has it or configure another port"
    )]
    AddressInUse {
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// Where we wanted to listen.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("gossip cannot listen on {protocol} {address}: {reason}")]
    Listen {
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// Where we wanted to listen.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// The address that would be told to others is not one.
    #[error("gossip cannot tell others the address {0}: configure an advertise address with an IP of this host")]
    Advertise(SocketAddr),
    /// Our own name or tags are out of bounds.
    #[error("gossip: {0}")]
    Own(#[from] RecordError),
}

/// No given address could be joined. The text is the one Consul answers to `agent/join`.
#[derive(Debug)]
pub struct JoinError {
    /// Each address with its cause, in the order given.
    pub failures: Vec<(SocketAddr, ExchangeError)>,
}

impl fmt::Display for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.failures.len();
        writeln!(formatter, "{count} error{} occurred:", if count == 1 { "" } else { "s" })?;
        for (address, cause) in &self.failures {
            writeln!(formatter, "\t* Failed to join {address}: {cause}")?;
        }
        writeln!(formatter)
    }
}

impl std::error::Error for JoinError {}

/// Why an exchange with one peer failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection.
    #[error("dial tcp {address}: {}", connect_text(reason))]
    Connect {
        /// Whom we called.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// The connection broke.
    #[error("the exchange with {address} broke: {reason}")]
    Stream {
        /// With whom.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// It took too long.
    #[error("{address} did not answer within {} s", limit.as_secs())]
    TimedOut {
        /// Whom we asked.
        address: SocketAddr,
        /// How long we waited.
        limit: Duration,
    },
    /// The answer is not one of this protocol.
    #[error("{address} gave an answer that is not understood: {reason}")]
    Protocol {
        /// Whose answer.
        address: SocketAddr,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer would not have us.
    #[error("{address} refused: {reason}")]
    Refused {
        /// Who refused.
        address: SocketAddr,
        /// Its words.
        reason: String,
    },
    /// This node has left the pool.
    #[error("this node has left the pool; restart it to join again")]
    Left,
}

/// The words that Consul's clients know for the usual causes.
fn connect_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".into(),
        io::ErrorKind::TimedOut => "i/o timeout".into(),
        _ => format!("connect: {error}"),
    }
}

/// No member has the name. The text is the one Consul answers to `agent/force-leave`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("No node found with name '{0}'")]
pub struct UnknownMember(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_join_reads_as_consul_writes_it() {
        let address = "127.0.0.1:1".parse().unwrap();
        let reason = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = JoinError { failures: vec![(address, ExchangeError::Connect { address, reason })] };
        assert_eq!(
            error.to_string(),
            "1 error occurred:\n\t* Failed to join 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\n\n"
        );
    }
}
