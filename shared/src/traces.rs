//! Traces: what a request was made of, on whichever nodes, in the terms of OpenTelemetry.
//!
//! A [`Span`] is a part of a request: its arrival, a question to another node, a commit. It has a [`Place`] in a trace, which
//! goes along to other nodes as W3C's `traceparent`, and is given to the [`Record`] of this process when it is dropped. Who
//! asked says whether a trace is recorded; where nobody did, the ratio of [`start`] does. What is not recorded makes no spans,
//! here and on the nodes that are asked, and without a record (the usual case) a span costs a look at a flag.
//!
//! Spans are made where a request comes from outside ([`Span::arrival`]) and, within one, where it may wait
//! ([`Span::inside`]). What a node does by itself is in no trace. Questions by DNS are in none either: they carry nothing that
//! could join one, and are answered in microseconds.
//!
//! Sources: W3C Trace Context, version 00, section 3.2; OpenTelemetry's semantic conventions 1.45 for names and attributes.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    sync::OnceLock,
    time::{Instant, SystemTime},
};

/// The header that carries a place, of HTTP and gRPC alike.
pub const HEADER: &str = "traceparent";
/// The longest text that is kept of a name, an attribute or a failure, in bytes.
pub const TEXT_BYTES_MAX: usize = 512;
/// The most spans that one span is linked to.
pub const LINKS_MAX: usize = 32;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

static RECORDER: OnceLock<Recorder> = OnceLock::new();

tokio::task_local! {
    /// The span that is being worked on.
    static CURRENT: Option<Place>;
}

struct Recorder {
    record: Box<dyn Record>,
    /// Of 2^64 traces that begin here, so many and one more are recorded; none: no trace.
    threshold: Option<u64>,
}

/// Takes spans that have ended. It must not wait.
pub trait Record: Send + Sync + 'static {
    /// Takes one.
    fn record(&self, span: Ended);
}

/// Has spans made from now on, and given to `record`. Of those traces that begin here, `ratio` (0 to 1) are recorded.
/// Whether that was done: a process has one record.
pub fn start(record: impl Record, ratio: f64) -> bool {
    RECORDER.set(Recorder { record: Box::new(record), threshold: threshold(ratio) }).is_ok()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share")]
fn threshold(ratio: f64) -> Option<u64> {
    // The cast takes what is more than all for all.
    (ratio > 0.0).then_some((ratio * u64::MAX as f64) as u64)
}

/// Where a span is: its trace, and which of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The trace's ID; not 0.
    pub trace: u128,
    /// The span's; not 0.
    pub span: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{SAMPLED:02x}", self.trace, self.span)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Place {
    /// Reads a header. Whether the trace is recorded stands beside it. Nothing, where it is no such header: then a trace
    /// begins here, as the source has it.
    #[must_use]
    pub fn read(text: &str) -> Option<(Self, bool)> {
        let mut parts = text.split('-');
        let mut next = |digits| parts.next().filter(|part| part.len() == digits && part.bytes().all(is_digit));
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // Versions to come may have more behind it.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let place = Self { trace: u128::from_str_radix(trace, 16).ok()?, span: u64::from_str_radix(span, 16).ok()? };
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (place.trace != 0 && place.span != 0).then_some((place, flags & SAMPLED != 0))
    }
}

/// Of hexadecimal numbers in small letters.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Which part a span has in a question between processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It answers one.
    Server,
    /// It asks one.
    Client,
    /// It has none.
    Internal,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(bounded(text))
    }
}

/// What is kept of a text.
fn bounded(text: impl Into<Cow<'static, str>>) -> Cow<'static, str> {
    let mut text = text.into();
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.to_mut().truncate(end.unwrap_or_default());
    }
    text
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Where it is.
    pub place: Place,
    /// The span that it is part of.
    pub parent: Option<u64>,
    /// Whether that is another process's.
    pub has_remote_parent: bool,
    /// Other spans that it serves.
    pub links: Vec<Place>,
    /// Which part it has.
    pub kind: Kind,
    /// What it is: one of few.
    pub name: Cow<'static, str>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed; none: it did not.
    pub failure: Option<Cow<'static, str>>,
}

/// A span, which lasts until it is dropped; or none, of what is not recorded.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    clock: Instant,
    so_far: Ended,
}

