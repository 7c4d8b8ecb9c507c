//! The real kernel, the real command, an embedded vault: one file per behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod editors;
mod lifecycle;
mod listing;
mod managing;
mod programs;
mod reading;
mod refusals;
mod sizes;
mod slow_vault;
mod user;
mod writing;
