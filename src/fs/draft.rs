//! What one open file is going to write: the value as it will be.

use std::ops::Range;

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
    /// What a refused write was to fill. Whoever goes on all the same, as many programs do, must not have
    /// what is left take the place of a whole value.
    missing: Option<Range<usize>>,
}

/// What the draft started from.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) enum Base {
    /// Nobody has needed to know yet.
    #[default]
    Unread,
    /// From nothing: the whole value is written anew.
    Nothing,
    /// From nothing, since there was no such secret.
    New,
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

    /// A draft for a secret that is to be made, and that is to be nobody else's.
    pub(super) fn new_secret() -> Draft {
        Draft { base: Base::New, ..Draft::default() }
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
        let range = offset..offset.saturating_add(bytes.len());
        if let Err(error) = self.put(&range, bytes) {
            let missing = self.missing.get_or_insert(range.clone());
            *missing = missing.start.min(range.start)..missing.end.max(range.end);
            return Err(error);
        }
        self.missing.take_if(|missing| range.start <= missing.start && missing.end <= range.end);
        self.changes += 1;
        Ok(())
    }

    fn put(&mut self, range: &Range<usize>, bytes: &[u8]) -> Result<(), FsError> {
        if range.end > BYTES_MAX || range.end > UNITS_MAX && self.units_with(range.start, bytes) > UNITS_MAX {
            return Err(too_large());
        }
        self.bytes.write_at(range.start, bytes).map_err(|_| no_memory())
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
        self.missing.take_if(|missing| size <= missing.start);
        self.changes += 1;
        Ok(())
    }

    /// Whether something has been written that is not in the vault.
    pub(super) fn is_unsaved(&self) -> bool {
        self.changes != self.saved && !self.abandoned
    }

    /// Whether everything that has been written is in the vault, where others may have written since. A file
    /// stays open for as long as it is mapped, long after its last close.
    pub(super) fn is_saved(&self) -> bool {
        self.changes > 0 && self.changes == self.saved
    }

    /// Whether something has been written that no commit has been tried with. What its writer has been told
    /// the failure of is not tried again behind its back.
    pub(super) fn is_untried(&self) -> bool {
        self.changes != self.tried && !self.abandoned
    }

    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// # Errors
    /// Where a write has been refused and never made up for.
    pub(super) fn copy(&mut self) -> Result<Copy, FsError> {
        self.tried = self.changes;
        match self.missing {
            Some(_) => Err(too_large()),
            None => Ok(Copy { bytes: self.bytes.to_bytes(), base: self.base, changes: self.changes }),
        }
    }

    /// A copy has become a version.
    pub(super) fn saved(&mut self, copy: &Copy, version: VersionId) {
        self.saved = copy.changes;
        if matches!(self.base, Base::Version(_) | Base::New) {
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
        let copy = draft.copy().unwrap();
        draft.write(1, b"b", false).unwrap();
        draft.saved(&copy, version(1));
        assert!(draft.is_unsaved() && draft.is_untried());
        let copy = draft.copy().unwrap();
        draft.saved(&copy, version(2));
        assert!(!draft.is_unsaved());
    }

    #[test]
    fn a_part_belongs_to_the_version_it_started_from() {
        let mut draft = Draft::default();
        draft.start_from(Some(version(1)), b"old").unwrap();
        draft.write(0, b" and new", true).unwrap();
        assert_eq!(draft.expose(), b"old and new");
        assert_eq!(draft.copy().unwrap().base, Base::Version(version(1)));
        draft.resize(0).unwrap();
        assert_eq!(draft.copy().unwrap().base, Base::Nothing);
    }

    #[test]
    fn what_a_refused_write_leaves_is_no_value_until_it_is_made_up_for() {
        let torn = || {
            let mut draft = Draft::empty();
            draft.write(0, &vec![b'a'; UNITS_MAX - 1], false).unwrap();
            draft.write(0, b"bc", true).unwrap_err();
            draft.write(0, b"d", true).unwrap();
            draft
        };
        assert_eq!(torn().copy().err().map(|error| error.errno()), Some(libc::EFBIG));
        for size in [0, UNITS_MAX as u64 - 1] {
            let mut draft = torn();
            draft.resize(size).unwrap();
            assert!(draft.copy().is_ok(), "{size}");
        }
        let mut draft = Draft::empty();
        draft.write(UNITS_MAX as u64 - 1, b"ab", false).unwrap_err();
        draft.write(UNITS_MAX as u64 - 1, "é".as_bytes(), false).unwrap();
        assert!(draft.copy().is_ok(), "all of it has been written after all");
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
