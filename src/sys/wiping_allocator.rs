//! A global allocator that overwrites memory when it is freed.
//!
//! Own code because the copies it is after are made inside HTTP, TLS and JSON libraries, where no
//! wrapper type reaches: only the allocator sees them all.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which wipes every block before it gives it back.
pub struct WipingAllocator;

/// Overwrites a block in a way that the compiler may not leave out.
///
/// # Safety
/// `block` must be valid for writes of `size` bytes.
unsafe fn wipe(block: *mut u8, size: usize) {
    // SAFETY: the caller vouches for the block.
    unsafe { std::ptr::write_bytes(block, 0, size) };
    // The barrier makes the bytes observable, so that the write before it is not a dead store.
    // SAFETY: an empty instruction sequence that only claims to read the memory behind `block`.
    unsafe { std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags, readonly)) };
}

// SAFETY: every call is passed on to the system's allocator, with the layout it came with.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's, of this layout, and nobody uses it any more.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: the same.
        unsafe { System.dealloc(block, layout) }
    }
    // `realloc` is the trait's own: allocate, copy, deallocate. The system's could move a block and
    // leave the old bytes behind.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_block_holds_no_old_byte() {
        let mut block = [0xA5_u8; 64];
        // SAFETY: the array is ours and 64 bytes long.
        unsafe { wipe(block.as_mut_ptr(), block.len()) };
        assert_eq!(block, [0; 64]);
    }
}
