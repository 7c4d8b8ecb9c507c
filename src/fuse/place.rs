//! What is at a mount point, found out without being held up by it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::unistd::geteuid;

use super::mount::MountError;
use super::mountinfo::{self, Mount};
use super::unmount::take_down;

/// A filesystem that takes longer to say what is in a directory is not one to mount over.
const PATIENCE: Duration = Duration::from_secs(2);

/// A path as the kernel sees it.
pub(super) struct Place {
    /// Without symbolic links, as mountinfo spells it.
    pub(super) path: PathBuf,
    /// What is mounted there, and seen.
    pub(super) mount: Option<Mount>,
}

impl Place {
    /// Looks at a path, and not for long: it may lead through a mount that does not answer.
    ///
    /// # Errors
    /// What the system said; `TimedOut` if it said nothing.
    pub(super) fn at(directory: &Path) -> io::Result<Place> {
        let directory = directory.to_owned();
        in_time(move || Place::seen_at(&directory)).unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// An `O_PATH` descriptor knows its path and its mount, and opening one asks no filesystem that is
    /// mounted there: a dead, stopped or foreign daemon does not matter.
    fn seen_at(directory: &Path) -> io::Result<Place> {
        let place = File::options().read(true).custom_flags(libc::O_PATH).open(directory)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
        let facts = fs::read_to_string(format!("/proc/self/fdinfo/{}", place.as_raw_fd()))?;
        let id = facts.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
        let id = id.ok_or_else(|| io::Error::other("the kernel does not tell which mount it is"))?;
        let mount = mountinfo::with_id(id)?.filter(|mount| mount.path == path);
        Ok(Place { path, mount })
    }

    pub(super) fn is_our_mount(&self) -> bool {
        self.mount.as_ref().is_some_and(Mount::is_ours)
    }
}

/// Makes sure that the directory can be mounted on; it need not exist yet. A dead mount of our own is
/// cleared.
///
/// # Errors
/// When something is there already: a mount of ours, a dead one of somebody else's, files.
pub fn check(directory: &Path) -> Result<(), MountError> {
    let place = match Place::at(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_symlink() => {
            return Err(MountError::DanglingLink(directory.display().to_string()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(MountError::Silent(directory.display().to_string()));
        }
        place => place.map_err(|error| unusable(directory, error))?,
    };
    if let Some(mount) = place.mount.as_ref().filter(|mount| mount.is_ours()) {
        clear_if_dead(directory, &place.path, mount)?;
    }
    is_empty(directory)
}

/// Clears a dead mount of our own, and leaves alone what lives, or does not answer.
///
/// # Errors
/// When it is another user's, or the system refuses.
pub fn clear_dead(directory: &Path) -> Result<(), MountError> {
    let place = match Place::at(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::TimedOut) => return Ok(()),
        place => place.map_err(|error| unusable(directory, error))?,
    };
    let Some(mount) = place.mount.filter(Mount::is_ours) else { return Ok(()) };
    match clear_if_dead(directory, &place.path, &mount) {
        Err(MountError::AlreadyMounted(_) | MountError::AnotherUsers { .. } | MountError::Silent(_)) => Ok(()),
        cleared => cleared,
    }
}

fn unusable(directory: &Path, error: io::Error) -> MountError {
    MountError::Unusable { path: directory.display().to_string(), error }
}

/// Clears a mount of ours whose daemon is gone.
fn clear_if_dead(directory: &Path, path: &Path, mount: &Mount) -> Result<(), MountError> {
    let shown = || directory.display().to_string();
    let looked_at = path.to_owned();
    // The kernel may remember the attributes of what is dead; opening always asks.
    let error = match in_time(move || fs::read_dir(looked_at).map(drop)) {
        None => return Err(MountError::Silent(shown())),
        Some(Ok(_)) => return Err(MountError::AlreadyMounted(shown())),
        Some(Err(error)) => error,
    };
    let owner = mount.owner_uid.unwrap_or(0);
    if is_dead(&error) && (owner == geteuid().as_raw() || geteuid().is_root()) {
        take_down(path, true).map_err(|error| MountError::NotCleared(error.to_string()))?;
        tracing::warn!("cleared the dead mount at {}", path.display());
        return Ok(());
    }
    match error.kind() {
        _ if is_dead(&error) => Err(MountError::DeadStranger { path: shown(), whose: format!("user {owner}'s akvfs") }),
        io::ErrorKind::PermissionDenied => Err(MountError::AnotherUsers { path: shown(), owner }),
        _ => Err(unusable(directory, error)),
    }
}

fn is_dead(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED))
}

fn is_empty(directory: &Path) -> Result<(), MountError> {
    let shown = || directory.display().to_string();
    let listed = directory.to_owned();
    let Some(entries) = in_time(move || fs::read_dir(listed).map(|mut entries| entries.next().is_none())) else {
        return Err(MountError::Silent(shown()));
    };
    match entries {
        Ok(true) => Ok(()),
        Ok(false) => Err(MountError::NotEmpty(shown())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(MountError::NotADirectory(shown())),
        Err(error) if is_dead(&error) => {
            let mount = Place::at(directory).ok().and_then(|place| place.mount);
            let whose = mount.map_or("a filesystem".into(), |mount| mount.fstype.to_string_lossy().into_owned());
            Err(MountError::DeadStranger { path: shown(), whose })
        }
        Err(error) => Err(unusable(directory, error)),
    }
}

/// Asks a filesystem that may never answer: `None` if it does not. The thread that waits for it is left
/// behind.
fn in_time<T: Send + 'static>(question: impl FnOnce() -> io::Result<T> + Send + 'static) -> Option<io::Result<T>> {
    let (sender, answer) = channel();
    let asked = thread::Builder::new().name("look".to_owned()).spawn(move || sender.send(question()));
    match asked {
        Err(error) => Some(Err(error)),
        Ok(_) => match answer.recv_timeout(PATIENCE) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(io::Error::other("looking at it panicked"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_or_missing_directory_will_do() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path()).unwrap();
        check(&folder.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
        assert!(matches!(check(&folder.path().join("dangling")), Err(MountError::DanglingLink(_))));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(check(folder.path()), Err(MountError::NotEmpty(_))));
        assert!(matches!(check(&folder.path().join("file")), Err(MountError::NotADirectory(_))));
    }

    #[test]
    fn a_place_is_a_mount_only_at_its_root() {
        assert_eq!(Place::at(Path::new("/proc")).unwrap().mount.unwrap().fstype, "proc");
        assert!(Place::at(Path::new("/proc/self")).unwrap().mount.is_none());
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        assert_eq!(Place::at(&link).unwrap().path, Path::new("/proc"));
    }
}
