//! An answer before it becomes bytes on a connection: status, headers, body, and its compression.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full, Limited, StreamBody};
use hyper::body::Frame;
use serde::Serialize;

use super::{Failure, kept::Repeat};
use crate::backend::Pieces;

/// The longest answer of another node or interface that is looked into as a whole, in bytes.
pub(super) const WHOLE_BYTES: usize = 16 << 20;
/// Bodies smaller than this many bytes are not worth compressing.
const SMALLEST_COMPRESSED: usize = 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// What a connection sends: all at once, or as it comes.
pub type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

/// What a handler gives back.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Content,
    /// How the same can be answered again without its handler.
    repeat: Option<Repeat>,
}

enum Content {
    Whole(Arc<Encoded>),
    /// An error ends the connection, so that the caller sees that the answer is not whole.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(encoded) => encoded.plain.fmt(formatter),
            Self::Stream(_) => formatter.write_str("a stream"),
        }
    }
}

impl Answer {
    /// 200 without a body.
    #[must_use]
    pub fn empty() -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: Content::whole(Bytes::new()), repeat: None }
    }

    /// 200 with a sentence.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::with_body(Content::whole(text.into().into()), TEXT)
    }

    /// 200 with text as it comes, until the stream ends. It is asked for more only when the caller has taken what
    /// there was.
    #[must_use]
    pub fn stream(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::with_body(Content::Stream(pieces.map(Ok).boxed()), TEXT)
    }

    /// 200 with a file of that type as it comes.
    pub(super) fn file(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static, kind: HeaderValue) -> Self {
        Self::with_body(Content::Stream(pieces.boxed()), kind)
    }

    /// 200 with JSON that is encoded already.
    #[must_use]
    pub fn json(encoded: Bytes) -> Self {
        Self::with_body(Content::whole(encoded), JSON)
    }

    /// 200 with bytes that are shown as text.
    pub(super) fn plain(bytes: Bytes) -> Self {
        Self::with_body(Content::whole(bytes), TEXT)
    }

    /// An answer that another node has given; what is still to come of its body goes through as it comes.
    pub(super) fn of_parts(status: StatusCode, headers: HeaderMap, body: Bytes, rest: Option<Pieces>) -> Self {
        let body = match rest {
            None => Content::whole(body),
            Some(rest) => {
                let rest = rest.map(|piece| piece.map_err(io::Error::other));
                Content::Stream(stream::iter([Ok(body)]).chain(rest).boxed())
            }
        };
        Self { status, headers, body, repeat: None }
    }

    /// The same with another body, made of the whole, of [`WHOLE_BYTES`] at most.
    pub(super) async fn map_body(self, change: impl FnOnce(Bytes) -> Bytes) -> Result<Self, Failure> {
        let body = match self.body {
            Content::Whole(encoded) => encoded.plain.clone(),
            Content::Stream(pieces) => {
                let body = StreamBody::new(pieces.map(|piece| piece.map(Frame::data)));
                let whole = Limited::new(body, WHOLE_BYTES).collect();
                let broken = |error| Failure::Rejected(format!("the answer did not come whole: {error}"));
                whole.await.map_err(broken)?.to_bytes()
            }
        };
        Ok(Self { body: Content::whole(change(body)), ..self })
    }

    /// The answer for another node to give; `None` where it is not there as a whole.
    pub(super) fn into_parts(self) -> Option<(StatusCode, HeaderMap, Bytes)> {
        match self.body {
            Content::Whole(encoded) => Some((self.status, self.headers, encoded.plain.clone())),
            Content::Stream(_) => None,
        }
    }

    fn with_body(body: Content, kind: HeaderValue) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, kind);
        Self { status: StatusCode::OK, headers, body, repeat: None }
    }

    /// The same answer once more, with the same bytes; `None` where it is not there as a whole.
    pub(super) fn again(&self) -> Option<Self> {
        let Content::Whole(encoded) = &self.body else { return None };
        let body = Content::Whole(encoded.clone());
        Some(Self { status: self.status, headers: self.headers.clone(), body, repeat: None })
    }

    /// How many bytes its body may come to hold, compressed form included.
    pub(super) fn weight_bytes(&self) -> usize {
        match &self.body {
            Content::Whole(encoded) => encoded.weight_bytes(),
            Content::Stream(_) => 0,
        }
    }

    /// The same, which may be given again that way.
    pub(super) fn with_repeat(self, repeat: Repeat) -> Self {
        Self { repeat: Some(repeat), ..self }
    }

    /// How it may be given again.
    pub(super) fn repeat(&self) -> Option<&Repeat> {
        self.repeat.as_ref()
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    /// The answer for a caller that takes gzip or not: compressed where that is worth it.
    #[must_use]
    pub fn into_response(mut self, packs: bool) -> Response<Body> {
        let body = match self.body {
            Content::Whole(encoded) => Either::Left(Full::new(encoded.choose(&mut self.headers, packs))),
            Content::Stream(pieces) => {
                Either::Right(StreamBody::new(pieces.map(|piece| piece.map(Frame::data)).boxed()))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// An answer that is the same for everybody as long as the process runs, and compressed once for all.
pub(super) struct Fixed(Mutex<Answer>);

impl Fixed {
    /// Of an answer that is there as a whole.
    pub fn new(answer: Answer) -> Self {
        Self(Mutex::new(answer))
    }

    /// The answer once more.
    pub fn again(&self) -> Result<Answer, Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).again().ok_or(Failure::NoEndpoint)
    }
}

impl Content {
    fn whole(plain: Bytes) -> Self {
        Self::Whole(Arc::new(Encoded { plain, packed: OnceLock::new() }))
    }
}

/// A body, shared by all who are sent it; compressed for the first who wants it so, once for all.
struct Encoded {
    plain: Bytes,
    /// Kept where it is at most half as long, as JSON always is; so that what a body may hold is known beforehand.
    packed: OnceLock<Bytes>,
}

impl Encoded {
    fn weight_bytes(&self) -> usize {
        let compressible = self.plain.len() >= SMALLEST_COMPRESSED;
        self.plain.len() + if compressible { self.plain.len() / 2 } else { 0 }
    }

    /// The form for a caller that takes gzip or not, and what its answer's headers must say of it.
    fn choose(&self, headers: &mut HeaderMap, packs: bool) -> Bytes {
        if self.plain.len() < SMALLEST_COMPRESSED {
            return self.plain.clone();
        }
        headers.insert(header::VARY, ACCEPT_ENCODING);
        match packs.then(|| self.packed()) {
            Some(Ok(packed)) => {
                headers.insert(header::CONTENT_ENCODING, GZIP);
                packed
            }
            _ => self.plain.clone(),
        }
    }

    fn packed(&self) -> std::io::Result<Bytes> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed.clone());
        }
        let packed = gzip(&self.plain)?;
        if packed.len() <= self.plain.len() / 2 {
            return Ok(self.packed.get_or_init(|| packed).clone());
        }
        Ok(packed)
    }
}

