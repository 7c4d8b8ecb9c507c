//! `akvfs refresh`: the vault is asked again. It comes as a question for an extended attribute, since the
//! kernel lets nothing that looks like a change into a read-only mount.

use super::{Caller, Fs, FsError};
use crate::tree::Refresh;
use crate::vault::Vault;

impl<V: Vault> Fs<V> {
    /// From now on the vault is asked again; what the kernel remembers is the caller's business.
    ///
    /// # Errors
    /// Somebody else than the owner and root: everybody's requests count against one limit.
    pub fn refresh(&self, order: &Refresh, caller: &Caller) -> Result<(), FsError> {
        if ![0, self.settings.ownership.uid].contains(&caller.uid) {
            return Err(FsError::NotPermitted("only the mount's owner and root may have the vault asked again".into()));
        }
        match order {
            Refresh::All => {
                self.work.blobs.clear();
                self.vault.refresh(None);
            }
            Refresh::One(name) => {
                self.work.blobs.forget(name);
                self.vault.refresh(Some(name));
            }
        }
        Ok(())
    }
}
