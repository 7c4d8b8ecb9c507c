//! `cargo +nightly fuzz run challenge`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| akvfs::vault::http::fuzz::challenge(bytes));
