//! See `lictor_subjects::gossip`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::gossip::run(data));
