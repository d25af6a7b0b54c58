//! Asks an agent over HTTP: one connection for each request, every wait bounded.
//!
//! It knows no endpoint and no command. Its errors read like those of Consul's own client, which scripts match on:
//! `Get "http://127.0.0.1:8500/v1/agent/self": dial tcp 127.0.0.1:8500: connect: connection refused`.

use std::{convert::Infallible, io, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::{Body, Frame, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue, InvalidHeaderValue},
};
use hyper_util::rt::TokioIo;
use lictor_shared::tls::asking::Asking;
use serde::de::DeserializeOwned;
use tokio::{fs::File, io::AsyncReadExt, time::timeout};

pub use crate::endpoint::AddressError;
use crate::endpoint::{Endpoint, system_reason};

/// After this a request is given up. Leaving gracefully is the longest that an agent works on one.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// Bytes in the body of an answer; a longer one is an error.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a file that are sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Characters of a refusal's body that are printed.
const REASON_MAX_CHARACTERS: usize = 1024;
/// The header that carries a token.
const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");
/// The header that carries the index of an answer.
const INDEX: HeaderName = HeaderName::from_static("x-consul-index");

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

/// An agent's HTTP interface, or another server's.
#[derive(Clone, Debug)]
pub struct Agent {
    endpoint: Endpoint,
    headers: HeaderMap,
    limit: Duration,
}

/// An answer that was given with success, or says that nothing is there.
#[derive(Debug)]
pub struct Answer {
    /// Whether what was asked for is there.
    pub found: bool,
    /// Its index, where it has one.
    pub index: Option<u64>,
    /// The whole body.
    pub body: Bytes,
}

