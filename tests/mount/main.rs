//! The real kernel, the real command, an embedded vault: one file per behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod background;
mod editors;
mod exerciser;
mod faults;
mod foreground;
mod freshness;
mod interference;
mod lifecycle;
mod listing;
mod managing;
mod model;
mod paging;
mod posix;
mod programs;
mod readiness;
mod reading;
mod refreshing;
mod refusals;
mod settling;
mod sizes;
mod slow_vault;
mod user;
mod writing;
