//! Fuzzes without a fuzzer, where there is only a stable compiler: changes what is in the corpus at random, by a seed, and
//! gives it to its subject. `mutate SUBJECT SECONDS [SEED]`. It is blind, so the fuzzer finds in minutes what this finds in
//! hours; but it runs everywhere.
//!
//! An input that made its subject panic is in the file `mutate-SUBJECT.input` of the current directory; add it to the
//! corpus.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::{
    env, fs,
    path::Path,
    process::ExitCode,
    sync::Mutex,
    time::{Duration, Instant},
};

use lictor_subjects::ALL;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Changes of one input, at most.
const CHANGES: usize = 8;
/// The longest input, in bytes.
const BYTES: usize = 8192;
/// Bytes that mean something in many a format.
const TELLING: [u8; 16] = [0, 1, 0x7f, 0x80, 0xc0, 0xff, b'[', b']', b'{', b'}', b'"', b'(', b'/', b'%', b'\n', b','];

/// What is being tried. A panic may come on any thread, and ends the process with it written down.
static INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let wanted = arguments.get(1).and_then(|wanted| ALL.iter().find(|(name, _)| name == wanted));
    let seconds = arguments.get(2).and_then(|seconds| seconds.parse().ok());
    let (Some((name, subject)), Some(seconds)) = (wanted, seconds) else {
        eprintln!("usage: mutate SUBJECT SECONDS [SEED]; subjects: {}", ALL.map(|(name, _)| name).join(" "));
        return ExitCode::from(2);
    };
    let seed = arguments.get(3).and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let corpus = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name));
    if corpus.is_empty() {
        eprintln!("{name}: the corpus is empty");
        return ExitCode::FAILURE;
    }
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let input = INPUT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(fs::write(format!("mutate-{name}.input"), &*input));
        std::process::exit(1);
    }));
    let (began, limit, mut random) = (Instant::now(), Duration::from_secs(seconds), StdRng::seed_from_u64(seed));
    let mut tried = 0_u64;
    while began.elapsed() < limit {
        let input = changed(&corpus, &mut random);
        input.clone_into(&mut INPUT.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        subject(&input);
        tried += 1;
    }
    println!("{name}: {tried} inputs in {seconds} s, seed {seed}: nothing found");
    ExitCode::SUCCESS
}

fn read(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).filter(|bytes| !bytes.is_empty()).collect()
}

fn changed(corpus: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..random.random_range(1..=CHANGES) {
        if input.is_empty() {
            break;
        }
        let at = random.random_range(0..input.len());
        let end = random.random_range(at..=input.len().min(at + 64));
        match random.random_range(0..7) {
            0 => input[at] ^= 1 << random.random_range(0..8),
            1 => input[at] = TELLING[random.random_range(0..TELLING.len())],
            2 => input.insert(at, TELLING[random.random_range(0..TELLING.len())]),
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].repeat(random.random_range(1..20));
                drop(input.splice(at..at, again));
            }
            5 => input.truncate(at),
            _ => {
                let other = &corpus[random.random_range(0..corpus.len())];
                let from = random.random_range(0..other.len());
                drop(input.splice(at..end, other[from..].iter().copied()));
            }
        }
    }
    input.truncate(BYTES);
    input
}
