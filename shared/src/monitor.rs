//! Log lines for those who watch them over HTTP: a layer of `tracing` that hands each event to a bounded ring.
//!
//! Logging never waits for a watcher: a watcher that falls [`RECORDS_HELD`] events behind has lost some and is told so.
//! While nobody watches, the layer wants nothing and costs nothing. Libraries are shown from `warn` on at any level:
//! what they say at `trace` about sending a line would be a line again.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tokio::sync::broadcast::{self, error::RecvError};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    fmt::{
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::{Context, Filter},
    registry::LookupSpan,
};

/// How many events a watcher may be behind.
pub const RECORDS_HELD: usize = 512;
/// The longest text of one field that is kept, in bytes.
pub const FIELD_BYTES_MAX: usize = 4096;
/// How the names of our own crates begin.
const OURS: &str = "lictor";
const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// The level of that name, one of Consul's words in any letter case.
#[must_use]
pub fn level(name: &str) -> Option<Level> {
    let names = [["err", "error"], ["warn", "warn"], ["info", "info"], ["debug", "debug"], ["trace", "trace"]];
    let place = names.iter().position(|names| names.iter().any(|own| own.eq_ignore_ascii_case(name)))?;
    LEVELS.get(place).copied()
}

/// Where log events can be watched. Clones are handles to the same place.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
}

struct Shared {
    records: broadcast::Sender<Arc<Record>>,
    /// How many watch at each of [`LEVELS`].
    watchers: Mutex<[usize; LEVELS.len()]>,
}

impl Default for Monitor {
    fn default() -> Self {
        let (records, _) = broadcast::channel(RECORDS_HELD);
        Self { shared: Arc::new(Shared { records, watchers: Mutex::default() }) }
    }
}

impl Shared {
    fn watchers(&self) -> MutexGuard<'_, [usize; LEVELS.len()]> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that any watcher wants.
    fn level(&self) -> LevelFilter {
        let watchers = self.watchers();
        let most = LEVELS.iter().zip(watchers.iter()).rfind(|(_, count)| **count > 0);
        most.map_or(LevelFilter::OFF, |(level, _)| LevelFilter::from_level(*level))
    }

    fn change(&self, level: Level, change: impl FnOnce(&mut usize)) {
        if let Some(place) = LEVELS.iter().position(|own| *own == level) {
            change(&mut self.watchers()[place]);
        }
        // What each line of code was told about being wanted is out of date.
        tracing::callsite::rebuild_interest_cache();
    }
}

impl Monitor {
    /// The layer that feeds this place.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        Tap(self.shared.clone()).with_filter(Wanted(self.shared.clone()))
    }

    /// Watches events of that level and more severe ones, from now on.
    #[must_use]
    pub fn watch(&self, level: Level) -> Watch {
        let records = self.shared.records.subscribe();
        self.shared.change(level, |count| *count += 1);
        Watch { shared: self.shared.clone(), level, records }
    }
}

/// One who watches.
pub struct Watch {
    shared: Arc<Shared>,
    level: Level,
    records: broadcast::Receiver<Arc<Record>>,
}

