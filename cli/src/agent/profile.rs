//! The form of a profile: the messages of pprof's `profile.proto` (github.com/google/pprof), as far as they are needed,
//! gzipped. Texts stand once, in a table, whose first one is empty; the rest names them, functions and places by number.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use prost::Message;

const SECOND_NS: i64 = 1_000_000_000;

/// What is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function as people write it.
    pub function: String,
    /// As the linker does.
    pub symbol: String,
    /// Empty where nothing says it.
    pub file: String,
    /// 0 where nothing says it.
    pub line: u32,
}

/// A profile that is being made.
pub struct Builder {
    profile: Profile,
    texts: HashMap<String, i64>,
    /// By symbol and file.
    functions: HashMap<(i64, i64), u64>,
    /// By address.
    locations: HashMap<u64, u64>,
}

impl Builder {
    /// One without a sample, of the program in this file.
    pub fn new(program: &str, frequency_hz: u32, began: SystemTime, took: Duration) -> Self {
        let mut builder = Self {
            profile: Profile::default(),
            texts: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        // The first text is empty.
        builder.text("");
        let count = ValueType { kind: builder.text("samples"), unit: builder.text("count") };
        let time = ValueType { kind: builder.text("cpu"), unit: builder.text("nanoseconds") };
        let program = Mapping {
            id: 1,
            filename: builder.text(program),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        };
        builder.profile.sample_type = vec![count, time];
        builder.profile.mapping = vec![program];
        builder.profile.time_nanos = nanoseconds(began.duration_since(UNIX_EPOCH).unwrap_or_default());
        builder.profile.duration_nanos = nanoseconds(took);
        builder.profile.period_type = Some(time);
        builder.profile.period = SECOND_NS / i64::from(frequency_hz);
        builder
    }

    /// Adds a stack that was seen so many times in that thread, the innermost address first. What is at an address
    /// (several places where functions became one, the innermost first) is asked for once.
    pub fn add(
        &mut self,
        stack: impl IntoIterator<Item = u64>,
        thread: &str,
        count: i64,
        mut places: impl FnMut(u64) -> Vec<Place>,
    ) {
        let location_id = stack.into_iter().map(|address| self.location(address, &mut places)).collect();
        let label = vec![Label { key: self.text("thread"), text: self.text(thread) }];
        let value = vec![count, count.saturating_mul(self.profile.period)];
        self.profile.sample.push(Sample { location_id, value, label });
    }

    /// The whole, encoded and packed.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&self.profile.encode_to_vec())?;
        packed.finish()
    }

    fn location(&mut self, address: u64, places: &mut impl FnMut(u64) -> Vec<Place>) -> u64 {
        if let Some(id) = self.locations.get(&address) {
            return *id;
        }
        let line = places(address).iter().map(|place| self.line(place)).collect();
        let id = number(self.locations.len() + 1);
        self.locations.insert(address, id);
        self.profile.location.push(Location { id, mapping_id: 1, address, line });
        id
    }

    fn line(&mut self, place: &Place) -> Line {
        let (system_name, filename) = (self.text(&place.symbol), self.text(&place.file));
        let next = number(self.functions.len() + 1);
        let function_id = *self.functions.entry((system_name, filename)).or_insert(next);
        if function_id == next {
            let name = self.text(&place.function);
            self.profile.function.push(Function { id: next, name, system_name, filename });
        }
        Line { function_id, line: i64::from(place.line) }
    }

    /// The number of a text.
    fn text(&mut self, text: &str) -> i64 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let next = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.insert(text.into(), next);
        self.profile.string_table.push(text.into());
        next
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn nanoseconds(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// `perftools.profiles.Profile`.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// What the values of each sample are.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When it began, since 1970.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// What lies between two samples.
    #[prost(int64, tag = "12")]
    pub period: i64,
}

/// What a value is, and its unit: both are texts.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ValueType {
    #[prost(int64, tag = "1")]
    pub kind: i64,
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack that was seen.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// The innermost place first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// Something about a sample: both are texts.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Label {
    #[prost(int64, tag = "1")]
    pub key: i64,
    #[prost(int64, tag = "2")]
    pub text: i64,
}

