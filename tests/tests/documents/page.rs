//! A page: what stands in it for a test, and how that is run. `documents.rs` says what means what.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use lictor_tests::{
    binary,
    debian::{Debian, SHARED},
    installed,
    process::Process,
    wait,
};

/// Runs the steps of a page.
const RUNNER: &str = include_str!("page.sh");
/// What a page's shell finds beside the programs of the host.
const TOOLS: [(&str, &str); 4] = [
    ("cargo", include_str!("bin/cargo")),
    ("manifests", include_str!("bin/manifests")),
    ("sudo", include_str!("bin/sudo")),
    ("systemctl", include_str!("bin/systemctl")),
];
/// The longest a page may take.
const LIMIT: Duration = Duration::from_secs(90);
/// Which namespaces, and that all ends with the one that made them.
pub const NAMESPACES: [&str; 7] = ["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// The kind of page that is run where systemd runs.
const DEBIAN: &str = "debian";
/// Goes out before each step's number.
const MARK: char = '\u{1e}';
/// Languages that nobody types into a shell.
const FOR_READING: [&str; 7] = ["hcl", "ini", "json", "nginx", "rust", "text", "yaml"];

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

/// A page.
#[derive(Default)]
pub struct Page {
    pub name: String,
    kind: String,
    /// Programs that it is run with, and Debian's package of each.
    needs: Vec<(String, String)>,
    steps: Vec<Step>,
    /// The first line of each block that is not run.
    pub not_run: Vec<String>,
}

/// What a comment of that name says.
fn comment<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?.strip_prefix(name)?.strip_prefix(": ")
}

/// The comments that stand before a block and say what it is for.
#[derive(Default)]
struct Notes {
    file: Option<String>,
    expect: bool,
    by: Option<String>,
    not_run: bool,
}

