//! Secret bytes that are still being written: they grow, shrink and change in place.

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use zeroize::Zeroize;

use super::SecretBytes;

const PAGE: usize = 4096;

/// A growing buffer in pages of its own: kept in memory as far as the system's limit on locked memory
/// allows (`RLIMIT_MEMLOCK`), left out of dumps, overwritten whenever bytes leave it. `Debug` shows
/// nothing of it.
#[derive(Default)]
pub struct SecretBuffer {
    pages: Option<Pages>,
    len: usize,
}

impl SecretBuffer {
    /// The bytes. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        self.pages.as_ref().and_then(|pages| pages.bytes().get(..self.len)).unwrap_or_default()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Replaces what is at the offset, and what follows it as far as `bytes` reach; a gap before the offset
    /// is filled with zeros.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if end > self.len && !bytes.is_empty() {
            self.resize(end)?;
        }
        if let Some(place) = self.pages.as_mut().and_then(|pages| pages.bytes_mut().get_mut(offset..end)) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Cuts off, or appends zeros.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub fn resize(&mut self, len: usize) -> io::Result<()> {
        if self.pages.as_ref().map_or(0, |pages| pages.size) < len {
            let mut larger = Pages::new(len.next_power_of_two().max(PAGE))?;
            if let Some(place) = larger.bytes_mut().get_mut(..self.len) {
                place.copy_from_slice(self.expose());
            }
            self.pages = Some(larger);
        }
        // What is beyond the end is always zero, so that growing again shows nothing old.
        if let Some(rest) = self.pages.as_mut().and_then(|pages| pages.bytes_mut().get_mut(len..)) {
            let used = self.len.saturating_sub(len).min(rest.len());
            rest.get_mut(..used).unwrap_or_default().zeroize();
        }
        self.len = len;
        Ok(())
    }

    /// A copy that does not change any more.
    pub fn to_bytes(&self) -> SecretBytes {
        SecretBytes::new(self.expose().to_vec())
    }
}

impl fmt::Debug for SecretBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBuffer(redacted)")
    }
}

/// Whole pages, this buffer's alone.
struct Pages {
    start: NonNull<c_void>,
    size: usize,
}

// SAFETY: the pages belong to this value alone, as a Box's memory does.
unsafe impl Send for Pages {}
// SAFETY: shared references only read.
unsafe impl Sync for Pages {}

impl Pages {
    fn new(size: usize) -> io::Result<Pages> {
        let length = NonZeroUsize::new(size).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of others.
        let start = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE)? };
        // Both are as good as the system lets them be: a limit on locked memory is no reason to lose a write.
        // SAFETY: the range is the mapping made above.
        let _ = unsafe { mlock(start, size) };
        // SAFETY: the same.
        let _ = unsafe { madvise(start, size, MmapAdvise::MADV_DONTDUMP) };
        Ok(Pages { start, size })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, `size` bytes long, zeroed by the kernel, and lives as long as self.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.size) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the same, and the exclusive borrow of self is one of the bytes.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.size) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        // SAFETY: the mapping is this value's own, and no borrow of it outlives this.
        let _ = unsafe { munmap(self.start, self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_extends_and_fills_gaps() {
        let mut buffer = SecretBuffer::default();
        buffer.write_at(0, b"hello world").unwrap();
        buffer.write_at(6, b"there!").unwrap();
        assert_eq!(buffer.expose(), b"hello there!");
        buffer.write_at(14, b"x").unwrap();
        assert_eq!(buffer.expose(), b"hello there!\0\0x");
        buffer.write_at(100, b"").unwrap();
        assert_eq!(buffer.len(), 15);
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut buffer = SecretBuffer::default();
        buffer.write_at(0, b"secret").unwrap();
        buffer.resize(2).unwrap();
        buffer.resize(6).unwrap();
        assert_eq!(buffer.expose(), b"se\0\0\0\0");
    }

    #[test]
    fn growing_past_a_page_keeps_the_bytes() {
        let mut buffer = SecretBuffer::default();
        buffer.write_at(0, b"start").unwrap();
        buffer.write_at(10_000, b"end").unwrap();
        assert_eq!(
            (buffer.len(), &buffer.expose()[..5], &buffer.expose()[10_000..]),
            (10_003, &b"start"[..], &b"end"[..])
        );
        assert_eq!(format!("{buffer:?}"), "SecretBuffer(redacted)");
    }
}
