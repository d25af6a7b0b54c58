//! See `lictor_subjects::http`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::http::run(data));
