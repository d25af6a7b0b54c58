//! One HTTP/1.1 connection that is kept: what is measured is the write, not the way to it.
//!
//! It knows answers with a Content-Length only; for all else there is [`crate::http`].

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A connection, made when it is needed and again after a failure.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// To the HTTP interface there.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request with a body and gives the status and the body of the answer. After an error it is not known
    /// whether the request was done.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, ANSWER_LIMIT)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_LIMIT))?;
                BufReader::new(stream)
            }
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", self.address, body.len());
        stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let answer = receive(&mut stream)?;
        self.stream = Some(stream);
        Ok(answer)
    }
}

fn receive(stream: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
    let malformed = |line: &str| io::Error::other(format!("not the answer that was expected: {line:?}"));
    let (mut line, mut status, mut length) = (String::new(), None, None);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if status.is_none() {
            let code = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
            status = Some(code.ok_or_else(|| malformed(text))?);
        } else if text.is_empty() {
            break;
        } else if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
    let length: u64 = length.ok_or_else(|| malformed("no length"))?;
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((status.unwrap_or(0), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_come_one_after_the_other_and_half_a_one_is_none() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrueHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        let mut stream = &bytes[..];
        assert_eq!(receive(&mut stream).unwrap(), (200, b"true".to_vec()));
        assert_eq!(receive(&mut stream).unwrap(), (500, Vec::new()));
        assert!(receive(&mut stream).is_err());
        assert!(receive(&mut &b"HTTP/1.1 200 OK\r\n\r\n"[..]).is_err(), "it has no length");
    }
}
