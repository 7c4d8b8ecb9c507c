//! `akvfs wait` and `akvfs undelete`: commands that do what anybody could do with file operations.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Failure, now, say};
use crate::sys::extended_attribute;

/// `akvfs wait`.
///
/// # Errors
/// When it is not done in time, or the path is in no mount.
pub fn wait(path: &Path) -> Result<(), Failure> {
    // What has been deleted is not where it was: then everything below the directory is waited for.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = if path.is_dir() { path } else { parent };
    settled(place).map_err(|error| match error.raw_os_error() {
        Some(libc::ETIMEDOUT) => Failure::other(format!(
            "{} is not settled yet: the vault goes on with it; `getfattr -n user.akv.state` shows how far it is",
            path.display()
        )),
        _ => Failure::system(&format!("cannot wait for {}", path.display()), &error),
    })
}

/// Waits for what is under way in a directory. fsync would as well, and the kernel would keep everybody else out
/// of the directory for as long.
fn settled(directory: &Path) -> io::Result<()> {
    extended_attribute(directory, c"user.akv.settled").map(drop)
}

/// `akvfs undelete`: recovers what was deleted through this mount within a time, oldest first.
///
/// # Errors
/// When one of them could not be recovered; the others are tried all the same.
pub fn undelete(mount: &Path, since: Duration) -> Result<(), Failure> {
    let deleted = mount.join("deleted");
    let list = extended_attribute(&deleted, c"user.akv.deletions")
        .map_err(|error| Failure::system(&format!("{} is no writable mount of akvfs", mount.display()), &error))?;
    let from = now().saturating_sub(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let list = String::from_utf8_lossy(&list).into_owned();
    let names: Vec<_> = list.lines().filter_map(deletion).filter(|(at, _)| *at >= from).map(|(_, name)| name).collect();
    let mut failed = 0;
    for name in &names {
        match recover(&deleted.join(name), &mount.join("secrets").join(name)) {
            Ok(()) => say(format_args!("{name} is back")),
            Err(error) => {
                failed += 1;
                say(format_args!("{name} is not back: {error}"));
            }
        }
    }
    match (failed, names.len()) {
        (0, 0) => {
            say("nothing has been deleted through this mount within that time");
            Ok(())
        }
        (0, _) => Ok(()),
        (failed, all) => Err(Failure::other(format!("{failed} of {all} secrets could not be brought back"))),
    }
}

/// A deletion has to be true before it can be taken back.
fn recover(from: &PathBuf, to: &PathBuf) -> io::Result<()> {
    settled(from)?;
    fs::rename(from, to)
}

/// Time, space, name.
fn deletion(line: &str) -> Option<(i64, String)> {
    let (at, name) = line.split_once(' ')?;
    Some((OffsetDateTime::parse(at, &Rfc3339).ok()?.unix_timestamp(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_time_and_a_name() {
        assert_eq!(deletion("2030-01-31T12:00:00Z db"), Some((1_896_091_200, "db".to_owned())));
        assert_eq!(deletion("db"), None);
    }
}
