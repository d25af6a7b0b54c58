//! Asks an agent over HTTP: one connection for each request, every wait bounded.
//!
//! It knows no endpoint and no command. Its errors read like those of Consul's own client, which scripts match on:
//! `Get "http://127.0.0.1:8500/v1/agent/self": dial tcp 127.0.0.1:8500: connect: connection refused`.

use std::{fmt, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{self, HeaderValue, InvalidHeaderValue},
    http::uri::Authority,
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::TcpStream, time::timeout};

/// After this an attempt to connect to one address is given up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// After this a request is given up. Leaving gracefully is the longest that an agent works on one.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// Bytes in the body of an answer; a longer one is an error.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Characters of a refusal's body that are printed.
const REASON_MAX_CHARACTERS: usize = 1024;

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// A scheme other than http.
    #[error("{0} is not spoken by lictor's commands; give an http address such as 127.0.0.1:8500")]
    Scheme(String),
    /// Not a host and a port.
    #[error("not HOST:PORT (try 127.0.0.1:8500)")]
    Form,
}

/// Why a request got no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer came.
    #[error("{verb} {url:?}: {reason}")]
    NoAnswer {
        /// The method as Go's client writes it: `Get`, `Put`.
        verb: &'static str,
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The agent said no.
    #[error("Unexpected response code: {} ({reason})", status.as_u16())]
    Status {
        /// Its status.
        status: StatusCode,
        /// The body.
        reason: String,
    },
    /// The answer is not what the endpoint is known to say.
    #[error("the answer of {url:?} is not understood")]
    Json {
        /// What was asked.
        url: String,
        /// What was wrong, and where.
        source: serde_json::Error,
    },
}

/// An agent's HTTP interface.
#[derive(Clone, Debug)]
pub struct Agent {
    authority: Authority,
    token: Option<HeaderValue>,
    limit: Duration,
}

