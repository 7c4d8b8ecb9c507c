//! What a call does to the vault: how often it may be sent, and which permission it needs.

use crate::vault::Permission;

/// An operation of the secrets API, or a call that somebody wrote by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    List,
    Set,
    Update,
    Delete,
    Deleted,
    Recover,
    Purge,
    Backup,
    Restore,
    /// By hand, and changing nothing.
    HandRead,
    /// By hand, and changing who knows what.
    HandWrite,
}

/// What becomes of a vault that gets the same call twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The same as after one.
    Harmless,
    /// Something else: another version, another secret.
    Harmful,
}

impl Operation {
    pub(super) fn repeat(self) -> Repeat {
        match self {
            Operation::Get
            | Operation::List
            | Operation::Deleted
            | Operation::Backup
            | Operation::Update
            | Operation::Delete
            | Operation::Recover
            | Operation::Purge
            | Operation::HandRead => Repeat::Harmless,
            Operation::Set | Operation::Restore | Operation::HandWrite => Repeat::Harmful,
        }
    }

    pub(super) fn permission(self) -> Permission {
        match self {
            // What is asked by hand is answered in the vault's own words.
            Operation::Get | Operation::HandRead => Permission::Get,
            Operation::List => Permission::List,
            Operation::Deleted => Permission::Get,
            Operation::Set | Operation::Update | Operation::HandWrite => Permission::Set,
            Operation::Delete => Permission::Delete,
            Operation::Recover => Permission::Recover,
            Operation::Purge => Permission::Purge,
            Operation::Backup => Permission::Backup,
            Operation::Restore => Permission::Restore,
        }
    }
}
