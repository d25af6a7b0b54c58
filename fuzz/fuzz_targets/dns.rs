//! See `lictor_subjects::dns`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::dns::run(data));
