//! The `akvfs` command.

use std::process::ExitCode;

use akvfs::sys::WipingAllocator;

/// Freed memory may have held a secret, in any library's buffer.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    akvfs::cli::main()
}
