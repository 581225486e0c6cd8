//! libFuzzer's door to `fuzz::append`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::append::run(data));
