//! pjdfstest's cases, by its names, as far as they apply. The program itself cannot run here: each of its cases
//! makes its files in a directory of its own below another, and a secret's directory holds none.
//!
//! What does not apply, and why:
//! - `chflags`, `nfsv4acl`: not Linux's.
//! - `eloop`, `symlink`, `link`, `mkfifo`, `mknod` as far as they succeed: a vault holds none of these, so each is
//!   EPERM, and no path in the mount has a loop.
//! - `etxtbsy`: mounts are noexec. `efault`, and path names over PATH_MAX: the kernel has answered before we hear.
//! - What needs a second user (EACCES, EPERM of others, sticky directories, set-user-ID): nobody but the owner can
//!   enter, and with `--allow-other` the kernel checks by itself.
//! - Times of directories, `ctime` and `atime` after a change: times are the vault's, whole seconds, and a scratch
//!   file has the one that it was written at.
//! - `mkdir` as far as modes, owners and nesting go: a directory is a secret, its modes are the mount's.
//! - `rename` of directories: Key Vault cannot rename.
//! - Files over 2 GiB: a secret has 25,600 characters, a scratch file 4 MiB.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, chown, getuid, linkat, mkdir, mkfifo, symlinkat, truncate, unlinkat};

use crate::support::{Mounted, TestVault};
use crate::writing::rw;

type Call = (&'static str, fn(&Path) -> nix::Result<()>);

const OWNER_ONLY: Mode = Mode::S_IRWXU;

fn opened(path: &Path, flags: OFlag) -> nix::Result<()> {
    open(path, flags, OWNER_ONLY).map(drop)
}

/// What needs the file to be there.
const OF_A_FILE: [Call; 9] = [
    ("open", |path| opened(path, OFlag::O_RDONLY)),
    ("open for writing", |path| opened(path, OFlag::O_WRONLY)),
    ("unlink", |path| unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir)),
    ("rmdir", |path| unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir)),
    ("rename", |path| renameat(AT_FDCWD, path, AT_FDCWD, path)),
    ("chmod", |path| fchmodat(AT_FDCWD, path, OWNER_ONLY, FchmodatFlags::FollowSymlink)),
    ("chown", |path| chown(path, Some(getuid()), None)),
    ("truncate", |path| truncate(path, 0)),
    ("utimensat", |path| {
        utimensat(AT_FDCWD, path, &TimeSpec::new(1, 0), &TimeSpec::new(1, 0), UtimensatFlags::FollowSymlink)
    }),
];

/// What needs the name to be free.
const OF_A_NEW_NAME: [Call; 6] = [
    ("open O_CREAT|O_EXCL", |path| opened(path, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY)),
    ("mkdir", |path| mkdir(path, OWNER_ONLY)),
    ("mkfifo", |path| mkfifo(path, OWNER_ONLY)),
    ("mknod", |path| mknod(path, SFlag::S_IFREG, OWNER_ONLY, 0)),
    ("symlink", |path| symlinkat("target", AT_FDCWD, path)),
    ("link", |path| {
        let source = path.ancestors().find(|place| place.is_dir()).unwrap().join("current");
        linkat(AT_FDCWD, &source, AT_FDCWD, path, AtFlags::empty())
    }),
];

fn each(calls: &[Call], mount: &Mounted, paths: &[&str], expected: Errno) {
    for path in paths {
        for (name, call) in calls {
            assert_eq!(call(&mount.path(path)), Err(expected), "{name} {path:.60}");
        }
    }
}

/// A secret `db` with a scratch file `.file`.
fn world() -> (TestVault, Mounted) {
    let vault = TestVault::with(&[("db", "value")]);
    let mount = rw(&vault);
    fs::write(mount.path("secrets/db/.file"), "content").unwrap();
    (vault, mount)
}

#[test]
fn enotdir_enoent_enametoolong() {
    let (_vault, mount) = world();
    let through_a_file = ["secrets/db/current/x", "secrets/db/.file/x", "values/db/x", "secrets/db/properties.json/x"];
    each(&OF_A_FILE, &mount, &through_a_file, Errno::ENOTDIR);
    each(&OF_A_NEW_NAME[..5], &mount, &through_a_file, Errno::ENOTDIR);
    let through_nothing = ["secrets/absent/x", "secrets/a_b/x", "values/absent/x", "deleted/absent/x", "absent/x"];
    each(&OF_A_FILE, &mount, &through_nothing, Errno::ENOENT);
    each(&OF_A_NEW_NAME[..5], &mount, &through_nothing, Errno::ENOENT);
    each(
        &OF_A_FILE,
        &mount,
        &["secrets/db/.absent", "secrets/absent", "values/absent", "backups/absent"],
        Errno::ENOENT,
    );
    let long = "x".repeat(254);
    let too_long = [format!("secrets/db/.{long}x"), format!("secrets/{long}xx"), format!("values/{long}xx/y")];
    let too_long = too_long.each_ref().map(String::as_str);
    each(&OF_A_FILE, &mount, &too_long, Errno::ENAMETOOLONG);
    each(&OF_A_NEW_NAME[..5], &mount, &too_long, Errno::ENAMETOOLONG);
    let longest = mount.path(&format!("secrets/db/.{long}"));
    fs::write(&longest, "x").unwrap();
    assert_eq!(renameat(AT_FDCWD, &longest, AT_FDCWD, &mount.path(too_long[0])), Err(Errno::ENAMETOOLONG));
    fs::remove_file(&longest).unwrap();
    assert_eq!(nix::sys::statvfs::statvfs(&longest.parent().unwrap().join("current")).unwrap().name_max(), 255);
}