/// The program. That it says what is known of the places keeps readers from looking for it.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Mapping {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(int64, tag = "5")]
    pub filename: i64,
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// A place in the program.
#[derive(Clone, PartialEq, Message)]
pub struct Location {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Several where functions became one: the innermost first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Line {
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    #[prost(int64, tag = "2")]
    pub line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Function {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(int64, tag = "2")]
    pub name: i64,
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn place(function: &str, line: u32) -> Place {
        Place { function: function.into(), symbol: format!("_R{function}"), file: "a.rs".into(), line }
    }

    fn decoded(builder: Builder) -> Profile {
        let mut encoded = Vec::new();
        GzDecoder::new(&builder.finish().unwrap()[..]).read_to_end(&mut encoded).unwrap();
        Profile::decode(&encoded[..]).unwrap()
    }

    #[test]
    fn what_was_added_is_what_a_reader_finds() {
        let began = UNIX_EPOCH + Duration::from_secs(7);
        let mut builder = Builder::new("/bin/lictor", 100, began, Duration::from_secs(2));
        let mut asked = Vec::new();
        let mut places = |address| {
            asked.push(address);
            match address {
                16 => vec![place("inner", 3), place("outer", 9)],
                32 => vec![place("outer", 10)],
                _ => Vec::new(),
            }
        };
        builder.add([16, 32, 48], "worker", 2, &mut places);
        builder.add([32], "main", 1, &mut places);
        assert_eq!(asked, [16, 32, 48]);

        let profile = decoded(builder);
        let text = |number: i64| profile.string_table[usize::try_from(number).unwrap()].as_str();
        let function = |id: u64| profile.function.iter().find(|function| function.id == id).unwrap();
        let lines = |id: u64| {
            let location = profile.location.iter().find(|location| location.id == id).unwrap();
            let lines = location.line.iter().map(|line| (text(function(line.function_id).name), line.line));
            (location.address, lines.collect::<Vec<_>>())
        };
        let [first, second] = &profile.sample[..] else { panic!("{profile:?}") };
        assert_eq!(profile.string_table[0], "");
        let kinds: Vec<_> = profile.sample_type.iter().map(|kind| (text(kind.kind), text(kind.unit))).collect();
        assert_eq!(kinds, [("samples", "count"), ("cpu", "nanoseconds")]);
        let stack: Vec<_> = first.location_id.iter().map(|id| lines(*id)).collect();
        assert_eq!(stack, [(16, vec![("inner", 3), ("outer", 9)]), (32, vec![("outer", 10)]), (48, vec![])]);
        assert_eq!((&first.value[..], &second.value[..]), (&[2, 20_000_000][..], &[1, 10_000_000][..]));
        let thread = |sample: &Sample| (text(sample.label[0].key), text(sample.label[0].text));
        assert_eq!((thread(first), thread(second)), (("thread", "worker"), ("thread", "main")));
        assert_eq!((profile.function.len(), profile.location.len()), (2, 3), "each once");
        let outer = function(profile.location[1].line[0].function_id);
        assert_eq!((text(outer.system_name), text(outer.filename)), ("_Router", "a.rs"));
        assert_eq!(
            (profile.time_nanos, profile.duration_nanos, profile.period),
            (7_000_000_000, 2_000_000_000, 10_000_000)
        );
        assert_eq!(text(profile.mapping[0].filename), "/bin/lictor");
    }

    /// As every reader of the format has it: field 6 is the table of texts, field 2 a sample with its places in field 1.
    #[test]
    fn fields_have_the_numbers_of_the_format() {
        let profile = Profile {
            sample: vec![Sample { location_id: vec![1], value: vec![5], label: Vec::new() }],
            string_table: vec![String::new(), "a".into()],
            period: 3,
            ..Profile::default()
        };
        let expected = [&[0x12, 6, 0x0a, 1, 1, 0x12, 1, 5][..], &[0x32, 0], &[0x32, 1, b'a'], &[0x60, 3]].concat();
        assert_eq!(profile.encode_to_vec(), expected);
    }
}