impl Span {
    /// That of a request that comes from outside with that [`HEADER`].
    pub fn arrival(kind: Kind, header: Option<&str>) -> Self {
        let Some(recorder) = RECORDER.get() else { return Self(None) };
        match header.and_then(Place::read) {
            Some((parent, true)) => Self::begin(kind, "", parent.trace, Some(parent.span), true),
            Some((_, false)) => Self(None),
            None => {
                let trace: u128 = not_zero(rand::random);
                let chosen = recorder.threshold.is_some_and(|threshold| rand::random::<u64>() <= threshold);
                if chosen { Self::begin(kind, "", trace, None, false) } else { Self(None) }
            }
        }
    }

    /// The same of a request that another node makes for one that came to it: none, unless that is recorded.
    pub fn continued(kind: Kind, header: Option<&str>) -> Self {
        if header.is_some() { Self::arrival(kind, header) } else { Self(None) }
    }

    /// A part of the span that is being worked on.
    pub fn inside(kind: Kind, name: &'static str) -> Self {
        Self::of([current()].into_iter().flatten(), kind, name)
    }

    /// What is done once for several spans: a part of the first of them, linked to the others.
    pub fn of(spans: impl IntoIterator<Item = Place>, kind: Kind, name: &'static str) -> Self {
        let mut spans = spans.into_iter();
        let Some(first) = spans.next() else { return Self(None) };
        let mut span = Self::begin(kind, name, first.trace, Some(first.span), false);
        if let Some(open) = &mut span.0 {
            open.so_far.links = spans.take(LINKS_MAX).collect();
        }
        span
    }

    fn begin(kind: Kind, name: &'static str, trace: u128, parent: Option<u64>, has_remote_parent: bool) -> Self {
        let (place, now) = (Place { trace, span: not_zero(rand::random) }, SystemTime::now());
        let so_far = Ended {
            place,
            parent,
            has_remote_parent,
            links: Vec::new(),
            kind,
            name: name.into(),
            began: now,
            ended: now,
            attributes: Vec::new(),
            failure: None,
        };
        Self(Some(Box::new(Open { clock: Instant::now(), so_far })))
    }

    /// Where it is; nothing of none.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.0.as_ref().map(|open| open.so_far.place)
    }

    /// Whether it is one: what is to be said of it is worth finding out.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Names it.
    pub fn name(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            open.so_far.name = bounded(name);
        }
    }

    /// Says something of it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.so_far.attributes.push((key, value.into()));
        }
    }

    /// Says which server is asked: `host:port`, or a host alone.
    pub fn server(&mut self, address: &str) {
        let port = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let host = port.map_or(address, |(host, _)| host);
        self.set("server.address", host.trim_matches(['[', ']']).to_owned());
        if let Some((_, port)) = port {
            self.set("server.port", usize::from(port));
        }
    }

    /// It failed, for that reason.
    pub fn fail(&mut self, reason: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            open.so_far.failure = Some(bounded(reason));
        }
    }

    /// It failed, if that has.
    pub fn note<T, E: fmt::Display>(&mut self, outcome: &Result<T, E>) {
        if let Err(error) = outcome
            && self.is_recorded()
        {
            self.fail(error.to_string());
        }
    }

    /// Works on it: what `future` does is part of it.
    pub fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.place(), future)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(open), Some(recorder)) = (self.0.take(), RECORDER.get()) {
            let Open { clock, so_far } = *open;
            // The clock on the wall may have been set meanwhile.
            recorder.record.record(Ended { ended: so_far.began + clock.elapsed(), ..so_far });
        }
    }
}

/// The span that is being worked on: where what is done for it elsewhere belongs.
#[must_use]
pub fn current() -> Option<Place> {
    RECORDER.get().and(CURRENT.try_with(|current| *current).ok().flatten())
}

