//! libFuzzer's entry to `mainstay_fuzz_targets::answering`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_fuzz_targets::answering(bytes));
