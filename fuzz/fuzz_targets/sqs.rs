//! libFuzzer's door to `fuzz::sqs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::sqs::run(data));
