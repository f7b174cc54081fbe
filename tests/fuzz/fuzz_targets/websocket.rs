#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| muxcool_fuzz::websocket::check(data));
