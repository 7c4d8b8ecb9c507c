//! The embedded vault, asked over HTTP as any client would.
#![allow(clippy::unwrap_used)]
// What a test left out is said on standard error.
#![allow(clippy::print_stderr)]

mod client;

mod api;
mod catalogue;
mod control;
mod faults;
mod identity;
mod lasting;
mod listening;
mod model;
#[cfg(feature = "pfx")]
mod pem;
mod recording;
mod refusals;
mod replay;
