//! What becomes of names: new secrets, scratch files, hidden values, deletions and purges, and their times.

use super::writing::{CHILD, OPENER, by, flushed, found, inode, released, writable, wrote};
use super::*;
use crate::fs::Caller;

async fn errno<T>(answer: Answer<T>) -> i32 {
    settled(answer).await.map_or_else(|error| error.errno(), |_| 0)
}

async fn made(tree: &Tree, name: &str) -> i32 {
    errno(tree.mkdir(inode(tree, "secrets").await, OsStr::new(name), &by(OPENER))).await
}

async fn created(tree: &Tree, directory: &str, name: &str) -> Result<u64, FsError> {
    let parent = inode(tree, directory).await;
    let _ = settled(tree.find(parent, OsStr::new(name))).await; // as the kernel looks first
    tree.create(parent, OsStr::new(name), 0o600, libc::O_WRONLY, &by(OPENER)).map(|(_, handle)| handle)
}

async fn renamed(tree: &Tree, directory: &str, from: &str, to: &str) -> i32 {
    let parent = inode(tree, directory).await;
    errno(tree.rename((parent, OsStr::new(from)), (parent, OsStr::new(to)), false, &by(OPENER))).await
}

async fn unlinked(tree: &Tree, directory: &str, name: &str, caller: &Caller) -> i32 {
    let parent = inode(tree, directory).await;
    tree.unlink(parent, OsStr::new(name), caller).map_or_else(|error| error.errno(), |()| 0)
}

/// `rm -r` of a secret, live or deleted.
async fn removed(tree: &Tree, directory: &str, name: &str, caller: &Caller) -> i32 {
    let file = if directory == "secrets" { "current" } else { "properties.json" };
    let refused = unlinked(tree, &format!("{directory}/{name}"), file, caller).await;
    if refused != 0 {
        return refused;
    }
    errno(tree.rmdir(inode(tree, directory).await, OsStr::new(name), caller)).await
}

