//! See `lictor_subjects::messages`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::messages::run(data));
