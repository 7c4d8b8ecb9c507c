//! x
pub mod emulator;
