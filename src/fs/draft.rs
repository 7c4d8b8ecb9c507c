//! What one open file is going to write: the value as it will be.

use super::FsError;
use super::encoding::{UNITS_MAX, too_large, units};
use super::scratch::no_memory;
use crate::sys::{SecretBuffer, SecretBytes};
use crate::vault::VersionId;

/// Bytes of a draft: no character takes more than three for each of its UTF-16 units.
const BYTES_MAX: usize = 3 * UNITS_MAX;

/// The value as it will be.
#[derive(Default)]
pub(super) struct Draft {
    bytes: SecretBuffer,
    base: Base,
    /// Counts changes, so that a commit knows whether there were more meanwhile.
    changes: u64,
    saved: u64,
    /// Changes that a commit has been tried with, whatever came of it.
    tried: u64,
    /// Its writer was killed: nothing of it counts.
    abandoned: bool,
}

/// What the draft started from.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) enum Base {
    /// Nobody has needed to know yet.
    #[default]
    Unread,
    /// From nothing: the whole value is written anew.
    Nothing,
    /// From this version, of which parts stay.
    Version(VersionId),
}

/// A draft at one moment, on its way to the vault.
pub(super) struct Copy {
    pub(super) bytes: SecretBytes,
    pub(super) base: Base,
    changes: u64,
}

impl Draft {
    /// A draft that starts from nothing.
    pub(super) fn empty() -> Draft {
        Draft { base: Base::Nothing, ..Draft::default() }
    }

    /// Whether it has to be filled with the newest version's bytes before it can be changed in part.
    pub(super) fn is_unread(&self) -> bool {
        self.base == Base::Unread
    }

    /// Starts from a version; without effect on a draft that has started already.
    pub(super) fn start_from(&mut self, version: Option<VersionId>, bytes: &[u8]) -> Result<(), FsError> {
        if self.is_unread() {
            self.bytes.write_at(0, bytes).map_err(|_| no_memory())?;
            self.base = version.map_or(Base::Nothing, Base::Version);
        }
        Ok(())
    }

    pub(super) fn expose(&self) -> &[u8] {
        self.bytes.expose()
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], append: bool) -> Result<(), FsError> {
        let offset = if append { self.bytes.len() } else { usize::try_from(offset).unwrap_or(usize::MAX) };
        let end = offset.saturating_add(bytes.len());
        if end > BYTES_MAX || end > UNITS_MAX && self.units_with(offset, bytes) > UNITS_MAX {
            return Err(too_large());
        }
        self.bytes.write_at(offset, bytes).map_err(|_| no_memory())?;
        self.changes += 1;
        Ok(())
    }

    fn units_with(&self, offset: usize, bytes: &[u8]) -> usize {
        let old = self.bytes.expose();
        let before = old.get(..offset.min(old.len())).unwrap_or_default();
        let gap = offset.saturating_sub(old.len());
        let after = old.get(offset.saturating_add(bytes.len())..).unwrap_or_default();
        units(before) + gap + units(bytes) + units(after)
    }

    /// An explicit change of the length: unlike opening with truncation, it makes a value.
    pub(super) fn resize(&mut self, size: u64) -> Result<(), FsError> {
        let size = usize::try_from(size).ok().filter(|size| *size <= BYTES_MAX).ok_or_else(too_large)?;
        let grown = size.saturating_sub(self.bytes.len());
        if grown > 0 && units(self.bytes.expose()) + grown > UNITS_MAX {
            return Err(too_large());
        }
        self.bytes.resize(size).map_err(|_| no_memory())?;
        if size == 0 {
            self.base = Base::Nothing;
        }
        self.changes += 1;
        Ok(())
    }

    /// Whether something has been written that is not in the vault.
    pub(super) fn is_unsaved(&self) -> bool {
        self.changes != self.saved && !self.abandoned
    }

    /// Whether something has been written that no commit has been tried with. What its writer has been told
    /// the failure of is not tried again behind its back.
    pub(super) fn is_untried(&self) -> bool {
        self.changes != self.tried && !self.abandoned
    }

    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    pub(super) fn copy(&mut self) -> Copy {
        self.tried = self.changes;
        Copy { bytes: self.bytes.to_bytes(), base: self.base, changes: self.changes }
    }

    /// A copy has become a version.
    pub(super) fn saved(&mut self, copy: &Copy, version: VersionId) {
        self.saved = copy.changes;
        if let Base::Version(_) = self.base {
            self.base = Base::Version(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32) -> VersionId {
        VersionId::parse(&format!("{number:032x}")).unwrap()
    }

    #[test]
    fn what_is_written_during_a_commit_is_still_unsaved() {
        let mut draft = Draft::empty();
        draft.write(0, b"a", false).unwrap();
        let copy = draft.copy();
        draft.write(1, b"b", false).unwrap();
        draft.saved(&copy, version(1));
        assert!(draft.is_unsaved() && draft.is_untried());
        let copy = draft.copy();
        draft.saved(&copy, version(2));
        assert!(!draft.is_unsaved());
    }

    #[test]
    fn a_part_belongs_to_the_version_it_started_from() {
        let mut draft = Draft::default();
        draft.start_from(Some(version(1)), b"old").unwrap();
        draft.write(0, b" and new", true).unwrap();
        assert_eq!(draft.expose(), b"old and new");
        assert_eq!(draft.copy().base, Base::Version(version(1)));
        draft.resize(0).unwrap();
        assert_eq!(draft.copy().base, Base::Nothing);
    }

    #[test]
    fn a_secrets_limit_is_one_of_characters() {
        let mut draft = Draft::empty();
        draft.write(0, "€".repeat(UNITS_MAX).as_bytes(), false).unwrap();
        assert_eq!(draft.write(0, b"x", true).unwrap_err().errno(), libc::EFBIG);
        let mut draft = Draft::empty();
        draft.write(0, &vec![b'a'; UNITS_MAX], false).unwrap();
        draft.write(0, b"b", false).unwrap();
        assert_eq!(draft.write(0, b"x", true).unwrap_err().errno(), libc::EFBIG);
        assert_eq!(draft.resize(UNITS_MAX as u64 + 1).unwrap_err().errno(), libc::EFBIG);
    }
}
