//! `cargo +nightly fuzz run answer`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| akvfs::vault::http::fuzz::answer(bytes));
