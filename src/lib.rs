//! akvfs mounts the secrets of an Azure Key Vault as a directory.
//!
//! # The map of the house
//!
//! The rooms, in the order in which a read passes through them; each module's own page says what it
//! owns and what it refuses, and `tests/architecture.rs` holds the arrows between them.
//!
//! | room | owns |
//! |---|---|
//! | [`cli`] | flags exactly as typed |
//! | [`config`] | what they mean: every usage error and its wording, the settings of each room |
//! | [`daemon`] | the composition root: what is started, what ends it, what is said when it fails |
//! | [`fuse`] | the kernel: mounting, decoding requests, replying, interrupts |
//! | [`fs`] | operations in filesystem words over any vault, open handles, the errno table |
//! | [`tree`] | names, nodes, inode numbers, attributes: the one path table |
//! | [`vault`] | the port: what a Key Vault can do, in its own words |
//! | [`cache`] | a vault that remembers what another vault said |
//! | [`rotation`] | what follows a change: the kernel forgets, a command is run, units are told |
//! | [`vault::http`] | a vault reached over its REST API |
//! | [`auth`] | the token that the REST API wants to see |
//! | [`sys`] | secret bytes, the wiping allocator, and everything that is `unsafe` |
//! | [`emulator`] | the embedded vault: a server that behaves as the real service does |
//!
//! ```text
//! main → cli → config          daemon composes everything, and nothing imports daemon
//! kernel ⇄ fuse → fs → tree → vault (names)
//!               fs → vault (port) ← cache, vault/http → auth
//! fuse → rotation (whom to tell) → cache (what has changed)
//! emulator → (nothing of ours)          sys ← anyone
//! ```

pub mod auth;
pub mod cache;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod emulator;
pub mod fs;
pub mod fuse;
pub mod rotation;
pub mod sys;
pub mod tree;
pub mod vault;
