//! What is done to an agent. Each returns what was wrong with how the agent took it: nothing, as a rule.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};

use super::source::connect_from;
use crate::agent::Agent;

type Attack = fn(&Agent) -> Vec<String>;

/// All of them, by name.
pub(super) const ALL: [(&str, Attack); 8] = [
    ("slow heads", slow_heads),
    ("slow bodies", slow_bodies),
    ("answers that nobody reads", unread_answers),
    ("silent peers", silent_peers),
    ("large bodies", large_bodies),
    ("large heads", large_heads),
    ("deep nesting", deep_nesting),
    ("odd packets", odd_packets),
];

const SLOW_HEADS: usize = 100;
const SLOW_BODIES: usize = 60;
const UNREAD: usize = 40;
const SILENT: usize = 60;
/// Longest time until one who begins a head and does not end it is cut off: 10 seconds, and what a busy machine takes.
const HEAD_LIMIT: Duration = Duration::from_secs(20);
/// How long bodies come a byte at a time.
const BODY_TIME: Duration = Duration::from_secs(12);

const LARGE: usize = 100 << 20;
const DEEP: usize = 100_000;

/// Attackers come from these, one for each kind, so that each has its own share of connections.
fn from(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 9, number)
}

fn open(agent: &Agent, number: u8, count: usize, port: u16) -> Result<Vec<TcpStream>, String> {
    let target = agent.address(port);
    let opened: io::Result<Vec<_>> = (0..count).map(|_| connect_from(from(number), target)).collect();
    opened.map_err(|error| format!("no connection to {target}: {error}"))
}

/// The status of an answer; none where the connection was closed without one.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..length]);
        if answer.len() >= 12 {
            break;
        }
    }
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// Sends, and gives the status of the answer. The agent may hang up before it has everything.
fn exchange(agent: &Agent, number: u8, request: &[u8]) -> Result<Option<u16>, String> {
    let target = agent.address(agent.ports.http);
    let mut stream = connect_from(from(number), target).map_err(|error| format!("no connection: {error}"))?;
    let mut writer = stream.try_clone().map_err(|error| error.to_string())?;
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(request));
        Ok(status(&mut stream))
    })
}

fn slow_heads(agent: &Agent) -> Vec<String> {
    let mut streams = match open(agent, 1, SLOW_HEADS, agent.ports.http) {
        Ok(streams) => streams,
        Err(problem) => return vec![problem],
    };
    let began = Instant::now();
    let head = b"GET /v1/status/leader HTTP/1.1\r\nHost: ".iter().chain(std::iter::repeat(&b'x'));
    for byte in head {
        streams.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
        if streams.is_empty() {
            return Vec::new();
        }
        if began.elapsed() > HEAD_LIMIT {
            return vec![format!("{} are still served after {HEAD_LIMIT:?}", streams.len())];
        }
        thread::sleep(Duration::from_millis(500));
    }
    Vec::new()
}

/// They hold what they have sent, and no more; then they go.
fn slow_bodies(agent: &Agent) -> Vec<String> {
    let mut streams = match open(agent, 2, SLOW_BODIES, agent.ports.http) {
        Ok(streams) => streams,
        Err(problem) => return vec![problem],
    };
    for stream in &mut streams {
        let _ = stream.write_all(b"PUT /v1/kv/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n");
    }
    let began = Instant::now();
    while began.elapsed() < BODY_TIME {
        streams.retain_mut(|stream| stream.write_all(b"x").is_ok());
        thread::sleep(Duration::from_secs(1));
    }
    Vec::new()
}

/// Large answers that are asked for and not read.
fn unread_answers(agent: &Agent) -> Vec<String> {
    let mut streams = match open(agent, 3, UNREAD, agent.ports.http) {
        Ok(streams) => streams,
        Err(problem) => return vec![problem],
    };
    for stream in &mut streams {
        let requests = "GET /v1/agent/metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
        let _ = stream.write_all(requests.as_bytes());
    }
    thread::sleep(BODY_TIME);
    Vec::new()
}

/// Who connects to the servers' port and to that of applications and says nothing is cut off.
fn silent_peers(agent: &Agent) -> Vec<String> {
    let ports = [agent.ports.server, agent.ports.grpc];
    let opened: Result<Vec<_>, _> = ports.iter().map(|port| open(agent, 4, SILENT, *port)).collect();
    let began = Instant::now();
    let mut wrong = Vec::new();
    match opened {
        Err(problem) => wrong.push(problem),
        Ok(streams) => {
            for mut stream in streams.into_iter().flatten() {
                // The server's first words, and then the end.
                let _ = stream.read_to_end(&mut Vec::new());
            }
            if began.elapsed() > HEAD_LIMIT {
                wrong.push(format!("they are still there after {HEAD_LIMIT:?}"));
            }
        }
    }
    wrong
}

fn expect(wrong: &mut Vec<String>, what: &str, found: Result<Option<u16>, String>, wanted: &[u16]) {
    match found {
        Ok(Some(status)) if wanted.contains(&status) => {}
        other => wrong.push(format!("{what}: {other:?}, wanted {wanted:?}")),
    }
}

