//! libFuzzer's door to `fuzz::schema_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::schema_files::run(data));
