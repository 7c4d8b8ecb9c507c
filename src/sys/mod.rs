//! Everything `unsafe`, and what needs it: secret bytes, the wiping allocator, process hardening,
//! the kernel's mount calls that have no safe wrapper.
//!
//! Refuses policy: what to protect or where to mount is decided by the callers.
#![allow(unsafe_code)]

mod descriptor;
mod environment;
mod extended_attribute;
mod mount_api;
mod process;
mod secret_buffer;
mod secret_bytes;
mod wiping_allocator;
mod writable_clone;

pub use descriptor::{close_inherited_descriptors, receive_descriptor};
pub use environment::take_from_environment;
pub use extended_attribute::extended_attribute;
pub use mount_api::{MountAttributes, mount_fuse};
pub use process::forbid_dumps;
pub use secret_buffer::SecretBuffer;
pub use secret_bytes::SecretBytes;
pub use wiping_allocator::WipingAllocator;
pub use writable_clone::writable_clone;
