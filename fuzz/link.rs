//! `cargo +nightly fuzz run link`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| akvfs::vault::http::fuzz::link(bytes));
