//! The embedded vault, asked over HTTP as any client would.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;

mod api;
mod faults;
mod listening;
