//! Handshakes between two nodes of one process, over loopback: who is taken as what, and who is refused why.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    settings::{Interface, Pair, Source},
    *,
};

const LIMIT: Duration = Duration::from_secs(10);

/// Issues certificates into a directory.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(directory.path().join("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { directory, issuer: Issuer::new(parameters, key) }
    }

    /// A certificate for these names that holds until that year, in files of that name.
    fn issue(&self, file: &str, names: &[&str], until: i32) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let source = |ending: &str, text: String| {
            let source = Source::new("tls.internal_rpc", self.directory.path().join(format!("{file}{ending}")));
            fs::write(&source.path, text).unwrap();
            source
        };
        Pair { certificate: source(".pem", certificate.pem()), key: source("-key.pem", key.serialize_pem()) }
    }

    fn ca(&self) -> Source {
        Source::new("tls.internal_rpc.ca_file", self.directory.path().join("ca.pem"))
    }

    /// Settings of a node of `dc1` that demands certificates and server's names.
    fn strict(&self, pair: Option<Pair>) -> Settings {
        let internal_rpc = Interface {
            ca_file: Some(self.ca()),
            pair,
            verify_incoming: true,
            verify_outgoing: true,
            ..Interface::default()
        };
        let (datacenter, domain) = ("dc1".into(), "consul".into());
        Settings { datacenter, domain, internal_rpc, verify_server_hostname: true, ..Settings::default() }
    }

    fn server(&self) -> Settings {
        self.strict(Some(self.issue("server", &["server.dc1.consul"], 2100)))
    }
}

fn tls(settings: &Settings) -> Arc<Tls> {
    Tls::open(settings).unwrap()
}

/// Two ends of a connection.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// What each end says of a handshake and a byte that the asking end sends: the asked one who the other is.
async fn meet(asking: &Arc<Tls>, asked: &Arc<Tls>) -> (io::Result<()>, io::Result<Peer>) {
    let (ours, theirs) = connection().await;
    let mut arrival = Arrival::new(theirs, asked.clone(), Port::Rpc);
    let ask = async {
        let mut stream = asking.connect(ours, "dc1").await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        // The other end may refuse later than this one has shaken hands.
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map(|_| ())
    };
    let answer = async {
        let mut byte = [0];
        arrival.read_exact(&mut byte).await?;
        arrival.write_all(&byte).await?;
        arrival.flush().await?;
        Ok(arrival.seen().peer())
    };
    timeout(LIMIT, async { tokio::join!(ask, answer) }).await.unwrap()
}

fn reason<T: fmt::Debug>(result: io::Result<T>) -> Option<Refusal> {
    Refusal::of(&result.unwrap_err())
}

#[tokio::test]
async fn who_asks_is_known_by_the_certificate() {
    let authority = Authority::new();
    let asked = tls(&authority.server());
    for (names, expected) in [
        (&["server.dc1.consul"][..], Peer::Server { datacenter: "dc1".into() }),
        (&["n.server.dc2.consul"], Peer::Server { datacenter: "dc2".into() }),
        (&["client.dc1.consul", "localhost"], Peer::Client { datacenter: "dc1".into() }),
        (&["somebody.example"], Peer::Unnamed),
    ] {
        let asking = tls(&authority.strict(Some(authority.issue("asking", names, 2100))));
        let (ask, answer) = meet(&asking, &asked).await;
        ask.unwrap();
        assert_eq!(answer.unwrap(), expected, "{names:?}");
    }
}

#[tokio::test]
async fn who_is_refused_and_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let asked = tls(&authority.server());
    let mut settings = authority.server();
    settings.internal_rpc.pair = Some(authority.issue("expired", &["client.dc1.consul"], 2021));
    assert_eq!(reason(meet(&tls(&settings), &asked).await.1), Some(Refusal::Expired));
    settings.internal_rpc.pair = Some(stranger.issue("strange", &["server.dc1.consul"], 2100));
    assert_eq!(reason(meet(&tls(&settings), &asked).await.1), Some(Refusal::Untrusted));
    (settings.internal_rpc.pair, settings.internal_rpc.verify_incoming) = (None, false);
    assert_eq!(reason(meet(&tls(&settings), &asked).await.1), Some(Refusal::NoCertificate));
    // Who does not demand one takes anyone.
    let mut lenient = authority.server();
    lenient.internal_rpc.verify_incoming = false;
    assert_eq!(meet(&tls(&settings), &tls(&lenient)).await.1.unwrap(), Peer::Anonymous);
}

#[tokio::test]
async fn servers_that_are_none_are_not_asked() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let strict = authority.server();
    let lenient = Settings { verify_server_hostname: false, ..strict.clone() };
    for (issuer, names, until, by_strict, by_lenient) in [
        (&authority, "server.dc1.consul", 2100, None, None),
        (&authority, "server.dc2.consul", 2100, Some(Refusal::Role), None),
        (&authority, "registry.example", 2100, Some(Refusal::Role), None),
        (&authority, "client.dc1.consul", 2100, Some(Refusal::Role), Some(Refusal::Role)),
        (&authority, "server.dc1.consul", 2021, Some(Refusal::Expired), Some(Refusal::Expired)),
        (&stranger, "server.dc1.consul", 2100, Some(Refusal::Untrusted), Some(Refusal::Untrusted)),
    ] {
        let mut settings = authority.server();
        settings.internal_rpc.pair = Some(issuer.issue("asked", &[names], until));
        let asked = tls(&settings);
        for (asking, expected) in [(&strict, by_strict), (&lenient, by_lenient)] {
            let (ask, _) = meet(&tls(asking), &asked).await;
            assert_eq!(ask.err().and_then(|error| Refusal::of(&error)), expected, "{names} until {until}");
        }
    }
}

