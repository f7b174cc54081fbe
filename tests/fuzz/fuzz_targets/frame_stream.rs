#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| muxcool_fuzz::frame_stream::check(data));
