//! See `lictor_subjects::bodies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::bodies::run(data));
