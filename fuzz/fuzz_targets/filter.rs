//! See `lictor_subjects::filter`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::filter::run(data));
