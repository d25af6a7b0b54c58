//! What the documents have their readers type works, what the book (`docs/`) links to is there, and it explains every line of
//! the log.
//!
//! A page is run from its top to its end, in one shell, in namespaces of its own (`documents/page.sh` makes them ready), which
//! only root can have; elsewhere the test says so and ends. Of a page
//!
//! - `<!-- test: KIND -->` says what runs before its first block: `none`, `agent` (a `lictor agent -dev`), `cluster` (three
//!   servers, and the sidecar `host-a` at the usual ports), `debian` (the agent in a Debian of its own, with systemd);
//! - `<!-- needs: PROGRAM PACKAGE -->` names a program that it is run with, and Debian's package of it;
//! - a block of the language `sh` is run, and so is what stands between a line `<!-- sh` and a line `-->`, which no reader sees;
//! - of one of the language `console`, what follows a prompt (`$ `, `# `) is run, and the other lines must have been said by it;
//! - a block after `<!-- by: FUNCTION -->` is given to that command of the page's shell instead, as its last argument;
//! - a block after `<!-- not run: WHY -->` is not run; it stands in [`NOT_RUN`];
//! - a block after `<!-- file: PATH -->` is written to that file;
//! - a block after `<!-- expect -->` must have been said by what was run last: each line of it, in order, among others. What
//!   stands between words does not count, and `...` is anything;
//! - blocks of other languages (`text`, `hcl`, ...) are for reading.
//!
//! What is no part of Lictor is real: the other programs as Debian has them, started and reloaded as their units say. What
//! stands in for another (`systemctl`, `sudo`, `cargo`) lies in `documents/bin`. `LICTOR_PAGE=nginx` runs the pages of that name.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

#[path = "documents/page.rs"]
mod page;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Component, Path, PathBuf},
};

use lictor_tests::{installed, turn};
use page::{NAMESPACES, Page, root};
use regex::Regex;

/// What every page is run with, and Debian's package of each.
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
/// The blocks that are not run, by their first line; why stands in the page.
const NOT_RUN: [(&str, &str); 6] = [
    (
        "README.md",
        "cargo run --release -- demo     # 3 servers and 2 sidecars on loopback: register, look up, kill the leader; under a minute",
    ),
    (
        "README.md",
        "docker compose up -d && examples/multi-dc/tour.sh    # lookups in and across them, a lost leader, a lost datacenter",
    ),
    ("README.md", r#"grpcurl -plaintext -d '{"service": "web"}' 127.0.0.1:8502 lictor.v1.Registry/WatchService"#),
    ("docs/src/cookbooks/kubernetes.md", "kubectl apply -f servers.yaml -f sidecar.yaml -f dns.yaml"),
    ("docs/src/operations/profiles.md", "go tool pprof -top cpu.prof"),
    ("packaging/README.md", "packaging/deb.sh && sha256sum target/release/lictor target/debian/*.deb"),
];
/// Runs only pages with this in their name.
const ONLY: &str = "LICTOR_PAGE";
/// Where the lines of the log are explained.
const LOGS: &str = "operations/logs.md";
/// The crates that write lines of the log.
const LOGGING: [&str; 6] = ["shared", "server", "sidecar", "grpc", "proto", "cli"];

fn book() -> PathBuf {
    root().join("docs/src")
}

/// The files below a directory with that ending, in order; not those that a build made, nor hidden ones.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, ending));
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every document of the project.
fn documents() -> impl Iterator<Item = Page> {
    files(&root(), "md").into_iter().map(|path| Page::read(&root(), &path))
}

#[test]
fn what_readers_are_to_type_works() {
    if PROGRAMS.iter().any(|(program, package)| installed::find(program, package).is_none()) {
        return;
    }
    if let Err(error) = Page::default().run() {
        eprintln!("not tested: no namespaces can be made here (as root: `unshare {}`): {error}", NAMESPACES.join(" "));
        return;
    }
    let _turn = turn::take();
    let only = env::var(ONLY).unwrap_or_default();
    let pages = documents().filter(|page| page.name.contains(&only) && !page.is_for_reading());
    let failed: Vec<String> = pages.filter_map(|page| page.run().err()).collect();
    assert!(failed.is_empty(), "{} pages do not hold:\n\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn what_is_not_run_is_known() {
    let listed: BTreeSet<(String, String)> = NOT_RUN.map(|(page, line)| (page.into(), line.into())).into();
    let not_run = documents().flat_map(|page| page.not_run.into_iter().map(move |line| (page.name.clone(), line)));
    assert_eq!(not_run.collect::<BTreeSet<_>>(), listed);
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
    let root = root();
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
