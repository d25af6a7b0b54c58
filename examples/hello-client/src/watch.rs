//! Follows the passing instances of one service at an agent: blocking queries over one kept HTTP connection.
//!
//! Each query says the index of the last answer and the agent holds it until something has changed (Consul's HTTP
//! API, "Blocking Queries"). It never asks in a busy loop, whatever the agent answers: see `pause_after` and
//! `Backoff`. It keeps no set of hosts: `hosts.rs` does.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};

/// How long the agent is asked to hold a query.
pub const WAIT: Duration = Duration::from_secs(30);
/// After this a query is given up. The agent may add a sixteenth to the wait, and needs time to answer.
pub const QUERY_LIMIT: Duration = Duration::from_secs(40);
/// After this an attempt to connect to the agent is given up.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Bytes in the body of an answer; a longer one is an error.
pub const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Queries start at least this far apart.
pub const QUERY_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// Queries start at least this far apart if the agent answers at once though nothing has changed.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The first and the longest pause after an error; jitter takes off up to a half.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Why a query gave no instances.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or what came was no HTTP.
    #[error("the query failed: {0}")]
    Http(#[from] hyper::Error),
    /// An answer that says no; with the first line of its body.
    #[error("the agent answered {0}: {1}")]
    Status(StatusCode, String),
    /// The body broke off or is longer than [`BODY_MAX_BYTES`].
    #[error("the answer's body: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body is not a list of instances.
    #[error("the answer is no list of instances: {0}")]
    Json(#[from] serde_json::Error),
    /// No whole answer within [`QUERY_LIMIT`].
    #[error("no answer within {} s", QUERY_LIMIT.as_secs())]
    TimedOut,
    /// The agent's or the service's name cannot be in a request.
    #[error("cannot ask: {0}")]
    Request(#[source] hyper::http::Error),
}

/// What [`follow`] tells.
#[derive(Debug)]
pub enum Seen {
    /// All passing instances, after each answer.
    Instances(Instances),
    /// The first query failed, or the first since the last answer: only now and not at each new attempt.
    AgentLost(WatchError),
    /// An answer after [`Seen::AgentLost`]. The instances follow.
    AgentBack,
}

/// The instances of an answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Instances {
    /// Where to call them.
    pub hosts: Vec<SocketAddr>,
    /// Those that cannot be called, as `ID at ADDRESS:PORT`: the address is no IP address, or the port is 0.
    pub unusable: Vec<String>,
}

/// Sends what the agent says about the passing instances of `service` to `seen`, until its receiver is dropped.
/// `agent` is `HOST:PORT`; the host may be a name.
pub async fn follow(agent: String, service: String, seen: mpsc::Sender<Seen>) {
    let mut watch = Watch { agent, path: service_path(&service), sender: None, index: 0 };
    let (mut backoff, mut lost) = (Backoff::default(), false);
    while !seen.is_closed() {
        let (started, asked) = (Instant::now(), watch.index);
        let answer = timeout(QUERY_LIMIT, watch.query()).await.unwrap_or(Err(WatchError::TimedOut));
        let (news, pause) = match answer {
            Ok((instances, index)) => {
                if std::mem::take(&mut lost) && seen.send(Seen::AgentBack).await.is_err() {
                    return;
                }
                backoff = Backoff::default();
                watch.index = next_index(asked, index);
                (Some(Seen::Instances(instances)), pause_after(asked, index, started.elapsed()))
            }
            Err(error) => {
                // The next answer must come at once, to show that the agent is back.
                (watch.sender, watch.index) = (None, 0);
                let first = !std::mem::replace(&mut lost, true);
                (first.then_some(Seen::AgentLost(error)), backoff.pause(rand::random_range(0.5..=1.0)))
            }
        };
        if let Some(news) = news
            && seen.send(news).await.is_err()
        {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The index of the next query: 0, which is answered at once, when the agent's index went back (it was restored or
/// is another one) or is no index.
fn next_index(asked: u64, answered: Option<u64>) -> u64 {
    answered.filter(|answered| *answered >= asked).unwrap_or(0)
}

/// The pause between an answer that took `elapsed` and the next query. An agent that does not hold the query, or
/// gives no index to wait on, is polled slowly.
fn pause_after(asked: u64, answered: Option<u64>, elapsed: Duration) -> Duration {
    let unchanged = answered.unwrap_or(0) == 0 || answered == Some(asked);
    let interval = if unchanged { POLL_INTERVAL } else { QUERY_INTERVAL_MIN };
    interval.saturating_sub(elapsed)
}

/// Pauses that double with every error in a row.
#[derive(Debug, Default)]
struct Backoff {
    errors: u32,
}

impl Backoff {
    /// The pause after one more error; `jitter` (0.5 to 1) spreads the callers of an agent that went away.
    fn pause(&mut self, jitter: f64) -> Duration {
        let (first, longest) = BACKOFF;
        let pause = first.saturating_mul(1 << self.errors.min(16)).min(longest);
        self.errors = self.errors.saturating_add(1);
        pause.mul_f64(jitter)
    }
}

/// One query after the other on one connection.
struct Watch {
    agent: String,
    path: String,
    sender: Option<http1::SendRequest<Empty<Bytes>>>,
    /// Index of the last answer, 0 before the first.
    index: u64,
}

impl Watch {
    async fn query(&mut self) -> Result<(Instances, Option<u64>), WatchError> {
        let request =
            Request::get(format!("{}?passing&stale&index={}&wait={}s", self.path, self.index, WAIT.as_secs()))
                .header(header::HOST, &self.agent)
                .header(header::USER_AGENT, concat!("hello-client/", env!("CARGO_PKG_VERSION")))
                .body(Empty::new())
                .map_err(WatchError::Request)?;
        let answer = self.sender().await?.send_request(request).await?;
        let status = answer.status();
        let index = answer.headers().get("X-Consul-Index").and_then(|index| index.to_str().ok()?.parse().ok());
        let body = Limited::new(answer.into_body(), BODY_MAX_BYTES).collect().await.map_err(WatchError::Body)?;
        let body = body.to_bytes();
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body);
            return Err(WatchError::Status(status, text.lines().next().unwrap_or("").chars().take(200).collect()));
        }
        Ok((instances(&body)?, index))
    }

    /// The kept connection if the agent has not closed it, or a new one.
    async fn sender(&mut self) -> Result<&mut http1::SendRequest<Empty<Bytes>>, WatchError> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(self.sender.insert(sender));
        }
        let connected = timeout(CONNECT_LIMIT, TcpStream::connect(&self.agent)).await;
        let stream = connected.map_err(io::Error::from).flatten().map_err(WatchError::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped; its error comes out of the sender as well.
        tokio::spawn(connection);
        Ok(self.sender.insert(sender))
    }
}

/// `/v1/health/service/NAME`, with every byte of the name escaped that RFC 3986 section 2.3 does not leave alone.
fn service_path(service: &str) -> String {
    let mut path = String::from("/v1/health/service/");
    for byte in service.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    address: String,
    port: u16,
}

/// Reads the body of an answer. An instance without an address of its own has its node's.
fn instances(body: &[u8]) -> Result<Instances, serde_json::Error> {
    let mut instances = Instances::default();
    for Entry { node, service } in serde_json::from_slice::<Vec<Entry>>(body)? {
        let address = if service.address.is_empty() { node.address } else { service.address };
        match address.parse::<IpAddr>() {
            Ok(ip) if service.port != 0 => instances.hosts.push(SocketAddr::new(ip, service.port)),
            _ => instances.unusable.push(format!("{} at {address}:{}", service.id, service.port)),
        }
    }
    Ok(instances)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_the_next_query_and_the_pause_before_it() {
        let (soon, slow) = (QUERY_INTERVAL_MIN, POLL_INTERVAL);
        for (asked, answered, index, pause_at_once, what) in [
            (0, Some(7), 7, soon, "the first answer"),
            (7, Some(8), 8, soon, "a change"),
            (7, Some(7), 7, slow, "no change"),
            (7, Some(6), 0, soon, "the index went back"),
            (7, Some(0), 0, slow, "0 is no index"),
            (0, Some(0), 0, slow, "0 is no index"),
            (7, None, 0, slow, "no index at all"),
        ] {
            assert_eq!(next_index(asked, answered), index, "{what}");
            assert_eq!(pause_after(asked, answered, Duration::ZERO), pause_at_once, "{what}");
            assert_eq!(pause_after(asked, answered, WAIT), Duration::ZERO, "{what}, after the whole wait");
        }
    }

    #[test]
    fn pauses_after_errors_double_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..7).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(Backoff::default().pause(0.5).as_millis(), 100);
        assert_eq!(Backoff { errors: u32::MAX }.pause(1.0), BACKOFF.1);
    }

    #[test]
    fn addresses_of_instances() {
        for (service, node, expected) in [
            (r#""Address":"10.0.0.2","Port":80"#, "10.0.0.1", Ok("10.0.0.2:80")),
            (r#""Address":"","Port":80"#, "10.0.0.1", Ok("10.0.0.1:80")),
            (r#""Port":80"#, "::1", Ok("[::1]:80")),
            (r#""Address":"db.example","Port":80"#, "10.0.0.1", Err("x at db.example:80")),
            (r#""Address":"","Port":0"#, "10.0.0.1", Err("x at 10.0.0.1:0")),
        ] {
            let body = format!(r#"[{{"Node":{{"Address":"{node}"}},"Service":{{"ID":"x",{service}}},"Checks":[]}}]"#);
            let expected = match expected {
                Ok(host) => Instances { hosts: vec![host.parse().unwrap()], unusable: vec![] },
                Err(unusable) => Instances { hosts: vec![], unusable: vec![unusable.into()] },
            };
            assert_eq!(instances(body.as_bytes()).unwrap(), expected, "{body}");
        }
        assert_eq!(instances(b"[]").unwrap(), Instances::default());
        for bad in ["", "{}", "null", r#"[{"Node":{}}]"#] {
            assert!(instances(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths() {
        for (service, path) in [("hello-1", "hello-1"), ("a/b?c d", "a%2Fb%3Fc%20d"), ("é", "%C3%A9")] {
            assert_eq!(service_path(service), format!("/v1/health/service/{path}"));
        }
    }
}
