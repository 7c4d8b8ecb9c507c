//! What the flags for changing secrets mean.

use super::UsageError;
use crate::cli::{OnDeleted, Settle, WritingArgs};
use crate::fs::WritingSettings;

/// The settings of the writing side.
///
/// # Errors
/// A pattern that would take the place of a secret's own files.
pub(super) fn settings(args: &WritingArgs) -> Result<WritingSettings, UsageError> {
    let fits = |pattern: &str| !pattern.is_empty() && !pattern.contains('/') && pattern != "*";
    if let Some(pattern) = args.scratch.iter().find(|pattern| !fits(pattern)) {
        return Err(UsageError::Scratch(pattern.clone()));
    }
    Ok(WritingSettings {
        writable: args.rw,
        allow_purge: args.allow_purge,
        recover_deleted: args.on_deleted == OnDeleted::Recover,
        delete_limit: args.delete_limit,
        wait_to_settle: args.settle == Settle::Wait,
        settle_timeout: args.settle_timeout,
        scratch: args.scratch.clone(),
        strip_newline: args.strip_newline,
        binary: args.binary,
    })
}
