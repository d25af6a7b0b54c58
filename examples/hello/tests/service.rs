//! The service over real sockets, in this process and as the `hello` command.

#![allow(clippy::unwrap_used, reason = "clippy does not take the functions that tests call for tests")]

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use hello::{CONNECTIONS_MAX, LINE_MAX_BYTES, serve};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(20);

/// `serve` in a task of this process.
struct Service {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn service() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, "one".into(), async {
        let _ = stopped.await;
    }));
    Service { address, stop, task }
}

/// Sends all of `bytes`, ends that direction and returns all that came back.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn lines_and_answers() {
    let service = service().await;
    let longest = "x".repeat(LINE_MAX_BYTES);
    let refusal = format!("error: the line is longer than {LINE_MAX_BYTES} bytes\n");
    for (lines, answers) in [
        (String::new(), String::new()),
        ("a\n".into(), "hello from one: a\n".into()),
        ("a\r\n\nb".into(), "hello from one: a\nhello from one: \nhello from one: b\n".into()),
        (format!("{longest}\n"), format!("hello from one: {longest}\n")),
        (format!("{longest}\r\n"), format!("hello from one: {longest}\n")),
        (format!("{longest}x\n"), refusal.clone()),
        (format!("{longest}xy"), refusal),
    ] {
        assert_eq!(exchange(service.address, lines.as_bytes()).await, answers, "{} bytes", lines.len());
    }
}

#[tokio::test]
async fn the_port_is_free_and_connections_are_closed_after_stop() {
    let service = service().await;
    let mut stream = BufReader::new(TcpStream::connect(service.address).await.unwrap());
    stream.get_mut().write_all(b"a\n").await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    service.stop.send(()).unwrap();
    timeout(LIMIT, service.task).await.unwrap().unwrap().unwrap();
    assert_eq!(timeout(LIMIT, stream.read_line(&mut line)).await.unwrap().unwrap(), 0);
    TcpListener::bind(service.address).await.unwrap();
}

#[tokio::test]
async fn a_connection_above_the_limit_is_served_when_another_ends() {
    let service = service().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = BufReader::new(TcpStream::connect(service.address).await.unwrap());
        stream.get_mut().write_all(b"a\n").await.unwrap();
        stream.read_line(&mut String::new()).await.unwrap();
        held.push(stream);
    }
    let mut waiting = tokio::spawn(exchange(service.address, b"b\n"));
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "served above the limit");
    held.pop();
    assert_eq!(timeout(LIMIT, waiting).await.unwrap().unwrap(), "hello from one: b\n");
}

fn command(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hello"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn signal(child: &mut Child, name: &str) -> ExitStatus {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
    timeout(LIMIT, child.wait()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_command_prints_its_address_and_ends_cleanly_on_a_signal() {
    for name in ["-INT", "-TERM"] {
        let mut child = command(&["--name", "two"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap();
        assert_eq!(exchange(address.parse().unwrap(), b"x\n").await, "hello from two: x\n");
        assert_eq!(signal(&mut child, name).await.code(), Some(0), "{name}");
        assert_eq!(lines.next_line().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_port_in_use_and_a_bad_flag_are_named_with_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (arguments, needle) in [(["--listen", &address], address.as_str()), (["--listen", "nowhere"], "nowhere")] {
        let output = timeout(LIMIT, command(&arguments).wait_with_output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.lines().next().unwrap().contains(needle), "{text}");
        assert!(output.stdout.is_empty());
    }
}
