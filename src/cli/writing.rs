//! The flags for changing secrets through a mount.
#![allow(rustdoc::broken_intra_doc_links, reason = "brackets in help texts are no links")]

use std::time::Duration;

use clap::{Args, ValueEnum};

/// What may be changed through the mount, and how.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Changes")]
pub struct WritingArgs {
    /// Let the owner change secrets: everything that Key Vault can take back. In /etc/fstab: writable
    #[arg(long, visible_alias = "writable")]
    pub rw: bool,
    /// Let `rm -r deleted/NAME` purge a deleted secret, which nobody can take back
    #[arg(long, requires = "rw")]
    pub allow_purge: bool,
    /// What `mkdir secrets/NAME` does when a soft-deleted secret has the name
    #[arg(long, value_name = "WHAT", default_value = "refuse", requires = "rw")]
    pub on_deleted: OnDeleted,
    /// Refuse to delete more secrets than this within a minute
    #[arg(long, value_name = "NUMBER", default_value_t = 20, requires = "rw")]
    pub delete_limit: usize,
    /// When deleting and recovering return: when the vault has agreed, or when it is done, some 20 s later
    #[arg(long, value_name = "WHEN", default_value = "agreed", requires = "rw")]
    pub settle: Settle,
    /// How long `akvfs wait`, fsync on a directory and `--settle wait` wait at most
    #[arg(long, value_name = "DURATION", default_value = "180s", value_parser = humantime::parse_duration)]
    pub settle_timeout: Duration,
    /// Let programs make scratch files of these names beside `current`; * is any text, ? one character
    #[arg(long, value_name = "PATTERN", requires = "rw")]
    pub scratch: Vec<String>,
    /// Leave out a newline at the end of what is written
    #[arg(long, requires = "rw")]
    pub strip_newline: bool,
    /// Keep what is no UTF-8 in base64, with the Azure CLI's tag file-encoding
    #[arg(long, requires = "rw")]
    pub binary: bool,
}

/// What to do with a soft-deleted secret whose name is wanted.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeleted {
    /// Say "File exists"
    Refuse,
    /// Bring it back; what is written becomes its newest version
    Recover,
}

/// When a deletion or recovery counts as done.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// When the vault has agreed
    Agreed,
    /// When it is done
    Wait,
}
