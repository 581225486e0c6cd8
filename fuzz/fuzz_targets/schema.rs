//! libFuzzer's door to `fuzz::schema`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::schema::run(data));