/// What a read gives: JSON.
impl From<Bytes> for Answer {
    fn from(encoded: Bytes) -> Self {
        Self::json(encoded)
    }
}

/// Encodes a value; with `pretty`, indented by four spaces.
#[must_use]
pub fn encode(value: &impl Serialize, pretty: bool) -> Bytes {
    let mut bytes = Vec::with_capacity(1024);
    let encoded = if pretty {
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
    } else {
        serde_json::to_writer(&mut bytes, value)
    };
    encoded.expect("rows have text keys and are written to memory");
    // The answer may be kept for long.
    bytes.shrink_to_fit();
    bytes.into()
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    let mut packed = encoder.finish()?;
    packed.shrink_to_fit();
    Ok(packed.into())
}

/// Whether `Accept-Encoding` names gzip (or anything) and does not weigh it 0 (RFC 9110, 12.5.3).
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse().ok()) == Some(0.0_f32);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;

    fn accepting(codings: &'static str) -> HeaderMap {
        [(header::ACCEPT_ENCODING, HeaderValue::from_static(codings))].into_iter().collect()
    }

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        for (codings, accepted) in [
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0, deflate", false),
            ("gzip; q=0.0", false),
            ("identity", false),
        ] {
            assert_eq!(accepts_gzip(&accepting(codings)), accepted, "{codings}");
        }
    }

    #[tokio::test]
    async fn only_large_bodies_are_compressed() {
        for (length, compressed) in [(SMALLEST_COMPRESSED - 1, false), (SMALLEST_COMPRESSED, true)] {
            let response = Answer::text("x".repeat(length)).into_response(true);
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), compressed);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let mut plain = String::new();
            if compressed {
                flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut plain).unwrap();
                assert_eq!(plain.len(), length);
            } else {
                assert_eq!(body.len(), length);
            }
        }
    }

    #[test]
    fn pretty_indents_by_four() {
        let value = serde_json::json!({"a": [1]});
        assert_eq!(encode(&value, true), "{\n    \"a\": [\n        1\n    ]\n}");
        assert_eq!(encode(&value, false), "{\"a\":[1]}");
    }
}