#[test]
fn eexist_eisdir_enotdir_enotempty_einval() {
    let (_vault, mount) = world();
    each(
        &OF_A_NEW_NAME,
        &mount,
        &["secrets/db/current", "secrets/db/.file", "secrets/db/properties.json"],
        Errno::EEXIST,
    );
    each(&OF_A_NEW_NAME[..5], &mount, &["secrets/db", "secrets", "values/db", "backups/db"], Errno::EEXIST);
    for path in ["secrets/db", "secrets", "."] {
        for flags in [OFlag::O_WRONLY, OFlag::O_RDWR, OFlag::O_RDONLY | OFlag::O_TRUNC] {
            assert_eq!(opened(&mount.path(path), flags), Err(Errno::EISDIR), "{path} {flags:?}");
        }
        assert_eq!(truncate(&mount.path(path), 0), Err(Errno::EISDIR), "{path}");
    }
    let rename = |from: &str, to: &str| renameat(AT_FDCWD, &mount.path(from), AT_FDCWD, &mount.path(to));
    assert_eq!(unlinkat(AT_FDCWD, &mount.path("secrets/db"), UnlinkatFlags::NoRemoveDir), Err(Errno::EISDIR));
    assert_eq!(rename("secrets/db/.file", "secrets/db"), Err(Errno::ENOTEMPTY), "the target holds the source");
    assert_eq!(opened(&mount.path("secrets/db/.file"), OFlag::O_DIRECTORY), Err(Errno::ENOTDIR));
    for path in ["secrets/db/.file", "secrets/db/current", "values/db"] {
        assert_eq!(unlinkat(AT_FDCWD, &mount.path(path), UnlinkatFlags::RemoveDir), Err(Errno::ENOTDIR), "{path}");
    }
    assert_eq!(rename("secrets/db", "secrets/db/.file"), Err(Errno::EINVAL), "into itself");
    mkdir(&mount.path("secrets/new"), OWNER_ONLY).unwrap();
    assert_eq!(rename("secrets/new", "secrets/db/.file"), Err(Errno::ENOTDIR));
    assert_eq!(rename("secrets/db/.file", "secrets/new"), Err(Errno::EISDIR));
    let rmdir = |path: &str| unlinkat(AT_FDCWD, &mount.path(path), UnlinkatFlags::RemoveDir);
    assert_eq!(rmdir("secrets/db"), Err(Errno::ENOTEMPTY));
    assert_eq!(rmdir("secrets/db/.."), Err(Errno::ENOTEMPTY));
    assert_eq!(rmdir("secrets/db/."), Err(Errno::EINVAL));
    assert_eq!(rmdir("."), Err(Errno::EINVAL));
    for path in ["secrets/db/.file", "secrets/db/current"] {
        assert_eq!(truncate(&mount.path(path), -1), Err(Errno::EINVAL));
        let read = File::open(mount.path(path)).unwrap();
        assert_eq!(nix::unistd::ftruncate(&read, 0), Err(Errno::EINVAL), "not open for writing");
        assert_eq!(truncate(&mount.path(path), 1 << 40), Err(Errno::EFBIG), "{path}");
    }
}

