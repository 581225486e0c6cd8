//! libFuzzer's door to `fuzz::sasl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::sasl::run(data));