fn large_bodies(agent: &Agent) -> Vec<String> {
    let mut wrong = Vec::new();
    let body = vec![b' '; LARGE];
    for path in ["/v1/kv/large", "/v1/catalog/register", "/v1/txn", "/v1/agent/service/register"] {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n\r\n");
        expect(&mut wrong, path, exchange(agent, 5, &[head.as_bytes(), &body].concat()), &[413]);
    }
    // Of no length that is known before.
    let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let head = b"PUT /v1/kv/large HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect(&mut wrong, "chunked", exchange(agent, 5, &[&head[..], &chunk].concat()), &[413]);
    // An archive that is very much longer than it looks.
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packer.write_all(&body).and_then(|()| packer.write_all(&body)).and_then(|()| packer.finish());
    let packed = packed.unwrap_or_default();
    let head = format!("PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", packed.len());
    expect(&mut wrong, "an archive", exchange(agent, 5, &[head.as_bytes(), &packed].concat()), &[400, 500]);
    wrong
}

fn large_heads(agent: &Agent) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, bytes, wanted) in [("40 KiB", 40 << 10, 431), ("64 KiB", 64 << 10, 431), ("1 MiB", 1 << 20, 431)] {
        let head = format!("GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(bytes));
        for _ in 0..20 {
            expect(&mut wrong, what, exchange(agent, 6, head.as_bytes()), &[wanted]);
        }
    }
    let head = format!("GET /v1/kv/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(30_000));
    expect(&mut wrong, "a long path", exchange(agent, 6, head.as_bytes()), &[414]);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(5000));
    expect(&mut wrong, "many headers", exchange(agent, 6, head.as_bytes()), &[431]);
    wrong
}

fn deep_nesting(agent: &Agent) -> Vec<String> {
    let mut wrong = Vec::new();
    let deep = ["[".repeat(DEEP), "{\"a\":".repeat(DEEP), format!("{{\"Node\":\"n\",\"Service\":{}", "[".repeat(DEEP))];
    for path in [
        "/v1/catalog/register",
        "/v1/catalog/deregister",
        "/v1/agent/service/register",
        "/v1/agent/check/register",
        "/v1/session/create",
        "/v1/txn",
        "/v1/coordinate/update",
        "/v1/operator/autopilot/configuration",
    ] {
        for body in &deep {
            let request = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            expect(&mut wrong, path, exchange(agent, 7, request.as_bytes()), &[400, 413]);
        }
    }
    for filter in
        ["(".repeat(8000), "not%20".repeat(2500), format!("{}a==b", "a%20and%20".repeat(1500)), "a.".repeat(8000)]
    {
        let request = format!("GET /v1/catalog/nodes?filter={filter} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        expect(&mut wrong, "a filter", exchange(agent, 7, request.as_bytes()), &[400, 500]);
    }
    for (name, text) in [
        ("deep.hcl", "a = {\n".repeat(DEEP)),
        ("deep.json", "[".repeat(DEEP)),
        ("list.hcl", format!("a = {}", "[".repeat(DEEP))),
    ] {
        let path = agent.directory().join(name);
        let written = std::fs::write(&path, text);
        let output = agent.command(&["validate", &path.display().to_string()]);
        if written.is_err() || output.status.code() != Some(1) {
            wrong.push(format!("{name}: {}", output.status));
        }
    }
    wrong
}

/// Names that point to themselves or to each other, counts that lie, lengths that are none.
fn odd_packets(agent: &Agent) -> Vec<String> {
    let header = |questions: u16, others: u16| {
        let mut packet = vec![0, 7, 1, 0];
        [questions, others, others, others].iter().for_each(|count| packet.extend(count.to_be_bytes()));
        packet
    };
    let mut packets = vec![Vec::new(), vec![0xff; 4000], header(1, 0), header(u16::MAX, u16::MAX)];
    for name in [&b"\xc0\x0c"[..], b"\xc0\x0e\xc0\x0c", b"\x03www\xc0\x0c", b"\x3fshort", b"\xff\xff\xff", b"\x41x\0"] {
        packets.push([&header(1, 0)[..], name, &[0, 1, 0, 1]].concat());
    }
    // Each of very many names ends with the one before: as long as it is decoded, it doubles.
    let mut chain = [&header(1, 200)[..], b"\x01a\0", &[0, 1, 0, 1]].concat();
    for number in 0..200_u16 {
        let before = 12 + number * 12;
        chain.extend([b"\x01b".as_slice(), &(0xc000 | before).to_be_bytes(), &[0, 1, 0, 1, 0, 0, 0, 0]].concat());
    }
    packets.push(chain);
    match flood(agent.address(agent.ports.dns), &packets) {
        Ok(()) => Vec::new(),
        Err(error) => vec![error.to_string()],
    }
}

fn flood(target: SocketAddr, packets: &[Vec<u8>]) -> io::Result<()> {
    let socket = UdpSocket::bind((from(8), 0))?;
    for _ in 0..200 {
        for packet in packets {
            socket.send_to(packet, target)?;
        }
        thread::sleep(Duration::from_millis(5));
    }
    for packet in packets {
        let mut stream = connect_from(from(8), target)?;
        let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
        // It may hang up before it has everything.
        let _ = stream.write_all(&[&length.to_be_bytes()[..], packet].concat());
    }
    Ok(())
}
