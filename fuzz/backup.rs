//! `cargo +nightly fuzz run backup`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| akvfs::emulator::fuzz::backup(bytes));