#[test]
fn eperm_exdev_erofs() {
    let (vault, mount) = world();
    let free = ["secrets/db/.new", "secrets/new", "values/new", "backups/new", "deleted/new", "new"];
    each(&OF_A_NEW_NAME[2..5], &mount, &free, Errno::EPERM);
    each(&OF_A_NEW_NAME[5..], &mount, &["secrets/db/.new"], Errno::EPERM);
    let outside = mount.folder.path().join("outside");
    fs::write(&outside, "x").unwrap();
    for (from, to) in [(&outside, &mount.path("secrets/db/current")), (&mount.path("secrets/db/.file"), &outside)] {
        assert_eq!(renameat(AT_FDCWD, from, AT_FDCWD, to), Err(Errno::EXDEV));
        let other = to.with_file_name(".other");
        assert_eq!(linkat(AT_FDCWD, from, AT_FDCWD, &other, AtFlags::empty()), Err(Errno::EXDEV));
    }
    let read_only = vault.mount_with(&["--file-mode", "0600", "--dir-mode", "0700"]);
    each(&OF_A_FILE[1..3], &read_only, &["secrets/db/current", "values/db"], Errno::EROFS);
    each(&OF_A_FILE[5..], &read_only, &["secrets/db/current", "values/db"], Errno::EROFS);
    each(&OF_A_FILE[3..4], &read_only, &["secrets/db", "values"], Errno::EROFS);
    each(&OF_A_NEW_NAME, &read_only, &["secrets/db/.new"], Errno::EROFS);
    let to = read_only.path("secrets/db/.x");
    assert_eq!(renameat(AT_FDCWD, &read_only.path("secrets/db/current"), AT_FDCWD, &to), Err(Errno::EROFS));
}

/// open/00, chmod/00, chown/00, utimensat/00 to 05. Others are let in as far as `--file-mode` lets them.
#[test]
fn a_scratch_file_has_the_mode_owner_and_time_it_is_given() {
    let (_vault, mount) = world();
    mount.shell("cd secrets/db; umask 027; > .made; test $(stat -c '%a %h %s' .made | tr ' ' ,) = 600,1,0");
    mount.shell("cd secrets/db; test $(stat -c %u:%g .made) = $(id -u):$(id -g)");
    let path = mount.path("secrets/db/.made");
    for mode in [0o777, 0o400, 0o000, 0o640] {
        fchmodat(AT_FDCWD, &path, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode(), 0o100_000 | mode & 0o700);
    }
    chown(&path, Some(getuid()), None).unwrap();
    let set = |modified: TimeSpec| {
        utimensat(AT_FDCWD, &path, &TimeSpec::UTIME_OMIT, &modified, UtimensatFlags::FollowSymlink).unwrap();
        fs::metadata(&path).unwrap().mtime()
    };
    for seconds in [1_900_000_000, 1, 1_240_000_000] {
        assert_eq!(set(TimeSpec::new(seconds, 0)), seconds);
    }
    assert_eq!(set(TimeSpec::UTIME_OMIT), 1_240_000_000);
    assert!(set(TimeSpec::UTIME_NOW) > 1_700_000_000);
}

/// open/00, truncate/00, ftruncate/00, posix_fallocate/00.
#[test]
fn a_scratch_file_is_as_long_as_it_is_made() {
    let (_vault, mount) = world();
    let path = mount.path("secrets/db/.file");
    let holds = |expected: &[u8]| {
        assert_eq!(fs::read(&path).unwrap(), expected);
        assert_eq!(fs::metadata(&path).unwrap().len(), expected.len() as u64);
    };
    truncate(&path, 4).unwrap();
    holds(b"cont");
    truncate(&path, 6).unwrap();
    holds(b"cont\0\0");
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    file.set_len(2).unwrap();
    holds(b"co");
    nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, 3).unwrap();
    holds(b"co\0");
    file.write_all_at(b"x", 5).unwrap();
    holds(b"co\0\0\0x");
    drop(OpenOptions::new().write(true).truncate(true).open(&path).unwrap());
    holds(b"");
}

/// rename/00, rename/01, rename/23, unlink/00, unlink/14.
#[test]
fn a_scratch_file_is_renamed_and_unlinked_while_it_is_open() {
    let (_vault, mount) = world();
    let (one, two) = (mount.path("secrets/db/.file"), mount.path("secrets/db/.two"));
    let inode = |path: &Path| fs::metadata(path).map(|file| (file.ino(), file.nlink()));
    let number = inode(&one).unwrap().0;
    fs::rename(&one, &one).unwrap();
    fs::write(&two, "other").unwrap();
    let mut replaced = OpenOptions::new().read(true).write(true).open(&two).unwrap();
    fs::rename(&one, &two).unwrap();
    assert!(inode(&one).is_err());
    assert_eq!(inode(&two).unwrap(), (number, 1));
    assert_eq!(fs::read(&two).unwrap(), b"content");
    assert_eq!(replaced.metadata().unwrap().nlink(), 0);
    let mut text = String::new();
    replaced.read_to_string(&mut text).unwrap();
    assert_eq!(text, "other");

    let mut unlinked = OpenOptions::new().read(true).append(true).open(&two).unwrap();
    fs::remove_file(&two).unwrap();
    assert!(inode(&two).is_err());
    assert_eq!(unlinked.metadata().unwrap().nlink(), 0);
    unlinked.write_all(b" and more").unwrap();
    unlinked.set_len(11).unwrap();
    assert_eq!(unlinked.metadata().unwrap().len(), 11);
    let mut bytes = [0; 11];
    unlinked.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"content and");
}
