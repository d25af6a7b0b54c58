//! A small HTTP/1.1 client: one request per connection, every step bounded by a time-out.
//!
//! Written here and not taken from a crate so that a test sees the bytes of the answer as they are: its headers in
//! order, no redirect followed, no content decoded.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Longest time for connecting, and for each read and write.
const TIME_OUT: Duration = Duration::from_secs(10);

/// How much of a broken answer is shown, in bytes.
const SHOWN_BYTES: usize = 1024;

/// Asks one agent.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
    time_out: Duration,
    token: Option<&'static str>,
}

/// What it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and their values, in the order of the answer.
    pub headers: Vec<(String, String)>,
    /// The body, its transfer coding undone.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// There was no connection: nobody has got the request.
    Unsent(io::Error),
    /// The request may have been got and done, wholly, or later, or not.
    Unknown(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unsent(error) | Self::Unknown(error)) = self;
        error.fmt(f)
    }
}

impl Client {
    /// A client of the agent whose HTTP port on 127.0.0.1 is `port`.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// A client of the agent whose HTTP interface is there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address, time_out: TIME_OUT, token: None }
    }

    /// The same with another limit for each read: blocking queries need a longer one.
    #[must_use]
    pub fn with_time_out(self, time_out: Duration) -> Self {
        Self { time_out, ..self }
    }

    /// The same that shows this token, or none.
    #[must_use]
    pub fn showing(self, token: Option<&'static str>) -> Self {
        Self { token, ..self }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// No connection, no answer in time, or an answer that is not HTTP.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        self.attempt(method, path, headers, body)
            .map_err(|failure| format!("{method} http://{}{path}: {failure}", self.address))
    }

    /// Sends a request, once, and tells what is known of it when there is no answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn attempt(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Failure> {
        let stream = TcpStream::connect_timeout(&self.address, self.time_out).map_err(Failure::Unsent)?;
        self.exchange(stream, method, path, headers, body).map_err(Failure::Unknown)
    }

    fn exchange(
        &self,
        mut stream: TcpStream,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        stream.set_read_timeout(Some(self.time_out))?;
        stream.set_write_timeout(Some(self.time_out))?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(token) = self.token {
            request.push_str(&format!("X-Consul-Token: {token}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method != "GET" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        stream.write_all(&[request.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| {
            let (length, start) = (answer.len(), String::from_utf8_lossy(&answer[..answer.len().min(SHOWN_BYTES)]));
            io::Error::other(format!("not HTTP, or not whole: {length} bytes, from {start:?}"))
        })
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn get(&self, path: &str) -> Result<Answer, String> {
        self.send("GET", path, &[], b"")
    }

    /// GET that must be answered with 200 and JSON.
    ///
    /// # Errors
    /// As [`Client::send`], and any other status or body.
    pub fn json(&self, path: &str) -> Result<Value, String> {
        let answer = self.get(path)?;
        let text = answer.text();
        match serde_json::from_slice(&answer.body) {
            Ok(value) if answer.status == 200 => Ok(value),
            _ => Err(format!("GET http://{}{path}: {} {text}", self.address, answer.status)),
        }
    }

    /// PUT that must be answered with 200.
    ///
    /// # Errors
    /// As [`Client::send`], and any other status.
    pub fn put(&self, path: &str, body: &Value) -> Result<Answer, String> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.send("PUT", path, &[], &body)?;
        match answer.status {
            200 => Ok(answer),
            status => Err(format!("PUT http://{}{path}: {status} {}", self.address, answer.text())),
        }
    }
}

impl Answer {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A whole answer, read until the end of the connection; none if it is cut off or malformed.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let (version, status) = lines.next()?.split_once(' ')?;
    let status = status.get(..3).filter(|_| ["HTTP/1.1", "HTTP/1.0"].contains(&version))?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    let rest = &bytes[end + 4..];
    answer.body = if answer.header("transfer-encoding") == Some("chunked") {
        unchunk(rest)?
    } else {
        let length = answer.header("content-length").map_or(Some(rest.len()), |length| length.parse().ok())?;
        rest.get(..length)?.to_vec()
    };
    Some(answer)
}

/// RFC 9112, section 7.1, without trailers.
fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(line + 2..line + 2 + size)?);
        bytes = bytes.get(line + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Some((200, "ok"))),
            ("HTTP/1.1 404 Not Found\r\n\r\n", Some((404, ""))),
            ("HTTP/1.0 200 OK\r\n\r\nok", Some((200, "ok"))),
            ("HTTP/2 200 OK\r\n\r\nok", None),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\n\r\n",
                Some((200, "ok!")),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", None),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", None),
            ("", None),
        ] {
            let answer = parse(bytes.as_bytes()).map(|answer| (answer.status, answer.text()));
            assert_eq!(answer, expected.map(|(status, body)| (status, body.to_owned())), "{bytes:?}");
        }
    }
}
