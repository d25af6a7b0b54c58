//! Connections to the hosts and one call on them: a line out, a line back.
//!
//! A connection is kept between calls. It is used again only after a whole answer, so an answer that comes late is
//! never taken for the next call's. Which host is called is decided in `lib.rs` by `hosts.rs`.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// One call to one host may take this long, opening its connection included.
pub const CALL_LIMIT: Duration = Duration::from_secs(1);
/// Bytes in an answer with its line end; a longer one breaks the connection.
pub const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// One connection to a host, with no call under way.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects to `host`; the time is bounded by the caller.
    ///
    /// # Errors
    /// What the socket says, such as a refusal.
    pub async fn open(host: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends `line` (without its end) and returns the answer (without its end). After an error, or when dropped
    /// before it is done, the connection must not be used again.
    ///
    /// # Errors
    /// What the socket says, `UnexpectedEof` without a whole answer, `InvalidData` above [`ANSWER_MAX_BYTES`].
    pub async fn call(&mut self, line: &str) -> io::Result<String> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = Vec::new();
        (&mut self.0).take(ANSWER_MAX_BYTES).read_until(b'\n', &mut answer).await?;
        match answer.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&answer).into_owned()),
            Some(_) if answer.len() as u64 + 1 == ANSWER_MAX_BYTES => {
                Err(io::Error::new(ErrorKind::InvalidData, format!("the answer has over {ANSWER_MAX_BYTES} bytes")))
            }
            _ => Err(io::Error::new(ErrorKind::UnexpectedEof, "the host closed the connection")),
        }
    }
}

/// At most one idle connection for each host of the set.
#[derive(Debug, Default)]
pub struct Pool {
    idle: HashMap<SocketAddr, Connection>,
    opening: JoinSet<(SocketAddr, Option<Connection>)>,
}

impl Pool {
    /// Starts to open a connection to `host`, so that the first call finds one. If that fails, a call tries again.
    pub fn open(&mut self, host: SocketAddr) {
        self.opening.spawn(async move {
            let opened = timeout(CALL_LIMIT, Connection::open(host)).await;
            (host, opened.ok().and_then(Result::ok))
        });
    }

    /// Takes in the connections opened since, of the hosts that `is_host` still knows.
    pub fn collect(&mut self, is_host: impl Fn(SocketAddr) -> bool) {
        while let Some(opened) = self.opening.try_join_next() {
            if let Ok((host, Some(connection))) = opened
                && is_host(host)
            {
                self.idle.entry(host).or_insert(connection);
            }
        }
    }

    /// Closes the connection to `host`.
    pub fn close(&mut self, host: SocketAddr) {
        self.idle.remove(&host);
    }

    /// Calls `host` with `line` on its connection. A connection that has broken since the last call is opened
    /// again and the line is sent once more (so a host may see a line twice: calls must be repeatable).
    ///
    /// # Errors
    /// The host refused, broke the new connection too, or did not answer in [`CALL_LIMIT`] (`TimedOut`).
    pub async fn call(&mut self, host: SocketAddr, line: &str) -> io::Result<String> {
        let kept = self.idle.remove(&host);
        let (connection, answer) = timeout(CALL_LIMIT, call_once_more(kept, host, line)).await??;
        self.idle.insert(host, connection);
        Ok(answer)
    }
}

async fn call_once_more(kept: Option<Connection>, host: SocketAddr, line: &str) -> io::Result<(Connection, String)> {
    if let Some(mut connection) = kept
        && let Ok(answer) = connection.call(line).await
    {
        return Ok((connection, answer));
    }
    let mut connection = Connection::open(host).await?;
    let answer = connection.call(line).await?;
    Ok((connection, answer))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A host that answers the connections it accepts with these bytes, one after the other, and closes each.
    async fn host(answers: Vec<Vec<u8>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                stream.read_line(&mut String::new()).await.unwrap();
                stream.get_mut().write_all(&answer).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_and_what_is_none() {
        let longest = ANSWER_MAX_BYTES as usize - 1;
        let whole = [vec![b'x'; longest], b"\n".to_vec()].concat();
        for (bytes, expected) in [
            (b"yes\n".to_vec(), Ok("yes".to_owned())),
            (b"\xff\n".to_vec(), Ok("\u{fffd}".to_owned())),
            (whole, Ok("x".repeat(longest))),
            (vec![b'x'; longest + 1], Err(ErrorKind::InvalidData)),
            (b"ye".to_vec(), Err(ErrorKind::UnexpectedEof)),
            (b"".to_vec(), Err(ErrorKind::UnexpectedEof)),
        ] {
            let address = host(vec![bytes]).await;
            let answer = Pool::default().call(address, "x").await;
            assert_eq!(answer.map_err(|error| error.kind()), expected);
        }
    }

    #[tokio::test]
    async fn a_broken_connection_is_opened_again() {
        let address = host(vec![b"1\n".to_vec(), b"2\n".to_vec()]).await;
        let mut pool = Pool::default();
        for expected in ["1", "2"] {
            assert_eq!(pool.call(address, "x").await.unwrap(), expected);
        }
        assert!(pool.call(address, "x").await.is_err());
        assert!(pool.idle.is_empty());
    }

    #[tokio::test]
    async fn a_host_that_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = Pool::default().call(listener.local_addr().unwrap(), "x").await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
