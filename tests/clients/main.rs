//! The official clients drive `akvfs emulator`: one scenario, told in each client's language, against a prompt vault,
//! one that takes 4 s to delete, to recover and to purge, and one with 120 empty pages before each page of a list.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod documented;
mod example;
mod files;
mod javascript;
mod python;
mod rotation;
mod rust;
mod script;
mod sign_in;
mod slow;
mod unmodified_host;
mod vault;
