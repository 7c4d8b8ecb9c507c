//! What a person at the terminal is told, and the exit code that a script sees.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod emulator;
mod request;
mod request_session;
mod sign_in;
mod trouble;
mod usage;