async fn is_there(tree: &Tree, path: &str) -> bool {
    found(tree, path).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_is_set_once_under_the_name_that_was_typed() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    assert_eq!((made(&tree, "New").await, made(&tree, "new").await), (0, libc::EEXIST));
    assert_eq!((made(&tree, "DB").await, made(&tree, "a_b").await), (libc::EEXIST, libc::EINVAL));
    let directory = inode(&tree, "secrets/New").await;
    settled(tree.set_extended(directory, OsStr::new("user.akv.content_type"), b"text/plain", 0)).await.unwrap();
    assert!(double.values("New").is_empty() && !is_there(&tree, "secrets/New/current").await);
    let handle = created(&tree, "secrets/new", "current").await.unwrap();
    wrote(&tree, handle, 0, "first").await;
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(double.values("New"), ["first"]);
    assert!(double.values("new").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_that_somebody_else_makes_is_theirs() {
    let (double, tree) = writable(&[], |_| ());
    assert_eq!((made(&tree, "seen").await, made(&tree, "unseen").await), (0, 0));
    let handle = created(&tree, "secrets/unseen", "current").await.unwrap();
    settled(tree.write(handle, 0, b"+mine", true)).await.unwrap();
    double.put("seen", "theirs");
    double.put("unseen", "theirs");
    assert!(!is_there(&tree, "secrets/seen/current").await, "nobody knows yet");
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::ESTALE);
    assert_eq!(double.values("unseen"), ["theirs"]);
    list(&tree, "secrets").await;
    assert_eq!(found(&tree, "secrets/seen/current").await.unwrap().size, 0, "as listed, without its value");
    let handle = super::writing::opened(&tree, "secrets/seen/current", libc::O_WRONLY | libc::O_APPEND, OPENER).await;
    settled(tree.write(handle, 0, b"+mine", true)).await.unwrap();
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    assert_eq!(double.values("seen"), ["theirs", "theirs+mine"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_that_is_set_after_the_deadline_is_there_all_the_same() {
    let (double, tree) = writable(&[], |_| ());
    assert_eq!(made(&tree, "late").await, 0);
    let handle = created(&tree, "secrets/late", "current").await.unwrap();
    wrote(&tree, handle, 0, "x").await;
    double.shut();
    double.gate.add_permits(1); // for the get before the set
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, libc::ETIMEDOUT);
    assert_eq!(released(&tree, handle).await, 0);
    assert!(!is_there(&tree, "secrets/late/current").await);
    double.gate.add_permits(100);
    while double.values("late").is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    assert!(is_there(&tree, "secrets/late/current").await && is_there(&tree, "values/late").await);
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_without_a_value_is_gone_after_an_hour_unless_somebody_is_at_it() {
    let (double, tree) = writable(&[], |_| ());
    assert_eq!((made(&tree, "left").await, made(&tree, "used").await), (0, 0));
    let handle = created(&tree, "secrets/used", ".draft").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3599)).await;
    assert!(is_there(&tree, "secrets/left").await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!is_there(&tree, "secrets/left").await);
    assert!(is_there(&tree, "secrets/used/.draft").await, "it is open");
    assert_eq!(released(&tree, handle).await, 0);
    tokio::time::sleep(Duration::from_secs(3599)).await;
    assert!(is_there(&tree, "secrets/used/.draft").await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!is_there(&tree, "secrets/used").await);
    assert!(double.values("used").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_scratch_file_becomes_the_value_with_one_set_and_goes_on_there() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    let handle = created(&tree, "secrets/db", ".new").await.unwrap();
    wrote(&tree, handle, 0, "new").await;
    settled(tree.fsync(handle)).await.unwrap();
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    assert_eq!(double.values("db"), ["old"], "a scratch file is never sent");
    assert_eq!(renamed(&tree, "secrets/db", ".new", "current").await, 0);
    assert_eq!(double.values("db"), ["old", "new"]);
    assert!(!is_there(&tree, "secrets/db/.new").await);
    wrote(&tree, handle, 3, "er").await;
    assert_eq!((flushed(&tree, handle, &by(OPENER)).await, released(&tree, handle).await), (0, 0));
    assert_eq!(double.values("db"), ["old", "new", "newer"]);
    let typing_error = created(&tree, "secrets/db", "curent").await.unwrap_err();
    assert_eq!(typing_error.errno(), libc::EPERM);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_renamed_away_is_back_when_it_is_made_again_or_after_a_minute() {
    let (double, tree) = writable(&[("db", "old")], |_| ());
    assert_eq!(renamed(&tree, "secrets/db", "current", "current~").await, 0);
    assert_eq!(
        (is_there(&tree, "secrets/db/current").await, is_there(&tree, "secrets/db/current~").await),
        (false, true)
    );
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(!is_there(&tree, "secrets/db/current").await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_there(&tree, "secrets/db/current").await);
    assert_eq!(renamed(&tree, "secrets/db", "current", ".second").await, 0);
    let handle = created(&tree, "secrets/db", "current").await.unwrap();
    assert!(is_there(&tree, "secrets/db/current").await);
    wrote(&tree, handle, 0, "new").await;
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    assert_eq!(double.values("db"), ["old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn an_unlinked_value_is_deleted_after_second_thoughts_and_not_before() {
    let (double, tree) = writable(&[("gone", "x"), ("kept", "x"), ("at-once", "x")], |_| ());
    for name in ["gone", "kept", "at-once"] {
        assert_eq!(unlinked(&tree, &format!("secrets/{name}"), "current", &by(OPENER)).await, 0);
        assert!(!is_there(&tree, &format!("secrets/{name}/current")).await);
    }
    tokio::time::sleep(Duration::from_millis(1_900)).await;
    assert_eq!((double.values("gone").len(), double.values("at-once").len()), (1, 1));
    assert_eq!(errno(tree.rmdir(inode(&tree, "secrets").await, OsStr::new("at-once"), &by(OPENER))).await, 0);
    assert!(double.values("at-once").is_empty(), "rmdir leaves no more time");
    let handle = created(&tree, "secrets/kept", "current").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(double.values("gone").is_empty());
    wrote(&tree, handle, 0, "y").await;
    assert_eq!(flushed(&tree, handle, &by(OPENER)).await, 0);
    assert_eq!(double.values("kept"), ["x", "y"]);
}

#[tokio::test(start_paused = true)]
async fn the_brake_lets_so_many_deletions_through_in_a_minute() {
    let names = ["a", "b", "c", "d"];
    let (double, tree) = writable(&names.map(|name| (name, "x")), |writing| writing.delete_limit = 2);
    for (name, expected) in names.into_iter().zip([0, 0, libc::EPERM, libc::EPERM]) {
        assert_eq!(removed(&tree, "secrets", name, &by(OPENER)).await, expected, "{name}");
    }
    assert!(is_there(&tree, "secrets/c/current").await, "what is refused is not hidden");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(removed(&tree, "secrets", "c", &by(CHILD)).await, 0);
    assert_eq!(names.map(|name| double.values(name).len()), [0, 0, 0, 1]);
    let (double, tree) = writable(&names.map(|name| (name, "x")), |writing| writing.delete_limit = 2);
    for (name, expected) in names.into_iter().zip([0, 0, libc::EPERM, libc::EPERM]) {
        assert_eq!(unlinked(&tree, &format!("secrets/{name}"), "current", &by(OPENER)).await, expected, "{name}");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(names.map(|name| double.values(name).len()), [0, 0, 1, 1], "what was let through is done");
}

#[tokio::test(start_paused = true)]
async fn a_purge_takes_permission_and_a_process_that_has_deleted_nothing() {
    let (_, without) = writable(&[("a", "x")], |_| ());
    assert_eq!(removed(&without, "secrets", "a", &by(OPENER)).await, 0);
    assert_eq!(removed(&without, "deleted", "a", &by(CHILD)).await, libc::EPERM);
    let (_, tree) = writable(&[("a", "x"), ("b", "x")], |writing| writing.allow_purge = true);
    assert_eq!(removed(&tree, "secrets", "a", &by(OPENER)).await, 0);
    assert_eq!(removed(&tree, "deleted", "a", &by(OPENER)).await, libc::EPERM);
    let parent = inode(&tree, "deleted").await;
    assert_eq!(errno(tree.rmdir(parent, OsStr::new("a"), &by(CHILD))).await, libc::ENOTEMPTY, "rm -r, not rmdir");
    assert_eq!(removed(&tree, "deleted", "a", &by(CHILD)).await, 0);
    assert!(!is_there(&tree, "deleted/a").await && !is_there(&tree, "secrets/a").await);
}
