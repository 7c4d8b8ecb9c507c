//! `cargo +nightly fuzz run request`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| akvfs::emulator::fuzz::request(bytes));
