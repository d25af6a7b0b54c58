//! The book (`docs/`): what it has its readers type works, what it links to is there, and it explains every line of the log.
//!
//! A page is run from its top to its end, in one shell, in namespaces of its own (`documents/page.sh` makes them ready), which
//! only root, or a kernel that lets users make namespaces, can have; elsewhere the test says so and ends. Of a page
//!
//! - `<!-- test: KIND -->` says what runs before its first block: `none`, `agent` (a `lictor agent -dev`), `cluster` (three
//!   servers, and the sidecar `host-a` at the usual ports);
//! - a block of the language `sh` is run, and so is what stands between a line `<!-- sh` and a line `-->`, which no reader sees;
//! - a block after `<!-- file: PATH -->` is written to that file;
//! - a block after `<!-- expect -->` must have been said by what was run last: each line of it, in order, among others. What
//!   stands between words does not count, and `...` is anything;
//! - blocks of other languages (`console`, `text`, ...) are for reading.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
    time::Duration,
};

use lictor_tests::{binary, installed, process::Process, turn, wait};
use regex::Regex;

/// Runs the steps of a page.
const RUNNER: &str = include_str!("documents/page.sh");
/// The longest a page may take.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// How namespaces are made: as root, or as a user who is root in there.
const WAYS: [&[&str]; 2] = [&[], &["--map-root-user"]];
/// Which ones, and that all ends with the one that made them.
const NAMESPACES: [&str; 7] = ["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// What pages are run with, and Debian's package of each.
const PROGRAMS: [(&str, &str); 8] = [
    ("bash", "bash"),
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("hostname", "hostname"),
    ("ip", "iproute2"),
    ("jq", "jq"),
    ("python3", "python3"),
    ("unshare", "util-linux"),
];
/// Goes out before each step's number.
const MARK: char = '\u{1e}';
/// Where the lines of the log are explained.
const LOGS: &str = "operations/logs.md";
/// The crates that write lines of the log.
const LOGGING: [&str; 6] = ["shared", "server", "sidecar", "grpc", "proto", "cli"];

fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src").canonicalize().unwrap()
}

/// The files below a directory with that ending, in order.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a page asks for.
enum What {
    Run(String),
    Write { path: String, text: String },
    Expect(String),
}

struct Step {
    /// The line of the page where it begins.
    line: usize,
    what: What,
}

/// A page of the book.
#[derive(Default)]
struct Page {
    name: String,
    kind: String,
    steps: Vec<Step>,
}

/// What a comment of that name says.
fn comment<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?.strip_prefix(name)?.strip_prefix(": ")
}