impl Page {
    /// Reads it; `root` is where its name begins.
    ///
    /// # Panics
    /// It cannot be read, or not understood.
    pub fn read(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let text = fs::read_to_string(path).unwrap();
        let mut page = Self { name, kind: "none".into(), ..Self::default() };
        let mut lines = (1..).zip(text.lines());
        let mut notes = Notes::default();
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
            if written.trim() == "<!-- sh" {
                page.steps.push(Step { line, what: What::Run(body("-->")) });
            } else if let Some(language) = written.trim_start().strip_prefix("```") {
                let text = body("```");
                page.block(line, language, text, std::mem::take(&mut notes));
            } else {
                page.note(written, &mut notes);
            }
        }
        page
    }

    /// A line between the blocks.
    fn note(&mut self, line: &str, notes: &mut Notes) {
        if let Some(kind) = comment(line, "test") {
            self.kind = kind.into();
        } else if let Some(needed) = comment(line, "needs") {
            let (program, package) = needed.split_once(' ').unwrap_or((needed, needed));
            self.needs.push((program.into(), package.into()));
        } else if let Some(path) = comment(line, "file") {
            notes.file = Some(path.into());
        } else if let Some(function) = comment(line, "by") {
            notes.by = Some(function.into());
        } else if line.trim() == "<!-- expect -->" {
            notes.expect = true;
        } else {
            let not_run = comment(line, "not run").is_some_and(|why| !why.trim().is_empty());
            assert!(not_run || !line.trim().starts_with("<!--"), "{}: what is {line}?", self.name);
            notes.not_run |= not_run;
        }
    }

    fn block(&mut self, line: usize, language: &str, text: String, notes: Notes) {
        if let Some(path) = notes.file {
            return self.steps.push(Step { line, what: What::Write { path, text } });
        }
        if notes.expect {
            return self.steps.push(Step { line, what: What::Expect(text) });
        }
        let (commands, said) = match language {
            "sh" => (text, String::new()),
            "console" => console(&text),
            language => {
                let place = format!("{}:{line}", self.name);
                assert!(FOR_READING.contains(&language), "{place}: is `{language}` run, or for reading?");
                assert!(
                    !text.lines().any(|line| line.starts_with("$ ")),
                    "{place}: commands are of the language console"
                );
                return;
            }
        };
        assert!(!commands.is_empty(), "{}:{line}: no line begins with a prompt", self.name);
        if notes.not_run {
            return self.not_run.push(commands.lines().next().unwrap_or_default().into());
        }
        let script = match notes.by {
            Some(function) => format!("{function} '{}'\n", commands.trim_end().replace('\'', r"'\''")),
            None => commands,
        };
        self.steps.push(Step { line, what: What::Run(script) });
        if !said.is_empty() {
            self.steps.push(Step { line, what: What::Expect(said) });
        }
    }

    /// Whether there is nothing to run.
    pub fn is_for_reading(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs it, or says what is missing for that.
    ///
    /// # Errors
    /// It does not hold: where, and why.
    pub fn run(&self) -> Result<(), String> {
        let is_missing = |(program, package): &(String, String)| installed::find(program, package).is_none();
        if self.needs.iter().any(is_missing) {
            return Ok(());
        }
        let directory = tempfile::tempdir().unwrap();
        self.write(directory.path());
        let started = Instant::now();
        let (ended, said, log) = match self.kind.as_str() {
            DEBIAN => match Debian::started(directory.path()) {
                Some(debian) => in_debian(&debian),
                None => return Ok(()),
            },
            kind => in_namespaces(directory.path(), kind),
        };
        if !self.is_for_reading() {
            eprintln!("{}: {:.1} s", self.name, started.elapsed().as_secs_f32());
        }
        let outputs = outputs(&said);
        let Err(failed) = ended else { return self.compare(&outputs) };
        let (number, last) = outputs.last_key_value().map_or((0, said.as_str()), |(number, said)| (*number, *said));
        Err(format!("{}: {failed}\n{}--- said\n{last}{log}", self.place(number), self.text(number)))
    }

    /// Writes what runs it into a directory.
    fn write(&self, directory: &Path) {
        let at = |name: &str| directory.join(name);
        fs::write(at("page.sh"), RUNNER).unwrap();
        for (name, text) in TOOLS {
            fs::create_dir_all(at("bin")).unwrap();
            fs::write(at("bin").join(name), text).unwrap();
        }
        let program = binary::path("lictor");
        // A container sees nothing but the directory.
        if self.kind == DEBIAN {
            fs::copy(program, at("lictor")).unwrap();
        } else {
            symlink(program, at("lictor")).unwrap();
        }
        fs::create_dir(at("steps")).unwrap();
        for (number, step) in (1..).zip(&self.steps) {
            let script = match &step.what {
                What::Run(text) => text.clone(),
                What::Write { path, text } => {
                    let content = format!("steps/{number:03}.content");
                    fs::write(at(&content), text).unwrap();
                    format!("mkdir -p \"$(dirname '{path}')\" && cp \"$given/{content}\" '{path}'\n")
                }
                What::Expect(_) => continue,
            };
            fs::write(at(&format!("steps/{number:03}.sh")), script).unwrap();
        }
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

/// How it ended, what it said, and what it said besides.
type Ran = (Result<(), String>, String, String);

/// Runs what was written into the directory as the first process of fresh namespaces.
fn in_namespaces(directory: &Path, kind: &str) -> Ran {
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).arg("bash").arg(directory.join("page.sh")).arg(kind).arg(directory).arg(root());
    let mut process = Process::start("page", directory, &mut command);
    let ended = wait::attempt(LIMIT, || process.exit_status().ok_or("still running"));
    process.kill();
    let ended = match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(format!("{error} after {LIMIT:?}")),
    };
    (ended, process.output(), process.log())
}

/// Runs what it sees in a Debian.
fn in_debian(debian: &Debian) -> Ran {
    let limit = LIMIT.as_secs();
    let output = debian.run(&format!("timeout --kill-after=5 {limit} bash {SHARED}/page.sh {DEBIAN} {SHARED}"));
    let ended = if output.status.success() { Ok(()) } else { Err(output.status.to_string()) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended, text(&output.stdout), text(&output.stderr))
}

/// The directory of the sources.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// What is typed in a block of the language `console`, after a prompt each, and what stands in it as said. A command goes on
/// in the next line after a backslash.
fn console(text: &str) -> (String, String) {
    let (mut commands, mut said) = (String::new(), String::new());
    for line in text.lines() {
        let typed = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
        let goes_on = commands.ends_with("\\\n");
        let to = if typed.is_some() || goes_on { &mut commands } else { &mut said };
        to.push_str(typed.unwrap_or(line));
        to.push('\n');
    }
    (commands, said)
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
