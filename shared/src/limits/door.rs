//! Who may connect to a port that speaks HTTP/2: so many at once, and so many of them from one client. One more finds its
//! connection closed, since it has not said a word to which there could be an answer.
//!
//! Never waits with accepting until there is a place: whoever comes is told at once, and no queue grows in the kernel.

use std::{net::IpAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{Connections, Full, Places, Port, Seat, share};
use crate::metrics::Refusal;

/// How long no connection is accepted after the system had none left to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The way in to a port.
#[derive(Debug)]
pub struct Door {
    port: Port,
    places: Places,
    first_words: Duration,
}

impl Door {
    /// The way in to a port that takes `most` connections, if the process has so many descriptors.
    #[must_use]
    pub fn new(port: Port, most: usize, limits: Connections) -> Self {
        let Connections { per_client, first_words } = limits;
        Self { port, places: Places::new(share(port, most), per_client), first_words }
    }

    /// How long a peer may take for its first words.
    #[must_use]
    pub fn first_words(&self) -> Duration {
        self.first_words
    }

    /// The next connection that there is a place for.
    pub async fn next(&self, listener: &TcpListener) -> (TcpStream, Seat) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(seat) = self.seat(peer.ip()) {
                        return (stream, seat);
                    }
                    tracing::debug!(port = ?self.port, %peer, "there is no place for a connection");
                }
                Err(error) => {
                    tracing::warn!(%error, port = ?self.port, "no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn seat(&self, peer: IpAddr) -> Option<Seat> {
        let (all, of_client) = match self.port {
            Port::Rpc => (Refusal::RpcConnections, Refusal::RpcConnectionsOfClient),
            _ => (Refusal::GrpcConnections, Refusal::GrpcConnectionsOfClient),
        };
        let refused = |full| match full {
            Full::All => all.count(),
            Full::OfClient => of_client.count(),
        };
        self.places.seat(Some(peer)).map_err(refused).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_its_share_and_all_have_theirs() {
        let limits = Connections { per_client: 2, first_words: Duration::from_secs(1) };
        let door = Door::new(Port::Rpc, 4, limits);
        let client = |number: u8| IpAddr::from([10, 0, 0, number]);
        let held = [door.seat(client(1)).unwrap(), door.seat(client(1)).unwrap()];
        assert!(door.seat(client(1)).is_none());
        let others = [door.seat(client(2)).unwrap(), door.seat(client(3)).unwrap()];
        assert!(door.seat(client(4)).is_none(), "all are taken");
        drop(held);
        assert!(door.seat(client(1)).is_some());
        drop(others);
        let narrow = Door::new(Port::Rpc, 4, Connections { per_client: 100, ..limits });
        let held: Vec<Seat> = (0..3).map(|_| narrow.seat(client(1)).unwrap()).collect();
        assert!(narrow.seat(client(1)).is_none() && narrow.seat(client(2)).is_some(), "the last is for others");
        drop(held);
    }
}
