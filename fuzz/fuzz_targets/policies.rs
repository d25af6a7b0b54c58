//! See `lictor_subjects::policies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::policies::run(data));