fn not_zero<T: PartialEq + Default>(random: impl Fn() -> T) -> T {
    loop {
        let number = random();
        if number != T::default() {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// What this process's tests have recorded.
    static SEEN: Mutex<Vec<Ended>> = Mutex::new(Vec::new());

    struct Keep;

    impl Record for Keep {
        fn record(&self, span: Ended) {
            SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(span);
        }
    }

    /// A trace of its own, recorded wherever its header goes; others are not.
    struct Recorded(Place);

    impl Recorded {
        fn begin() -> Self {
            start(Keep, 0.0);
            Self(Place { trace: not_zero(rand::random), span: 7 })
        }

        fn header(&self) -> String {
            self.0.to_string()
        }

        /// Its spans in the order in which they ended.
        fn spans(&self) -> Vec<Ended> {
            let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            seen.iter().filter(|span| span.place.trace == self.0.trace).cloned().collect()
        }
    }

    #[test]
    fn headers_are_read_as_their_source_has_it() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let read = |text: String| Place::read(&text);
        let (place, sampled) = read(format!("00-{trace}-{span}-01")).unwrap();
        assert!(sampled);
        assert_eq!(place.to_string(), format!("00-{trace}-{span}-01"));
        assert_eq!(read(format!("00-{trace}-{span}-00")), Some((place, false)));
        assert_eq!(read(format!("00-{trace}-{span}-fe")), Some((place, false)));
        assert_eq!(read(format!("cc-{trace}-{span}-01-what-comes")), Some((place, true)));
        for wrong in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-+{}-{span}-01", &trace[1..]),
            format!("00-{trace}-{span}-01\u{e9}"),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn as_many_traces_are_recorded_as_was_said() {
        assert_eq!([0.0, 1.0, 0.5].map(threshold), [None, Some(u64::MAX), Some(1 << 63)]);
    }

    #[tokio::test]
    async fn a_trace_has_what_was_done_inside_and_nothing_else() {
        let recorded = Recorded::begin();
        let mut arrival = Span::arrival(Kind::Server, Some(&recorded.header()));
        arrival.name("x".repeat(TEXT_BYTES_MAX + 1));
        arrival.set("long", "x".repeat(TEXT_BYTES_MAX + 1));
        let others = [Place { trace: 1, span: 2 }, Place { trace: 3, span: 4 }];
        arrival
            .around(async {
                let mut wait = Span::inside(Kind::Internal, "wait");
                wait.fail("in vain");
                let elsewhere = current();
                // A task of its own belongs to nobody, unless it is told to whom.
                let alone = tokio::spawn(async { Span::inside(Kind::Client, "lost").is_recorded() });
                assert!(!alone.await.unwrap());
                drop(Span::of(elsewhere.into_iter().chain(others), Kind::Client, "ask"));
            })
            .await;
        assert!(!Span::inside(Kind::Internal, "after").is_recorded());
        let own = arrival.place().unwrap().span;
        drop(arrival);
        let spans = recorded.spans();
        let long = "x".repeat(TEXT_BYTES_MAX);
        let names: Vec<_> = spans.iter().map(|span| (&*span.name, span.parent, span.has_remote_parent)).collect();
        assert_eq!(names, [("ask", Some(own), false), ("wait", Some(own), false), (&*long, Some(7), true)]);
        assert_eq!((&spans[0].links[..], spans[1].failure.as_deref()), (&others[..], Some("in vain")));
        assert_eq!(spans[2].attributes, [("long", long.clone().into())]);
        assert!(spans.iter().all(|span| span.began <= span.ended));
    }

    #[test]
    fn a_server_is_a_host_and_its_port() {
        let recorded = Recorded::begin();
        let expected = [
            ("127.0.0.1:8300", "127.0.0.1", Some(8300)),
            ("[::1]:8300", "::1", Some(8300)),
            ("host.example", "host.example", None),
        ];
        for (address, _, _) in expected {
            Span::arrival(Kind::Client, Some(&recorded.header())).server(address);
        }
        let spans = recorded.spans();
        assert_eq!(spans.len(), expected.len());
        for (span, (_, host, port)) in spans.into_iter().zip(expected) {
            let port = port.map(|port| ("server.port", Value::Number(port)));
            let attributes: Vec<_> = [("server.address", host.to_owned().into())].into_iter().chain(port).collect();
            assert_eq!(span.attributes, attributes);
        }
    }

    #[test]
    fn what_is_not_recorded_makes_no_spans() {
        let recorded = Recorded::begin();
        let unwanted = recorded.header().replace("-01", "-00");
        for header in [Some(&*unwanted), Some("nonsense"), None] {
            assert!(!Span::arrival(Kind::Server, header).is_recorded(), "{header:?}");
        }
        assert!(!Span::continued(Kind::Server, None).is_recorded());
        assert!(Span::continued(Kind::Server, Some(&recorded.header())).is_recorded());
    }
}
