//! Host names to addresses, in DNS and the hosts file, by the system's settings: [`Names`] for what is looked up again
//! and again, [`addresses`] for a member to be joined: `10.0.0.1`, `[fd00::1]:8301`, `server-1.example`.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use hickory_resolver::{Resolver, TokioResolver};

/// How long a name may take to be looked up.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 16;
/// The files with the system's settings.
const SETTINGS: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// When each of the [`SETTINGS`] was changed last; none where there is no such file.
type Changed = [Option<SystemTime>; SETTINGS.len()];

/// One resolver for all who share it. It keeps answers for as long as their TTLs say, and starts anew when the system's
/// settings have changed.
#[derive(Default)]
pub struct Names {
    current: Mutex<Option<(Changed, TokioResolver)>>,
}

impl Names {
    /// The addresses of a name, at most 16.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let resolver = self.resolver()?;
        let lookup = tokio::time::timeout(LOOKUP_LIMIT, resolver.lookup_ip(name));
        let found = lookup.await.map_err(|_| "no answer in time")?.map_err(|error| error.to_string())?;
        let found: Vec<_> = found.iter().take(ADDRESSES).collect();
        if found.is_empty() { Err("it has no address".into()) } else { Ok(found) }
    }

    fn resolver(&self) -> Result<TokioResolver, String> {
        let changed = changed();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, resolver)) = current.as_ref().filter(|(seen, _)| *seen == changed) {
            return Ok(resolver.clone());
        }
        let made = Resolver::builder_tokio().and_then(|builder| builder.build());
        let made = made.map_err(|error| format!("the system's DNS settings cannot be read: {error}"))?;
        Ok(current.insert((changed, made)).1.clone())
    }
}

/// Asks the file system, which costs less than a packet.
fn changed() -> Changed {
    SETTINGS.map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

/// The addresses that `text` (an IP address or a host name, with or without a port) stands for. Nothing is kept: who
/// joins again after a failure wants to know what is true now.
///
/// # Errors
/// A sentence that names what could not be read or looked up.
pub async fn addresses(text: &str, default_port: u16) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = split(text, default_port)?;
    let found = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => {
            Names::default().lookup(host).await.map_err(|reason| format!("Failed to resolve {text}: {reason}"))?
        }
    };
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

fn split(text: &str, default_port: u16) -> Result<(&str, u16), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text, default_port));
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => default_port,
        Some(port) => port.parse().map_err(|_| format!("{text}: {port:?} is not a port (1 to 65535)"))?,
    };
    if host.is_empty() { Err(format!("{text:?} has no host in it")) } else { Ok((host, port)) }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    use hickory_proto::{
        op::{Message, MessageType},
        rr::{RData, Record, RecordType, rdata::A},
    };
    use hickory_resolver::{
        config::{ConnectionConfig, NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };
    use tokio::net::UdpSocket;

    use super::*;

    /// A DNS server that knows an address for every name, with this TTL; and the questions for one that it was asked.
    async fn dns_server(ttl: u32) -> (SocketAddr, Arc<AtomicUsize>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let mut message = Message::from_vec(&packet[..length]).unwrap();
                message.metadata.message_type = MessageType::Response;
                let question = message.queries[0].clone();
                if question.query_type() == RecordType::A {
                    count.fetch_add(1, Relaxed);
                    let data = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
                    message.answers.push(Record::from_rdata(question.name().clone(), ttl, data));
                }
                socket.send_to(&message.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        (address, asked)
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_ttl() {
        for (ttl, questions) in [(300, 1), (0, 3)] {
            let (server, asked) = dns_server(ttl).await;
            let mut udp = ConnectionConfig::udp();
            udp.port = server.port();
            let server = NameServerConfig::new(server.ip(), true, vec![udp]);
            let config = ResolverConfig::from_parts(None, vec![], vec![server]);
            let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap();
            let names = Names { current: Mutex::new(Some((changed(), resolver))) };
            for _ in 0..3 {
                assert_eq!(names.lookup("web.test.").await.unwrap(), [IpAddr::from([192, 0, 2, 1])]);
            }
            assert_eq!(asked.load(Relaxed), questions, "TTL {ttl}");
        }
    }

    #[tokio::test]
    async fn changed_settings_make_a_new_resolver() {
        let names = Names::default();
        names.resolver().unwrap();
        let before = [Some(SystemTime::UNIX_EPOCH); 2];
        names.current.lock().unwrap().as_mut().unwrap().0 = before;
        names.resolver().unwrap();
        assert_ne!(names.current.lock().unwrap().as_ref().unwrap().0, before);
    }

    #[test]
    fn hosts_and_ports() {
        for (text, expected) in [
            ("10.0.0.1", Ok(("10.0.0.1", 8301))),
            ("10.0.0.1:9", Ok(("10.0.0.1", 9))),
            ("fd00::1", Ok(("fd00::1", 8301))),
            ("[fd00::1]", Ok(("fd00::1", 8301))),
            ("[fd00::1]:9", Ok(("fd00::1", 9))),
            ("server-1.example", Ok(("server-1.example", 8301))),
            ("server-1:9", Ok(("server-1", 9))),
            ("server-1:http", Err("server-1:http: \"http\" is not a port (1 to 65535)")),
            (":9", Err("\":9\" has no host in it")),
            ("", Err("\"\" has no host in it")),
        ] {
            assert_eq!(split(text, 8301), expected.map_err(String::from), "{text}");
        }
    }

    #[tokio::test]
    async fn names_of_the_hosts_file_are_known() {
        let found = addresses("localhost:7", 8301).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
    }
}
