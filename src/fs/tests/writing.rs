//! Which requests of the kernel's make a version, and which do not.

use super::*;
use crate::fs::{Caller, NewAttributes, Process};
use crate::tree::Attributes;

pub(super) const OPENER: Process = Process(1);
pub(super) const CHILD: Process = Process(2);

pub(super) fn by(process: Process) -> Caller {
    Caller { process, uid: 7, gid: 8, killed: false }
}

pub(super) fn killed(process: Process) -> Caller {
    Caller { killed: true, ..by(process) }
}

/// A mount with `--rw`, and whatever else is asked of it.
pub(super) fn writable(secrets: &[(&str, &str)], change: impl FnOnce(&mut WritingSettings)) -> (Double, Tree) {
    let double = Double::with(secrets);
    let cache = CacheSettings { entries: 100, ..CacheSettings::default() };
    let ownership = Ownership { uid: 7, gid: 8, file_mode: 0o400, directory_mode: 0o500, writable: true };
    let mut settings = settings(ownership);
    change(&mut settings.writing);
    (double.clone(), Fs::new(Cached::new(double, cache), settings))
}

/// Follows a path as the kernel does, by LOOKUPs.
pub(super) async fn found(tree: &Tree, path: &str) -> Result<Attributes, FsError> {
    let mut inode = ROOT_INODE;
    let mut shown = None;
    for part in path.split('/') {
        let attributes = settled(tree.find(inode, OsStr::new(part))).await?.attributes;
        inode = attributes.inode;
        shown = Some(attributes);
    }
    shown.ok_or(FsError::NotFound)
}

pub(super) async fn inode(tree: &Tree, path: &str) -> u64 {
    found(tree, path).await.unwrap().inode
}

pub(super) async fn opened(tree: &Tree, path: &str, flags: i32, process: Process) -> u64 {
    tree.open_to_write(inode(tree, path).await, flags, &by(process)).unwrap()
}

pub(super) async fn wrote(tree: &Tree, handle: u64, offset: u64, text: &str) {
    assert_eq!(settled(tree.write(handle, offset, text.as_bytes(), false)).await.unwrap() as usize, text.len());
}

pub(super) async fn flushed(tree: &Tree, handle: u64, caller: &Caller) -> i32 {
    settled(tree.flush(handle, caller, || 0)).await.map_or_else(|error| error.errno(), |()| 0)
}

/// A process closes a descriptor while it has so many others that write to the file.
async fn flushed_holding(tree: &Tree, handle: u64, process: Process, held: usize) -> i32 {
    settled(tree.flush(handle, &by(process), move || held)).await.map_or_else(|error| error.errno(), |()| 0)
}

pub(super) async fn released(tree: &Tree, handle: u64) -> i32 {
    settled(tree.release_written(handle)).await.map_or_else(|error| error.errno(), |()| 0)
}

#[tokio::test(start_paused = true)]
async fn a_childs_close_makes_no_version_and_the_openers_makes_one_of_it_all() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, handle, 0, "child ").await;
    assert_eq!(flushed(&tree, handle, &by(CHILD)).await, 0);
    assert_eq!(double.values("db"), ["old"]);
    wrote(&tree, handle, 6, "parent").await;
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    assert_eq!(double.values("db"), ["old", "child parent"]);
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(double.values("db").len(), 2, "nothing is left to write");
}

