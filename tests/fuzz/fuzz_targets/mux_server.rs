#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| muxcool_fuzz::mux_server::check(data));