impl Agent {
    /// The agent at `HOST:PORT` or `http://HOST:PORT`. Nothing is sent yet.
    ///
    /// # Errors
    /// Another scheme than http, or not a host and a port.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let authority = match address.split_once("://") {
            None | Some(("http", _)) => address.trim_start_matches("http://").trim_end_matches('/'),
            Some((scheme, _)) => return Err(AddressError::Scheme(scheme.into())),
        };
        let authority: Authority = authority.parse().map_err(|_| AddressError::Form)?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(AddressError::Form);
        }
        Ok(Self { authority, token: None, limit: REQUEST_LIMIT })
    }

    /// Asks with a token.
    ///
    /// # Errors
    /// The token cannot be in a header.
    pub fn with_token(mut self, token: &str) -> Result<Self, InvalidHeaderValue> {
        let mut token = HeaderValue::from_str(token)?;
        token.set_sensitive(true);
        self.token = Some(token);
        Ok(self)
    }

    /// Gives requests up after `limit`.
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The URL of a path that begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    /// Gets a JSON document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.request(Method::GET, path, Bytes::new()).await?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Json { url: self.url(path), source })
    }

    /// Puts a body, which may be empty, and gives the answer's body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Result<Bytes, ClientError> {
        self.request(Method::PUT, path, body.into()).await
    }

    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let verb = if method == Method::GET { "Get" } else { "Put" };
        let no_answer = |reason: String| ClientError::NoAnswer { verb, url: self.url(path), reason };
        let exchange = async {
            let stream = self.connect().await?;
            let (status, body) = self.exchange(stream, method, path, body).await.map_err(|error| reason_of(&*error))?;
            Ok((status, body))
        };
        let answer = timeout(self.limit, exchange).await;
        let (status, body) =
            answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.limit))).map_err(no_answer)?;
        if status != StatusCode::OK {
            let reason = String::from_utf8_lossy(&body).trim().chars().take(REASON_MAX_CHARACTERS).collect();
            return Err(ClientError::Status { status, reason });
        }
        Ok(body)
    }

    /// A connection to the first address of the host that takes one; else the first failure.
    async fn connect(&self) -> Result<TcpStream, String> {
        let (host, port) = (self.authority.host(), self.authority.port_u16().unwrap_or(80));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = tokio::net::lookup_host((host, port)).await;
        let addresses = addresses.map_err(|_| format!("dial tcp: lookup {host}: no such host"))?;
        let mut first_failure = None;
        for address in addresses {
            let failure = match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => dial_error(address, format_args!("connect: {}", system_reason(&error))),
                Err(_) => dial_error(address, format_args!("i/o timeout")),
            };
            first_failure.get_or_insert(failure);
        }
        Err(first_failure.unwrap_or_else(|| format!("dial tcp: lookup {host}: no such host")))
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), BoxError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.authority.as_str());
        if let Some(token) = &self.token {
            request = request.header("X-Consul-Token", token);
        }
        let request = request.body(Full::new(body))?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), BODY_MAX_BYTES).collect().await?.to_bytes();
            Ok((status, body))
        };
        // The connection does the input and output; the answer is whole before the connection ends.
        tokio::select! {
            biased;
            answer = answer => answer,
            ended = drive(connection) => ended,
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Drives a connection. Its own end is told to the answer's future, which says what it means.
async fn drive<T>(connection: impl Future<Output = hyper::Result<()>>) -> T {
    let _ = connection.await;
    std::future::pending().await
}

fn dial_error(address: SocketAddr, reason: fmt::Arguments<'_>) -> String {
    format!("dial tcp {address}: {reason}")
}

/// The system's words for an error as Go writes them: no number, no capital.
fn system_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// What went wrong in an exchange: the innermost reason says most. A connection closed before an answer is `EOF`.
fn reason_of(error: &(dyn std::error::Error + 'static)) -> String {
    if error.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_incomplete_message() || error.is_closed()) {
        return "EOF".into();
    }
    let innermost = std::iter::successors(Some(error), |error| error.source()).last();
    match innermost.and_then(|error| error.downcast_ref::<io::Error>()) {
        Some(error) => system_reason(error),
        None => innermost.unwrap_or(error).to_string(),
    }
}

/// A path segment, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    /// An agent that says `answer` to one request and gives back what it was asked.
    async fn agent_that_says(answer: &'static str) -> (Agent, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let agent = Agent::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (agent, asked)
    }

    #[tokio::test]
    async fn a_request_has_the_host_the_token_and_the_body() {
        let (agent, asked) = agent_that_says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue").await;
        let agent = agent.with_token("secret").unwrap();
        assert_eq!(agent.put("/v1/agent/reload?pretty", "body").await.unwrap(), "true");
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("PUT /v1/agent/reload?pretty HTTP/1.1\r\nhost: 127.0.0.1:"), "{asked}");
        assert!(asked.contains("\r\nx-consul-token: secret\r\n") && asked.ends_with("\r\n\r\nbody"), "{asked}");
    }

    #[tokio::test]
    async fn errors_are_the_sentences_of_consuls_client() {
        for (answer, expected) in [
            ("HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nNo leader\n", "Unexpected response code: 500 (No leader)"),
            ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "Unexpected response code: 403 ()"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot json!",
                "the answer of \"http://ADDRESS/v1/x\" is not understood: expected ident at line 1 column 2",
            ),
            ("", "Get \"http://ADDRESS/v1/x\": EOF"),
        ] {
            let (agent, _asked) = agent_that_says(answer).await;
            let error = anyhow::Error::from(agent.get::<u32>("/v1/x").await.unwrap_err());
            assert_eq!(format!("{error:#}"), expected.replace("ADDRESS", agent.authority.as_str()));
        }
    }

    #[tokio::test]
    async fn an_agent_that_does_not_listen_is_named() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = Agent::new(&address.to_string()).unwrap().put("/v1/agent/leave", "").await.unwrap_err();
        let expected =
            format!("Put \"http://{address}/v1/agent/leave\": dial tcp {address}: connect: connection refused");
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn an_agent_that_does_not_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let agent = Agent::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let error = agent.with_limit(Duration::from_millis(50)).get::<u32>("/v1/x").await.unwrap_err();
        assert!(error.to_string().ends_with("no answer within 50ms"), "{error}");
    }

    #[test]
    fn a_segment_can_be_in_a_path() {
        assert_eq!(segment("10.0.0.1:8301"), "10.0.0.1:8301");
        assert_eq!(segment("a/b c?"), "a%2Fb%20c%3F");
    }
}
