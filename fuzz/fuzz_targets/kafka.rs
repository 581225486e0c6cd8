//! libFuzzer's door to `fuzz::kafka`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kafka::run(data));