impl Watch {
    /// The next event. Cancel-safe.
    ///
    /// # Errors
    /// How many were lost, to one who was too slow.
    pub async fn next(&mut self) -> Result<Arc<Record>, u64> {
        loop {
            match self.records.recv().await {
                Ok(record) if record.level <= self.level => return Ok(record),
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => return Err(lost),
                // This watcher holds the sender itself.
                Err(RecvError::Closed) => return Err(0),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.change(self.level, |count| *count = count.saturating_sub(1));
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Record {
    time: String,
    level: Level,
    module: String,
    message: String,
    fields: Map<String, Value>,
}

impl Record {
    fn of(event: &Event<'_>) -> Self {
        let mut collected = Collected::default();
        event.record(&mut collected);
        let mut time = String::new();
        // It writes to a text, which grows.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let metadata = event.metadata();
        let Collected { message, fields } = collected;
        Self { time, level: *metadata.level(), module: metadata.target().into(), message, fields }
    }

    /// A line for people: time, level, module, message, fields.
    #[must_use]
    pub fn line(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| match value {
            Value::String(text) if text.contains([' ', '"', '=', '\n']) => format!("{name}={text:?}"),
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        let fields = fields.collect::<Vec<_>>().join(" ");
        let (colon, level) = (if fields.is_empty() { "" } else { ": " }, format!("[{}]", self.level));
        format!("{} {level:<7} {}: {}{colon}{fields}\n", self.time, self.module, self.message)
    }

    /// The same as one JSON object in a line, with the keys that Consul's log has.
    #[must_use]
    pub fn json(&self) -> String {
        let mut object = self.fields.clone();
        let own = [
            ("@timestamp", self.time.clone()),
            ("@level", self.level.as_str().to_ascii_lowercase()),
            ("@module", self.module.clone()),
            ("@message", self.message.clone()),
        ];
        object.extend(own.map(|(key, value)| (key.to_string(), value.into())));
        format!("{}\n", Value::Object(object))
    }
}

/// The fields of an event as they are visited.
#[derive(Default)]
struct Collected {
    message: String,
    fields: Map<String, Value>,
}

impl Collected {
    fn keep(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_string(), value);
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded(String::new());
        // A text that is full ends the writing.
        let _ = write!(text, "{value:?}");
        match field.name() {
            "message" => self.message = text.0,
            _ => self.keep(field, text.0.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value.into());
    }
}

/// A text that takes no more than [`FIELD_BYTES_MAX`].
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = FIELD_BYTES_MAX - self.0.len();
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        self.0.push_str(&text[..end]);
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The layer.
struct Tap(Arc<Shared>);

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Nobody watches any more, where it fails.
        let _ = self.0.records.send(Arc::new(Record::of(event)));
    }
}

/// Which events someone wants.
struct Wanted(Arc<Shared>);

impl Wanted {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let shown = metadata.target().starts_with(OURS) || *metadata.level() <= Level::WARN;
        metadata.is_event() && shown && *metadata.level() <= self.0.level()
    }
}

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[tokio::test]
    async fn events_reach_those_who_want_them() {
        let monitor = Monitor::default();
        let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(monitor.layer()));
        tracing::error!("before anyone watches");
        let mut info = monitor.watch(level("info").unwrap());
        let mut errors = monitor.watch(level("ERR").unwrap());
        tracing::debug!("too fine");
        tracing::info!(port = 8500, name = "a b", ok = true, "listening");
        tracing::error!(error = ?"x", "broken");
        tracing::info!(target: "hyper", "of a library");
        let first = info.next().await.unwrap();
        assert!(
            first
                .line()
                .ends_with("[INFO]  lictor_shared::monitor::tests: listening: name=\"a b\" ok=true port=8500\n")
        );
        let json: Value = serde_json::from_str(&first.json()).unwrap();
        assert_eq!((&json["@level"], &json["@message"]), (&"info".into(), &"listening".into()));
        assert_eq!((&json["port"], &json["ok"]), (&8500.into(), &true.into()));
        for watch in [&mut info, &mut errors] {
            assert_eq!(watch.next().await.unwrap().message, "broken");
            assert!(watch.records.is_empty());
        }
    }

    #[tokio::test]
    async fn one_who_is_slow_is_told_and_holds_nobody_up() {
        let monitor = Monitor::default();
        let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(monitor.layer()));
        let mut slow = monitor.watch(Level::INFO);
        for number in 0..RECORDS_HELD + 10 {
            tracing::info!(number, "line");
        }
        assert_eq!(slow.next().await.unwrap_err(), 10);
    }

    #[test]
    fn long_texts_are_cut() {
        let mut text = Bounded(String::new());
        assert!(write!(text, "{}ää", "x".repeat(FIELD_BYTES_MAX - 3)).is_err());
        assert_eq!(text.0.len(), FIELD_BYTES_MAX - 1);
    }

    #[test]
    fn nobody_wants_anything_when_the_last_has_gone() {
        let monitor = Monitor::default();
        let watches = [Level::INFO, Level::TRACE, Level::INFO].map(|level| monitor.watch(level));
        assert_eq!(monitor.shared.level(), LevelFilter::TRACE);
        drop(watches);
        assert_eq!(monitor.shared.level(), LevelFilter::OFF);
    }
}
