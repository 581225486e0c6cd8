//! libFuzzer's door to `fuzz::amqp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::amqp::run(data));
