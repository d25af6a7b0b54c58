//! All that the fuzzer has kept is taken by its subject without a panic.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{fs, path::Path};

use lictor_subjects::ALL;

#[test]
fn what_the_fuzzer_has_found_is_taken() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, subject) in ALL {
        let directory = corpus.join(name);
        let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 5, "{}: {} files", directory.display(), files.len());
        for file in files {
            // A panic says what is wrong, and this says of what.
            eprintln!("{}", file.display());
            subject(&fs::read(file).unwrap());
        }
    }
}
