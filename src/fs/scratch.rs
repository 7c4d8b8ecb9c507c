//! Scratch files: what editors and atomic replacers write before it becomes the value. In memory, and
//! never sent.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::FsError;
use super::caller::Caller;
use crate::sys::SecretBuffer;
use crate::tree::FileNumber;

/// A scratch file that nobody has open is gone after this.
pub(super) const LIFETIME: Duration = Duration::from_secs(3600);
/// Scratch files of one secret.
pub(super) const FILES_MAX: usize = 64;
/// Bytes of one scratch file: an editor's swap or undo file is a multiple of the value.
const BYTES_MAX: usize = 4 << 20;

/// Names that programs use for such files. `*` is any text, `?` one character, `@` one letter, digit or
/// underscore, `#` one digit.
const PATTERNS: [&str; 19] = [
    ".?*",
    "?*current",
    "current?*",
    "?*current?*",
    "*~",
    "*.tmp",
    "*.bak",
    "*.lock",
    "*.swp",
    "*.new",
    "*.old",
    "*.orig",
    "sed@@@@@@", // GNU sed -i
    "XX@@@@@@",  // perl -i
    "####",
    "#####",       // vim looks with 4913 whether it can make files here
    "tmp@@@@@@@@", // Python's tempfile
    "tmp.?*",      // mktemp
    "rsync.?*",
];

/// Whether a name in a secret's directory is a scratch file's.
pub(super) fn is_scratch_name(name: &str, more: &[String]) -> bool {
    PATTERNS.iter().copied().chain(more.iter().map(String::as_str)).any(|pattern| matches(pattern, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    let mut left = name.chars();
    let Some(wanted) = rest.next() else { return name.is_empty() };
    if wanted == '*' {
        let tails = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        return tails.filter_map(|at| name.get(at..)).any(|tail| matches(rest.as_str(), tail));
    }
    let fits = |got: char| match wanted {
        '?' => true,
        '@' => got.is_ascii_alphanumeric() || got == '_',
        '#' => got.is_ascii_digit(),
        exactly => got == exactly,
    };
    left.next().is_some_and(fits) && matches(rest.as_str(), left.as_str())
}

/// One scratch file, under whatever name.
pub(super) struct ScratchFile {
    pub(super) number: FileNumber,
    pub(super) content: Mutex<Content>,
}

/// What is in it, and what it looks like.
pub(super) struct Content {
    pub(super) bytes: SecretBuffer,
    /// Whether anybody has written bytes, or cut it to a length.
    pub(super) written: bool,
    /// Whether something has been written since it became the value, if it has.
    pub(super) unsaved: bool,
    /// Whether it has been renamed to `current`: what is still written to it goes there.
    pub(super) placed: bool,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Unix seconds.
    pub(super) modified: i64,
    pub(super) open: usize,
    /// When it was last closed.
    pub(super) idle_since: Instant,
}

impl ScratchFile {
    pub(super) fn new(number: FileNumber, mode: u16, caller: &Caller, now: i64) -> ScratchFile {
        let content = Content {
            bytes: SecretBuffer::default(),
            written: false,
            unsaved: false,
            placed: false,
            mode,
            uid: caller.uid,
            gid: caller.gid,
            modified: now,
            open: 0,
            idle_since: Instant::now(),
        };
        ScratchFile { number, content: Mutex::new(content) }
    }

    pub(super) fn is_over(&self) -> bool {
        let content = self.content.lock();
        content.open == 0 && content.idle_since.elapsed() >= LIFETIME
    }
}

impl Content {
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], append: bool, now: i64) -> Result<(), FsError> {
        let offset = if append { self.bytes.len() } else { usize::try_from(offset).unwrap_or(usize::MAX) };
        if offset.saturating_add(bytes.len()) > BYTES_MAX {
            return Err(too_large());
        }
        self.bytes.write_at(offset, bytes).map_err(|_| no_memory())?;
        self.touched(now);
        Ok(())
    }

    pub(super) fn resize(&mut self, size: u64, now: i64) -> Result<(), FsError> {
        let size = usize::try_from(size).ok().filter(|size| *size <= BYTES_MAX).ok_or_else(too_large)?;
        self.bytes.resize(size).map_err(|_| no_memory())?;
        self.touched(now);
        Ok(())
    }

    fn touched(&mut self, now: i64) {
        self.written = true;
        self.unsaved = true;
        self.modified = now;
    }
}

fn too_large() -> FsError {
    FsError::TooLarge("a scratch file may hold 4 MiB, which is many times the longest secret".into())
}

pub(super) fn no_memory() -> FsError {
    FsError::NoSpace("the system has no memory left for what is being written".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_editors_and_replacers_are_scratch() {
        for name in [
            ".current.swp",
            ".current.swx",
            "current~",
            "4913",
            "5036",
            "sedAb12_z",
            "tmpab12cd_e",
            "tmp.Xy12345678",
            ".current.Gx81Ab",
            "current.tmp",
            "current.lock",
            "current.dpkg-new",
            "#current#",
            ".#current",
            "XXab12cd",
            "current.123456",
            "x.bak",
            "current.~1~",
            ".git",
        ] {
            assert!(is_scratch_name(name, &[]), "{name}");
        }
    }

    #[test]
    fn a_typing_error_is_not() {
        for name in
            ["curent", "value", "Current", "password", "sed", "tmp", "49", "0123456789abcdef0123456789abcdef", "."]
        {
            assert!(!is_scratch_name(name, &[]), "{name}");
        }
    }

    #[test]
    fn patterns_may_be_added() {
        let more = ["*.part".to_owned(), "mine-?".to_owned()];
        assert!(is_scratch_name("x.part", &more) && is_scratch_name("mine-1", &more));
        assert!(!is_scratch_name("mine-12", &more));
    }
}
