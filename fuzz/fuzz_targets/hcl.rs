//! See `lictor_subjects::hcl`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lictor_subjects::hcl::run(data));