#[tokio::test]
async fn without_tls_only_where_certificates_are_not_demanded() {
    let authority = Authority::new();
    let mut settings = authority.server();
    for verifies in [true, false] {
        settings.internal_rpc.verify_incoming = verifies;
        let (mut ours, theirs) = connection().await;
        let mut arrival = Arrival::new(theirs, tls(&settings), Port::Rpc);
        ours.write_all(b"PRI").await.unwrap();
        let mut bytes = [0; 3];
        let read = arrival.read_exact(&mut bytes).await;
        assert_eq!(read.is_ok(), !verifies);
        assert_eq!((arrival.seen().peer(), &bytes == b"PRI"), (Peer::Plain, !verifies));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_time_limit() {
    let authority = Authority::new();
    // Nothing at all, and the beginning of a handshake.
    for beginning in [&b""[..], &[22, 3, 1, 0, 200]] {
        let (mut ours, theirs) = connection().await;
        ours.write_all(beginning).await.unwrap();
        let mut arrival = Arrival::new(theirs, tls(&authority.server()), Port::Rpc);
        assert_eq!(reason(arrival.read_u8().await), Some(Refusal::TooSlow), "{beginning:?}");
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let authority = Authority::new();
    for (sent, expected) in [(&[22, 3, 3, 0, 4, 9, 9, 9, 9][..], Some(Refusal::Malformed)), (&[], None)] {
        let (mut ours, theirs) = connection().await;
        ours.write_all(sent).await.unwrap();
        ours.shutdown().await.unwrap();
        let mut arrival = Arrival::new(theirs, tls(&authority.server()), Port::Rpc);
        let error = timeout(LIMIT, arrival.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(Refusal::of(&error), expected, "{sent:?}: {error}");
    }
}

#[tokio::test]
async fn what_has_tls_keeps_it_and_nothing_gets_it_without_a_restart() {
    let authority = Authority::new();
    let strict = authority.server();
    let bare = Settings { datacenter: "dc1".into(), domain: "consul".into(), ..Settings::default() };
    let with = tls(&strict);
    with.take(Tls::read(&bare).unwrap());
    assert!(with.secures_rpc() && with.asks_by_tls() && with.rpc_verifies());
    meet(&tls(&strict), &with).await.1.unwrap();
    let without = tls(&bare);
    without.take(Tls::read(&strict).unwrap());
    assert!(!without.is_on());
    // What is demanded of others is taken over.
    let mut lenient = strict.clone();
    lenient.internal_rpc.verify_incoming = false;
    with.take(Tls::read(&lenient).unwrap());
    assert!(!with.rpc_verifies());
}

fn not_after(tls: &Tls) -> i64 {
    tls.certificates().iter().find(|dated| !dated.is_ca).unwrap().validity.not_after
}

fn overwrite(path: &Path, text: &str) {
    // Another inode, so that it is a change whatever the clock's steps are.
    fs::remove_file(path).unwrap();
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn renewed_files_are_for_new_connections_and_broken_ones_for_none() {
    let authority = Authority::new();
    let settings = authority.server();
    let (asking, asked) = (tls(&authority.server()), tls(&settings));
    let (ours, theirs) = connection().await;
    let mut arrival = Arrival::new(theirs, asked.clone(), Port::Rpc);
    let ask = async {
        let mut stream = asking.connect(ours, "dc1").await.unwrap();
        stream.write_all(b"a").await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let both = async { tokio::join!(ask, arrival.read_u8()) };
    let (mut old, read) = timeout(LIMIT, both).await.unwrap();
    assert_eq!(read.unwrap(), b'a');
    let first = not_after(&asked);

    fs::remove_file(&settings.internal_rpc.pair.as_ref().unwrap().certificate.path).unwrap();
    authority.issue("server", &["server.dc1.consul"], 2090);
    asked.look();
    let renewed = not_after(&asked);
    assert!(renewed < first, "{renewed} {first}");
    meet(&asking, &asked).await.1.unwrap();
    // The connection from before goes on.
    old.write_all(b"x").await.unwrap();
    old.flush().await.unwrap();
    assert_eq!(timeout(LIMIT, arrival.read_u8()).await.unwrap().unwrap(), b'x');

    overwrite(&settings.internal_rpc.pair.as_ref().unwrap().certificate.path, "-----BEGIN CERTIFICATE-----\nx");
    asked.look();
    assert_eq!(not_after(&asked), renewed);
    meet(&asking, &asked).await.1.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let settings = authority.server();
    let pair = settings.internal_rpc.pair.clone().unwrap();
    let other = authority.issue("other", &["server.dc1.consul"], 2100);
    let nowhere = Source::new("tls.internal_rpc.cert_file", "/nowhere/c.pem");
    let with = |certificate: &Source, key: &Source, ca: Source| {
        let mut settings = settings.clone();
        settings.internal_rpc.pair = Some(Pair { certificate: certificate.clone(), key: key.clone() });
        settings.internal_rpc.ca_file = Some(ca);
        Tls::open(&settings).unwrap_err().to_string()
    };
    for (error, expected) in [
        (with(&nowhere, &pair.key, authority.ca()), "tls.internal_rpc.cert_file: /nowhere/c.pem: cannot be read"),
        (with(&pair.key, &pair.key, authority.ca()), "server-key.pem: has no certificate"),
        (with(&pair.certificate, &pair.certificate, authority.ca()), "server.pem: has no private key"),
        (
            with(&pair.certificate, &other.key, authority.ca()),
            "other-key.pem: is not the key of the certificate beside it",
        ),
        (with(&pair.certificate, &pair.key, pair.key.clone()), "server-key.pem: has no certificate"),
    ] {
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
