//! The filesystem over a double and a cache, without a kernel.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Answer, Entry, Fs, FsError, FsSettings, Keeping, Shown, WritingSettings};
use crate::cache::{CacheSettings, Cached};
use crate::tree::{FileKind, Ownership, ROOT_INODE};
use crate::vault::double::{Double, name};
use crate::vault::{Vault, VaultError, VaultErrorKind};

mod changing;
mod writing;

type Tree = Arc<Fs<Cached<Double>>>;

fn tree(secrets: &[(&str, &str)]) -> (Double, Tree) {
    let double = Double::with(secrets);
    let cache = CacheSettings { entries: 100, ..CacheSettings::default() };
    let ownership = Ownership { uid: 7, gid: 8, file_mode: 0o400, directory_mode: 0o500, writable: false };
    (double.clone(), Fs::new(Cached::new(double, cache), settings(ownership)))
}

pub(super) fn settings(ownership: Ownership) -> FsSettings {
    let writing = WritingSettings {
        writable: ownership.writable,
        allow_purge: false,
        recover_deleted: false,
        delete_limit: 20,
        wait_to_settle: false,
        settle_timeout: Duration::from_secs(180),
        scratch: Vec::new(),
        strip_newline: false,
        binary: false,
    };
    let (ttl, deadline) = (Duration::from_secs(60), Duration::from_secs(10));
    FsSettings { ownership, mounted_at: 500, ttl, deadline, lazy_sizes: false, page_cache: false, writing }
}

async fn settled<T>(answer: Answer<T>) -> Result<T, FsError> {
    match answer {
        Answer::Now(result) => result,
        Answer::Later(work) | Answer::Settling(work) => work.await,
        Answer::Change(work) => work.await.map(|done| done.value),
    }
}

fn now<T>(answer: Answer<T>) -> T {
    match answer {
        Answer::Now(result) => result.unwrap(),
        Answer::Later(_) | Answer::Settling(_) | Answer::Change(_) => panic!("this had to be known"),
    }
}

async fn walk(tree: &Tree, path: &str) -> Result<Shown, FsError> {
    let mut shown = settled(tree.getattr(ROOT_INODE)).await?;
    for part in path.split('/') {
        shown = settled(tree.lookup(shown.attributes.inode, OsStr::new(part))).await?;
    }
    Ok(shown)
}

async fn list(tree: &Tree, path: &str) -> Vec<Entry> {
    let inode = walk(tree, path).await.unwrap().attributes.inode;
    let handle = tree.opendir(inode).unwrap().handle;
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let offset = entries.last().map_or(0, |entry| entry.next);
        let before = entries.len();
        // As the kernel does when its buffer is full: it comes back for what it left.
        entries.extend(settled(tree.readdir(handle, offset)).await.unwrap().take(2));
        if entries.len() == before {
            return entries;
        }
    }
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.name().into_owned()).collect()
}

#[tokio::test]
async fn a_cached_open_is_answered_on_the_spot() {
    let (double, tree) = tree(&[("db", "hunter2")]);
    let file = walk(&tree, "values/db").await.unwrap().attributes;
    assert_eq!((file.size, file.modified, file.changed), (7, 1_000, 2_000));
    let handle = now(tree.open(file.inode, libc::O_RDONLY)).handle;
    assert_eq!(tree.snapshot(handle).unwrap().expose_range(0, 100), b"hunter2");
    tree.release(handle);
    assert!(matches!(tree.snapshot(handle), Err(FsError::BadHandle)));
    assert_eq!(double.gets(), 1, "the get that decided the lookup serves the open too");
}