#[tokio::test(start_paused = true)]
async fn a_close_counts_when_the_opener_holds_no_other_descriptor_of_the_same_open_file() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let moved = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, moved, 0, "a").await;
    assert_eq!(flushed_holding(&tree, moved, OPENER, 1).await, 0);
    assert_eq!(double.values("db"), ["old"], "as a shell's redirection of a builtin does");
    let other = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, other, 0, "b").await;
    assert_eq!(flushed_holding(&tree, other, OPENER, 1).await, 0);
    assert_eq!(double.values("db"), ["old", "b"], "the other descriptor is another open file's");
    assert_eq!(released(&tree, other).await, 0);
    assert_eq!(flushed_holding(&tree, moved, OPENER, 0).await, 0);
    assert_eq!(double.values("db"), ["old", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_opener_left_to_others_counts_when_the_last_one_closes() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    wrote(&tree, handle, 0, "late").await;
    assert_eq!(flushed(&tree, handle, &by(CHILD)).await, 0);
    assert_eq!(double.values("db"), ["old"]);
    assert_eq!(released(&tree, handle).await, 0);
    assert_eq!(double.values("db"), ["old", "late"]);
}

#[tokio::test(start_paused = true)]
async fn a_killed_writer_leaves_nothing_whoever_it_was() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    for (last, process) in [("the opener", OPENER), ("a child", CHILD)] {
        let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
        wrote(&tree, handle, 0, "half").await;
        assert_eq!(flushed(&tree, handle, &killed(process)).await, 0);
        assert_eq!(released(&tree, handle).await, 0);
        assert_eq!(double.values("db"), ["old"], "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncating_open_alone_makes_no_version_and_a_truncation_does() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let file = inode(&tree, "secrets/db/current").await;
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(double.values("db"), ["old"]);
    let to = |size, handle| NewAttributes { size: Some(size), handle, ..NewAttributes::default() };
    assert_eq!(settled(tree.set_attributes(file, to(2, None), &by(OPENER))).await.unwrap().attributes.size, 2);
    assert_eq!(double.values("db"), ["old", "ol"], "truncate(2) is a commit of its own");
    let handle = opened(&tree, "secrets/db/current", libc::O_RDWR, OPENER).await;
    settled(tree.set_attributes(file, to(0, Some(handle)), &by(OPENER))).await.unwrap();
    assert_eq!(double.values("db").len(), 2, "ftruncate(2) belongs to the open file");
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    assert_eq!(double.values("db"), ["old", "ol", ""]);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_after_an_fsync_is_a_version_of_its_own() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, handle, 0, "a").await;
    for _ in 0..2 {
        settled(tree.fsync(handle)).await.unwrap();
        assert_eq!(double.values("db"), ["old", "a"]);
    }
    wrote(&tree, handle, 1, "b").await;
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(double.values("db"), ["old", "a", "ab"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_an_older_version_is_stale_and_a_whole_value_is_not() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_APPEND, OPENER).await;
    settled(tree.write(handle, 0, b"+", true)).await.unwrap();
    let whole = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, whole, 0, "ours").await;
    double.put("db", "theirs");
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::ESTALE);
    assert_eq!(released(&tree, handle).await, 0, "its writer has been told, so it is not tried again");
    assert_eq!(double.values("db"), ["old", "theirs"]);
    assert_eq!(flushed(&tree, whole, &by(OPENER)).await, 0);
    assert_eq!(double.values("db"), ["old", "theirs", "ours"]);
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_make_no_version() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, handle, 0, "old").await;
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    // What is the same as another client's newest is one as well.
    double.put("db", "new");
    wrote(&tree, handle, 0, "new").await;
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(double.values("db"), ["old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_once_and_an_fsync_tries_again() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, handle, 0, "new").await;
    *double.error.lock() = Some(VaultError::of(VaultErrorKind::Server(503)));
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::EIO);
    *double.error.lock() = None;
    settled(tree.fsync(handle)).await.unwrap();
    assert_eq!(double.values("db"), ["old", "new"]);
    wrote(&tree, handle, 0, "lost").await;
    *double.error.lock() = Some(VaultError::of(VaultErrorKind::Server(503)));
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::EIO);
    *double.error.lock() = None;
    assert_eq!(released(&tree, handle).await, 0);
    assert_eq!(double.values("db"), ["old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_takes_too_long_is_etimedout() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, handle, 0, "new").await;
    double.shut();
    let start = tokio::time::Instant::now();
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::ETIMEDOUT);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_writer_sees_what_it_has_written_and_others_see_the_vault() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let file = inode(&tree, "secrets/db/current").await;
    let size = async |process| settled(tree.stat(file, || by(process))).await.unwrap().attributes.size;
    let handle = opened(&tree, "secrets/db/current", libc::O_RDWR, OPENER).await;
    wrote(&tree, handle, 3, " and new").await;
    assert_eq!((size(OPENER).await, size(CHILD).await), (11, 3));
    assert_eq!(&*settled(tree.read_written(handle, 0, 100)).await.unwrap(), b"old and new");
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    assert_eq!((size(OPENER).await, size(CHILD).await), (11, 11));
    // A mapping keeps the handle open, while the file goes on.
    let other = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, other, 0, "x").await;
    assert_eq!((flushed(&tree, other, &by(OPENER)).await, released(&tree, other).await), (0, 0));
    assert_eq!((size(OPENER).await, double.values("db").len()), (1, 3));
}

/// The kernel has one size for a file, whoever asks: one that came with a name would cut the writer off.
#[tokio::test(start_paused = true)]
async fn who_looks_for_a_name_takes_no_size_from_its_writer() {
    let (_, tree) = writable(&[("db", "old")], |_| ());
    let file = inode(&tree, "secrets/db/current").await;
    let handle = opened(&tree, "secrets/db/current", libc::O_RDWR, OPENER).await;
    wrote(&tree, handle, 3, " and new").await;
    for size in [11, 2] {
        let new = NewAttributes { size: Some(size), handle: Some(handle), ..NewAttributes::default() };
        assert_eq!(settled(tree.set_attributes(file, new, &by(OPENER))).await.unwrap().attributes.size, size);
        assert_eq!(found(&tree, "secrets/db/current").await.unwrap().size, size);
        assert_eq!(tree.attributes_told(file).unwrap().size, size, "which a touch is answered with");
        let listed = list(&tree, "secrets/db").await;
        assert_eq!(listed.iter().find(|entry| entry.name() == "current").unwrap().shown.attributes.size, size);
    }
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(found(&tree, "secrets/db/current").await.unwrap().size, 2);
}

#[tokio::test(start_paused = true)]
async fn what_no_secret_can_hold_is_efbig_at_the_write() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, handle, 0, &"a".repeat(25_600)).await;
    let refused = settled(tree.write(handle, 25_600, b"b", false)).await.unwrap_err();
    assert_eq!(refused.errno(), libc::EFBIG);
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::EFBIG, "what is left is not the value");
    assert_eq!(double.values("db"), ["old"]);
    settled(tree.resize(handle, 0, false)).await.unwrap();
    wrote(&tree, handle, 0, "b").await;
    settled(tree.write(handle, 1, b"\xff", false)).await.unwrap();
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::EILSEQ);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_secret_that_was_written_long_ago() {
    let (_, tree) = writable(&[("db", "old")], |_| ());
    let handle = opened(&tree, "secrets/db/current", libc::O_WRONLY | libc::O_TRUNC, OPENER).await;
    wrote(&tree, handle, 0, "new").await;
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(tree.work.desks.lock().len(), 1, "who has written may still set its mode");
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert_eq!(tree.work.desks.lock().len(), 0);
}
