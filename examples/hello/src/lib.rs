//! A line echo service over TCP: the service that the examples, the tests and `lictor demo` register and find.
//!
//! Every line is answered with `hello from INSTANCE: LINE`, so a caller sees which instance it reached.
//! It never talks to the registry: registering it is its host's business (a file in `-config-dir`, or HTTP).
//! Its caller is `examples/hello-client`.

use std::{
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    task::JoinSet,
};

/// Connections served at once. Further ones wait in the kernel's queue until one of these ends.
pub const CONNECTIONS_MAX: usize = 512;
/// Bytes in a line without its end. A longer line is answered with an error line and the connection is closed.
pub const LINE_MAX_BYTES: usize = 8 * 1024;
/// A connection on which one line and its answer take longer than this, silence included, is closed.
pub const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// The command line of the service.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Name of this instance, part of every answer
    #[arg(long, value_name = "INSTANCE", default_value = "hello-1")]
    pub name: String,
}

/// Binds, prints the bound address as one line on stdout and serves until SIGINT or SIGTERM.
///
/// # Errors
/// The address cannot be bound (the message names it and says what to do), stdout is closed, or [`serve`] failed.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}; stop what listens there, or choose another address by --listen", options.listen)
    })?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?).and_then(|()| stdout.flush()).context("stdout")?;
    let stop = async {
        tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
    };
    serve(listener, options.name, stop).await.context("the listener failed")
}

/// Answers every line on every connection of `listener` until `stop` resolves; then the listener and all
/// connections are closed at once, and the port can be bound again when this returns. A caller that had not yet
/// got its answer sees a closed connection and asks another instance.
///
/// # Errors
/// The listener itself failed. What one connection does wrong ends that connection only.
pub async fn serve(listener: TcpListener, instance: String, stop: impl Future<Output = ()>) -> io::Result<()> {
    let instance: Arc<str> = instance.into();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    let accept = async || {
        let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
        listener.accept().await.map(|(stream, _)| (stream, permit))
    };
    let ended = loop {
        tokio::select! {
            () = &mut stop => break Ok(()),
            Some(_) = connections.join_next() => (),
            accepted = accept() => match accepted {
                Ok((stream, permit)) => {
                    let instance = Arc::clone(&instance);
                    connections.spawn(async move {
                        let _permit = permit;
                        // The peer's failures are the peer's: nobody here can mend them.
                        let _ = answer_lines(stream, &instance).await;
                    });
                }
                Err(error) if is_of_the_peer(&error) => (),
                Err(error) => break Err(error),
            },
        }
    };
    connections.shutdown().await;
    ended
}

/// `accept` reports what went wrong with a connection before it was taken from the queue: accept(2), "Errors".
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

/// One connection, until its end, an error, a line that is too long, or [`IDLE_LIMIT`].
async fn answer_lines(stream: TcpStream, instance: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while tokio::time::timeout(IDLE_LIMIT, answer_line(&mut stream, &mut line, instance)).await?? {}
    Ok(())
}

/// Reads one line and answers it. False when there is nothing more to read.
async fn answer_line(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>, instance: &str) -> io::Result<bool> {
    line.clear();
    let most = LINE_MAX_BYTES as u64 + 2;
    if (&mut *stream).take(most).read_until(b'\n', line).await? == 0 {
        return Ok(false);
    }
    let text = line.strip_suffix(b"\n").map_or(&line[..], |text| text.strip_suffix(b"\r").unwrap_or(text));
    if text.len() > LINE_MAX_BYTES {
        let refusal = format!("error: the line is longer than {LINE_MAX_BYTES} bytes\n");
        stream.get_mut().write_all(refusal.as_bytes()).await?;
        return Ok(false);
    }
    let answer = [b"hello from ", instance.as_bytes(), b": ", text, b"\n"].concat();
    stream.get_mut().write_all(&answer).await?;
    Ok(true)
}