#[tokio::test]
async fn a_listing_is_complete_whatever_the_buffer_and_gets_nothing() {
    let (double, tree) = tree(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")]);
    assert_eq!(names(&list(&tree, "values").await), [".", "..", "a", "b", "c", "d", "e"]);
    assert_eq!(names(&list(&tree, "secrets").await), [".", "..", "a", "b", "c", "d", "e"]);
    assert_eq!((double.gets(), double.listings.load(Ordering::SeqCst)), (0, 1));
    let of_a = list(&tree, "secrets/a").await;
    assert_eq!(names(&of_a), [".", "..", "current", "properties.json", "00000000000000000000000000000001"]);
}

#[tokio::test]
async fn a_directory_can_be_read_from_the_middle_first() {
    let (_, tree) = tree(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let all = list(&tree, "values").await;
    let handle = tree.opendir(walk(&tree, "values").await.unwrap().attributes.inode).unwrap().handle;
    let rest = settled(tree.readdir(handle, all[2].next)).await.unwrap();
    assert_eq!(names(&rest.collect::<Vec<_>>()), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn the_kernel_keeps_a_listing_that_was_read_twice_while_all_in_it_counts() {
    let (_, tree) = tree(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let keeping = async |path| {
        let inode = walk(&tree, path).await.unwrap().attributes.inode;
        let keeping = tree.opendir(inode).unwrap().keeping;
        list(&tree, path).await;
        keeping
    };
    list(&tree, "secrets").await;
    list(&tree, "secrets").await;
    assert_eq!(keeping("secrets").await, Keeping::Anew);
    assert_eq!(keeping("secrets").await, Keeping::Kept);
    for _ in 0..3 {
        assert_eq!(keeping("values").await, Keeping::Nothing, "the sizes are not known");
    }
    tokio::time::advance(Duration::from_secs(61)).await;
    for _ in 0..2 {
        assert_eq!(keeping("secrets").await, Keeping::Nothing, "there is another one to read");
    }
}

#[tokio::test]
async fn the_kernel_keeps_nothing_once_an_older_listing_was_read_on() {
    let (_, tree) = tree(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let inode = walk(&tree, "secrets").await.unwrap().attributes.inode;
    let handle = tree.opendir(inode).unwrap().handle;
    list(&tree, "secrets").await;
    let old: Vec<_> = settled(tree.readdir(handle, 0)).await.unwrap().collect();
    tree.vault.forget_all();
    list(&tree, "secrets").await;
    list(&tree, "secrets").await;
    assert_eq!(tree.opendir(inode).unwrap().keeping, Keeping::Anew);
    settled(tree.readdir(handle, old[2].next)).await.unwrap();
    assert_eq!(tree.opendir(inode).unwrap().keeping, Keeping::Nothing);
}

#[tokio::test]
async fn an_old_listing_gets_the_leases_of_the_one_that_counts() {
    let (double, tree) = tree(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let handle = tree.opendir(walk(&tree, "values").await.unwrap().attributes.inode).unwrap().handle;
    list(&tree, "values").await;
    let old: Vec<_> = settled(tree.readdir(handle, 0)).await.unwrap().collect();
    assert_eq!(names(&old), [".", "..", "a", "b", "c"]);
    double.delete(&name("c")).await.unwrap();
    tree.vault.forget_all();
    assert_eq!(names(&list(&tree, "values").await), [".", "..", "a", "b"]);
    let rest: Vec<_> = settled(tree.readdir(handle, old[2].next)).await.unwrap().collect();
    assert_eq!(names(&rest), ["b", "c"]);
    assert!(rest[0].shown.name_for > Duration::from_secs(50));
    assert!(rest[1].shown.name_for < Duration::from_secs(50), "the vault has it no more");
}

#[tokio::test]
async fn an_unknown_size_gets_no_lease_and_a_known_one_does() {
    let (_, tree) = tree(&[("a", "12345")]);
    let entry = |entries: Vec<Entry>| entries.into_iter().find(|entry| entry.name() == "a").unwrap().shown;
    let before = entry(list(&tree, "values").await);
    assert_eq!((before.attributes.size, before.attributes_for), (0, Duration::ZERO));
    assert!(before.name_for > Duration::from_secs(50));
    assert_eq!(
        settled(tree.getattr(walk(&tree, "values/a").await.unwrap().attributes.inode)).await.unwrap().attributes.size,
        5
    );
    let after = entry(list(&tree, "values").await);
    assert_eq!(after.attributes.size, 5);
    assert!(after.attributes_for > Duration::from_secs(50));
}

#[tokio::test]
async fn the_second_stat_after_a_listing_fetches_the_rest() {
    let (double, tree) = tree(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    list(&tree, "values").await;
    for (name, gets) in [("a", 1), ("b", 4)] {
        let inode = walk(&tree, &format!("values/{name}")).await.unwrap().attributes.inode;
        settled(tree.getattr(inode)).await.unwrap();
        while double.gets() < gets {
            tokio::task::yield_now().await;
        }
        assert_eq!(double.gets(), gets);
    }
}

#[tokio::test]
async fn opens_after_a_listing_fetch_nothing_else() {
    let (double, tree) = tree(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    list(&tree, "values").await;
    for name in ["a", "b", "c"] {
        let inode = walk(&tree, &format!("values/{name}")).await.unwrap().attributes.inode;
        assert_eq!(settled(tree.open(inode, libc::O_RDONLY)).await.unwrap().size, 1);
    }
    tokio::task::yield_now().await;
    assert_eq!(double.gets(), 3);
}

#[tokio::test]
async fn another_spelling_is_the_same_place_without_a_lease() {
    let (_, tree) = tree(&[("Db", "x")]);
    let own = walk(&tree, "values/Db").await.unwrap();
    let other = walk(&tree, "values/DB").await.unwrap();
    assert_eq!(own.attributes.inode, other.attributes.inode);
    assert!(own.name_for > Duration::ZERO);
    assert_eq!(other.name_for, Duration::ZERO);
}

#[tokio::test]
async fn a_refused_value_still_has_its_properties() {
    let (double, tree) = tree(&[("off", "x")]);
    list(&tree, "secrets").await;
    *double.error.lock() = Some(VaultError::of(VaultErrorKind::Disabled));
    let file = walk(&tree, "values/off").await.unwrap().attributes;
    let shown = settled(tree.getattr(file.inode)).await.unwrap();
    assert_eq!((shown.attributes.size, shown.attributes.modified), (0, 1_000));
    let refused = settled(tree.open(file.inode, libc::O_RDONLY)).await.unwrap_err();
    assert_eq!(refused.errno(), libc::EACCES);
    let properties = walk(&tree, "secrets/off/properties.json").await.unwrap().attributes;
    assert!(settled(tree.open(properties.inode, libc::O_RDONLY)).await.is_ok());
}

#[tokio::test]
async fn writing_is_refused_and_directories_are_directories() {
    let (_, tree) = tree(&[("db", "x")]);
    let file = walk(&tree, "secrets/db/current").await.unwrap().attributes;
    assert_eq!((file.kind, file.mode, file.uid, file.gid), (FileKind::File, 0o400, 7, 8));
    for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_RDONLY | libc::O_TRUNC] {
        assert_eq!(settled(tree.open(file.inode, flags)).await.unwrap_err().errno(), libc::EROFS);
    }
    let directory = walk(&tree, "secrets/db").await.unwrap().attributes;
    assert_eq!((directory.kind, directory.mode, directory.links), (FileKind::Directory, 0o500, 2));
    assert_eq!(settled(tree.open(directory.inode, libc::O_RDONLY)).await.unwrap_err().errno(), libc::EISDIR);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_nobody_answers_is_let_through() {
    let (double, tree) = tree(&[]);
    double.shut();
    let shown = walk(&tree, "values/absent").await.unwrap();
    assert_eq!((shown.name_for, shown.attributes_for), (Duration::ZERO, Duration::ZERO));
    let open = tree.open(shown.attributes.inode, libc::O_RDONLY);
    double.gate.add_permits(1);
    assert_eq!(settled(open).await.unwrap_err().errno(), libc::ENOENT);
    assert_eq!(double.gets(), 1);
}