impl Page {
    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(book()).unwrap().display().to_string();
        let text = fs::read_to_string(path).unwrap();
        let mut page = Self { name, kind: "none".into(), ..Self::default() };
        let mut lines = (1..).zip(text.lines());
        let (mut file, mut expected) = (None, false);
        while let Some((line, written)) = lines.next() {
            let indent = written.len() - written.trim_start().len();
            let mut body = |end: &str| {
                let mut body = String::new();
                for (_, text) in lines.by_ref() {
                    if text.trim() == end {
                        return body;
                    }
                    body.push_str(text.get(indent..).unwrap_or_default());
                    body.push('\n');
                }
                panic!("{}:{line}: a block without an end", page.name);
            };
            if let Some(kind) = comment(written, "test") {
                page.kind = kind.into();
            } else if let Some(path) = comment(written, "file") {
                file = Some(path.to_owned());
            } else if written.trim() == "<!-- expect -->" {
                expected = true;
            } else if written.trim() == "<!-- sh" {
                page.steps.push(Step { line, what: What::Run(body("-->")) });
            } else if let Some(language) = written.trim_start().strip_prefix("```") {
                let text = body("```");
                let what = match (file.take(), std::mem::take(&mut expected)) {
                    (Some(path), _) => What::Write { path, text },
                    (None, true) => What::Expect(text),
                    (None, false) if language == "sh" => What::Run(text),
                    (None, false) => continue,
                };
                page.steps.push(Step { line, what });
            }
        }
        page
    }

    /// Runs it, in namespaces made that way.
    fn run(&self, way: &[&str]) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("page.sh"), RUNNER).unwrap();
        fs::create_dir(at("steps")).unwrap();
        for (number, step) in (1..).zip(&self.steps) {
            let script = match &step.what {
                What::Run(text) => text.clone(),
                What::Write { path, text } => {
                    let content = at(&format!("steps/{number:03}.content"));
                    fs::write(&content, text).unwrap();
                    format!("mkdir -p \"$(dirname '{path}')\" && cp '{}' '{path}'\n", content.display())
                }
                What::Expect(_) => continue,
            };
            fs::write(at(&format!("steps/{number:03}.sh")), script).unwrap();
        }
        let mut command = Command::new("unshare");
        command.args(way).args(NAMESPACES).arg("bash").arg(at("page.sh")).arg(&self.kind).arg(directory.path());
        command.arg(binary::path("lictor")).arg(at("steps"));
        let mut process = Process::start("page", directory.path(), &mut command);
        let ended = wait::attempt(PAGE_LIMIT, || process.exit_status().ok_or("still running"));
        process.kill();
        let said = process.output();
        let outputs = outputs(&said);
        let failed = match ended {
            Ok(status) if status.success() => return self.compare(&outputs),
            Ok(status) => status.to_string(),
            Err(error) => format!("{error} after {PAGE_LIMIT:?}"),
        };
        let (number, last) = outputs.last_key_value().map_or((0, said.as_str()), |(number, said)| (*number, *said));
        Err(format!("{}: {failed}\n{}--- said\n{last}{}", self.place(number), self.text(number), process.log()))
    }

    /// Whether what was said is what was to be said.
    fn compare(&self, outputs: &BTreeMap<usize, &str>) -> Result<(), String> {
        let mut said = "";
        for (number, step) in (1..).zip(&self.steps) {
            match &step.what {
                What::Run(_) => said = outputs.get(&number).copied().unwrap_or_default(),
                What::Write { .. } => {}
                What::Expect(expected) => {
                    if let Some(line) = missing(expected, said) {
                        return Err(format!("{}: not said: {line}\n--- said\n{said}", self.place(number)));
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&self, number: usize) -> Option<&Step> {
        self.steps.get(number.checked_sub(1)?)
    }

    /// Where a step stands.
    fn place(&self, number: usize) -> String {
        format!("{}:{}", self.name, self.step(number).map_or(0, |step| step.line))
    }

    /// What it runs.
    fn text(&self, number: usize) -> &str {
        match self.step(number).map(|step| &step.what) {
            Some(What::Run(text)) => text,
            _ => "",
        }
    }
}

/// What each step said, by its number; 0: what came before the first.
fn outputs(said: &str) -> BTreeMap<usize, &str> {
    let parts = said.split(MARK).filter_map(|part| part.split_once('\n'));
    parts.filter_map(|(number, said)| Some((number.parse().ok()?, said))).collect()
}

fn squashed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first line that was not said, after those before it.
fn missing<'e>(expected: &'e str, said: &str) -> Option<&'e str> {
    let mut said = said.lines().map(squashed);
    expected.lines().find(|line| {
        let parts: Vec<String> = line.split("...").map(squashed).filter(|part| !part.is_empty()).collect();
        !parts.is_empty() && !said.any(|line| has(&line, &parts))
    })
}

/// Whether a line has all parts, in order.
fn has(line: &str, parts: &[String]) -> bool {
    let mut rest = line;
    parts.iter().all(|part| match rest.split_once(part.as_str()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn what_readers_are_to_type_works() {
    if PROGRAMS.iter().any(|(program, package)| installed::find(program, package).is_none()) {
        return;
    }
    let nothing = Page { kind: "none".into(), ..Page::default() };
    let tried: Vec<Result<(), String>> = WAYS.iter().map(|way| nothing.run(way)).collect();
    let Some(way) = WAYS.iter().zip(&tried).find_map(|(way, tried)| tried.is_ok().then_some(way)) else {
        eprintln!(
            "not tested: no namespaces can be made here (as root: `unshare {}`): {tried:?}",
            NAMESPACES.join(" ")
        );
        return;
    };
    let _turn = turn::take();
    let pages = files(&book(), "md").into_iter().map(|path| Page::read(&path));
    let failed: Vec<String> =
        pages.filter(|page| !page.steps.is_empty()).filter_map(|page| page.run(way).err()).collect();
    assert!(failed.is_empty(), "{} pages do not hold:\n\n{}", failed.len(), failed.join("\n\n"));
}

/// A page without its blocks, comments and code, which have no links and headings.
fn prose(path: &Path) -> String {
    let hidden = Regex::new(r"(?s)<!--.*?-->|```.*?```").unwrap();
    let code = Regex::new("`[^`\n]*`").unwrap();
    let text = fs::read_to_string(path).unwrap();
    code.replace_all(&hidden.replace_all(&text, ""), "").into_owned()
}

/// The names by which the headings of a page are linked to, as mdBook makes them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let hidden = Regex::new(r"(?s)<!--.*?-->|```.*?```").unwrap();
    let text = fs::read_to_string(path).unwrap();
    let text = hidden.replace_all(&text, "").into_owned();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let name = |heading: &str| {
        let kept = heading.chars().filter_map(|character| match character {
            '_' | '-' => Some(character),
            _ if character.is_alphanumeric() => Some(character.to_ascii_lowercase()),
            _ if character.is_whitespace() => Some('-'),
            _ => None,
        });
        kept.collect::<String>()
    };
    headings.map(name).collect()
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Where the links and pictures of a page lead, but for those out into the world.
fn links(path: &Path) -> Vec<(PathBuf, Option<String>)> {
    let link = Regex::new(r#"\]\(([^)\s]+)\)|(?:src|href)="([^"]+)""#).unwrap();
    let text = prose(path);
    let targets = link.captures_iter(&text).filter_map(|found| found.get(1).or(found.get(2)));
    let inside = targets.map(|target| target.as_str()).filter(|target| !target.contains("://"));
    let split = inside.map(|target| match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor.to_owned())),
        None => (target, None),
    });
    let lead = split.map(|(file, anchor)| {
        let to = if file.is_empty() { path.to_owned() } else { path.parent().unwrap().join(file) };
        (plain(&to), anchor)
    });
    lead.collect()
}

#[test]
fn links_lead_somewhere_and_no_page_is_missing() {
    let (book, mut wrong) = (book(), Vec::new());
    let summary = book.join("SUMMARY.md");
    let pages = files(&book, "md");
    for page in &pages {
        for (to, anchor) in links(page) {
            let from = page.display();
            if !to.is_file() {
                wrong.push(format!("{from}: there is no {}", to.display()));
            } else if anchor.as_ref().is_some_and(|anchor| !anchors(&to).contains(anchor)) {
                wrong.push(format!("{from}: {} has no {}", to.display(), anchor.unwrap_or_default()));
            }
        }
    }
    let listed: BTreeSet<PathBuf> = links(&summary).into_iter().map(|(page, _)| page).collect();
    let unlisted = pages.iter().filter(|page| **page != summary && !listed.contains(*page));
    wrong.extend(unlisted.map(|page| format!("{} is not in SUMMARY.md", page.display())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The last text among the arguments of a macro, which end with its parenthesis.
fn last_text(arguments: &str) -> Option<&str> {
    let (mut depth, mut begin, mut found, mut is_escaped) = (1, None, None, false);
    for (at, character) in arguments.char_indices() {
        match (begin, character) {
            _ if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(from), '"') => (found, begin) = (Some(&arguments[from..at]), None),
            (Some(_), _) => {}
            (None, '"') => begin = Some(at + 1),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The programs that write lines of the log, without their tests, each text in one line.
fn sources() -> Vec<String> {
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let is_test = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with("tests") || path.components().any(|part| part.as_os_str() == "tests")
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let paths = LOGGING.iter().flat_map(|package| files(&root.join(package).join("src"), "rs"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        continued.replace_all(text, "").into_owned()
    };
    paths.filter(|path| !is_test(path)).map(read).collect()
}

/// The lines of the log that they write at these levels, with the level of each.
fn messages(source: &str) -> Vec<(String, String)> {
    let written = Regex::new(r"(?:^|[^a-z_])(info|warn|error)!\(").unwrap();
    let message = |found: regex::Captures<'_>| {
        let arguments = &source[found.get(0)?.end()..];
        Some((found[1].to_owned(), last_text(arguments)?.to_owned()))
    };
    // One that is made elsewhere stands here as a mere place.
    written.captures_iter(source).filter_map(message).filter(|(_, text)| !text.starts_with('{')).collect()
}

#[test]
fn every_line_of_the_log_is_explained() {
    let row = Regex::new(r"(?m)^\| `([^`]+)` \| (info|warn|error) \|").unwrap();
    let text = fs::read_to_string(book().join(LOGS)).unwrap();
    let rows: Vec<(String, String)> =
        row.captures_iter(&text).map(|found| (found[2].to_owned(), found[1].to_owned())).collect();
    let sources = sources();
    let messages: BTreeSet<_> = sources.iter().flat_map(|source| messages(source)).collect();
    assert!(messages.len() > 50, "{messages:?}");
    let explains = |(level, text): &(String, String), message: &(String, String)| {
        *level == message.0 && message.1.contains(text.as_str())
    };
    let unknown = messages.iter().filter(|message| !rows.iter().any(|row| explains(row, message)));
    let unknown = unknown.map(|(level, text)| format!("not explained: {level}: {text}"));
    let gone = rows.iter().filter(|(_, text)| !sources.iter().any(|source| source.contains(text.as_str())));
    let gone = gone.map(|(level, text)| format!("not written any more: {level}: {text}"));
    let wrong: Vec<String> = unknown.chain(gone).collect();
    assert!(wrong.is_empty(), "{LOGS}\n{}", wrong.join("\n"));
}
