//! libFuzzer's entry to `mainstay_fuzz_targets::queue_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_fuzz_targets::queue_file(bytes));