impl Agent {
    /// The agent at `HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`. Nothing is sent yet.
    ///
    /// # Errors
    /// Another scheme, or neither a host and a port nor a path.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        Ok(Self { endpoint: Endpoint::parse(address)?, headers: HeaderMap::new(), limit: REQUEST_LIMIT })
    }

    /// Asks by TLS, in this way.
    pub fn by_tls(mut self, asking: Asking) -> Self {
        self.endpoint = self.endpoint.by_tls(asking);
        self
    }

    /// Whether the address has the scheme `https`.
    pub fn is_https(&self) -> bool {
        self.endpoint.scheme() == "https"
    }

    /// Asks with a token.
    ///
    /// # Errors
    /// The token cannot be in a header.
    pub fn with_token(self, token: &str) -> Result<Self, InvalidHeaderValue> {
        let mut token = HeaderValue::from_str(token)?;
        token.set_sensitive(true);
        Ok(self.with_header(TOKEN, token))
    }

    /// Asks with a header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Gives requests up after `limit`.
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The URL of a path that begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.endpoint.scheme(), self.endpoint.host())
    }

    /// Gets a JSON document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.ask(path).await?;
        self.decode(path, &answer.body)
    }

    /// Gets an answer as it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(&self, path: &str) -> Result<Answer, ClientError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    /// Gets an answer that may be that nothing is there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn find(&self, path: &str) -> Result<Answer, ClientError> {
        let (status, answer) = self.exchange(Method::GET, path, Bytes::new()).await?;
        if answer.found && !status.is_success() { Err(refusal(status, &answer.body)) } else { Ok(answer) }
    }

    /// Sends a body by any method, and gives the answer's body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Bytes, ClientError> {
        Ok(self.request(method, path, body.into()).await?.body)
    }

    /// Deletes, and gives the answer's body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<Bytes, ClientError> {
        Ok(self.request(Method::DELETE, path, Bytes::new()).await?.body)
    }

    /// Puts a body, which may be empty, and gives the answer's body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Result<Bytes, ClientError> {
        Ok(self.request(Method::PUT, path, body.into()).await?.body)
    }

    /// Posts without a body, and gives the answer's body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str) -> Result<Bytes, ClientError> {
        Ok(self.request(Method::POST, path, Bytes::new()).await?.body)
    }

    /// Puts a file, a piece at a time. It is given up when the agent says nothing for long after all was sent, so the
    /// limit is the caller's to set.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_file(&self, path: &str, file: File) -> Result<Answer, ClientError> {
        let exchange = async {
            let exchange = self.begin_with(Method::PUT, path, StreamBody::new(pieces(file))).await?;
            let (status, index) = (exchange.status, exchange.index);
            Ok((status, Answer { found: true, index, body: exchange.whole().await? }))
        };
        let answer = timeout(self.limit, exchange).await.unwrap_or_else(|_| Err(self.late()));
        let (status, answer) = answer.map_err(|reason| self.no_answer("Put", path, reason))?;
        if status.is_success() { Ok(answer) } else { Err(refusal(status, &answer.body)) }
    }

    /// Gets an answer that goes on; the limit is for its beginning.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stream(&self, path: &str) -> Result<Exchange, ClientError> {
        let began = timeout(self.limit, self.begin(Method::GET, path, Bytes::new())).await;
        let exchange =
            began.unwrap_or_else(|_| Err(self.late())).map_err(|reason| self.no_answer("Get", path, reason))?;
        if exchange.status.is_success() {
            return Ok(exchange);
        }
        let status = exchange.status;
        let body = timeout(self.limit, exchange.whole()).await.unwrap_or_else(|_| Err(self.late()));
        Err(refusal(status, &body.map_err(|reason| self.no_answer("Get", path, reason))?))
    }

    /// Reads what an endpoint said.
    ///
    /// # Errors
    /// It is not what is expected.
    pub fn decode<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|source| ClientError::Json { url: self.url(path), source })
    }

    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ClientError> {
        let (status, answer) = self.exchange(method, path, body).await?;
        if status.is_success() { Ok(answer) } else { Err(refusal(status, &answer.body)) }
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Answer), ClientError> {
        let verb = match method {
            Method::GET => "Get",
            Method::DELETE => "Delete",
            Method::POST => "Post",
            _ => "Put",
        };
        let exchange = async {
            let exchange = self.begin(method, path, body).await?;
            let (status, index) = (exchange.status, exchange.index);
            let found = status != StatusCode::NOT_FOUND;
            Ok((status, Answer { found, index, body: exchange.whole().await? }))
        };
        let answer = timeout(self.limit, exchange).await.unwrap_or_else(|_| Err(self.late()));
        answer.map_err(|reason| self.no_answer(verb, path, reason))
    }

    fn late(&self) -> String {
        format!("no answer within {:?}", self.limit)
    }

    fn no_answer(&self, verb: &'static str, path: &str, reason: String) -> ClientError {
        ClientError::NoAnswer { verb, url: self.url(path), reason }
    }

    async fn begin(&self, method: Method, path: &str, body: Bytes) -> Result<Exchange, String> {
        self.begin_with(method, path, Full::new(body)).await
    }

    async fn begin_with<B>(&self, method: Method, path: &str, body: B) -> Result<Exchange, String>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let stream = self.endpoint.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| reason_of(&e))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|error| format!("{path:?} is no path: {error}"))?;
        let host = HeaderValue::from_str(self.endpoint.host()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().extend(self.headers.clone());
        let mut connection: Connection = Box::pin(drive(connection));
        let answer = tokio::select! {
            biased;
            answer = sender.send_request(request) => answer.map_err(|error| reason_of(&error))?,
            never = &mut connection => match never {},
        };
        let index = answer.headers().get(INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
        Ok(Exchange { status: answer.status(), index, body: answer.into_body(), connection })
    }
}

type Connection = Pin<Box<dyn Future<Output = Infallible> + Send>>;

/// Drives a connection: it does the input and output. Its own end is told to the answer's future, which says what it means.
async fn drive(connection: impl Future<Output = hyper::Result<()>>) -> Infallible {
    let _ = connection.await;
    std::future::pending().await
}

/// An answer whose body is still to come.
pub struct Exchange {
    status: StatusCode,
    index: Option<u64>,
    body: Incoming,
    connection: Connection,
}

impl Exchange {
    /// The index of the answer, where it has one.
    pub fn index(&self) -> Option<u64> {
        self.index
    }

    /// The next piece of the body; nothing at its end.
    ///
    /// # Errors
    /// The connection broke: the reason.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                never = &mut self.connection => match never {},
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(reason_of(&error)),
            }
        }
    }

    async fn whole(mut self) -> Result<Bytes, String> {
        tokio::select! {
            biased;
            body = Limited::new(self.body, BODY_MAX_BYTES).collect() => Ok(body.map_err(|error| reason_of(&*error))?.to_bytes()),
            never = &mut self.connection => match never {},
        }
    }
}

/// A file as a body.
fn pieces(file: File) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (Frame::data(piece.freeze()), file)))
    })
}

fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    let reason = String::from_utf8_lossy(body).trim().chars().take(REASON_MAX_CHARACTERS).collect();
    ClientError::Status { status, reason }
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
            assert_eq!(format!("{error:#}"), expected.replace("ADDRESS", agent.endpoint.host()));
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
}
