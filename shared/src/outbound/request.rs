//! One HTTP/1.1 request on a connection of its own.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header::HOST};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::{Outbound, Protocol, Trust};

impl Outbound {
    /// Sends a request to an `http://` or `https://` URL. The answer's body is still to be read, and bounded.
    ///
    /// # Errors
    /// A sentence that names the URL.
    pub async fn request(
        &self,
        method: &Method,
        url: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        trust: Trust<'_>,
    ) -> Result<Response<Incoming>, String> {
        let (tls, default_port) = match url.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(Protocol::Http1), 443),
            _ => return Err(format!("{url}: only http:// and https:// are spoken")),
        };
        let failed = |error: &dyn std::fmt::Display| format!("{method} {url}: {error}");
        let authority = url.authority().ok_or_else(|| format!("{url} names no host"))?;
        let port = authority.port_u16().unwrap_or(default_port);
        let stream = self.open(authority.host(), port, tls, trust).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let target = url.path_and_query().map_or("/", |target| target.as_str());
        let mut request =
            Request::builder().method(method).uri(target).body(Full::new(body)).map_err(|error| failed(&error))?;
        *request.headers_mut() = headers.clone();
        if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
            request.headers_mut().entry(HOST).or_insert(host);
        }
        // The connection ends with the answer's body, or when that is dropped: nothing is left behind.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| failed(&error))
    }
}
