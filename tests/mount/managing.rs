//! New secrets, deleting, recovering, purging, backups: what the vault can take back, and what it cannot.

use std::fs;
use std::time::Duration;

use akvfs::emulator::{Emulator, NewSecret, Operation, Options};

use crate::support::{Mounted, TestVault, akvfs, shown, until};
use crate::writing::{errno, rw, value, versions};

pub(crate) fn state(mount: &Mounted, path: &str) -> String {
    mount.shell(&format!("getfattr --only-values -n user.akv.state {path}"))
}

pub(crate) fn why(mount: &Mounted, path: &str) -> String {
    mount.shell(&format!("getfattr --only-values -n user.akv.error {path}"))
}

/// A vault that deletes and recovers as slowly as it is told.
pub(crate) fn slow(deletion: u64, recovery: u64) -> TestVault {
    let options = Options {
        deletion_delay: Duration::from_secs(deletion),
        recovery_delay: Duration::from_secs(recovery),
        ..Options::default()
    };
    TestVault::of(Emulator::with_options("testing", options))
}

#[test]
fn a_new_secret_is_a_directory_and_then_a_value() {
    let vault = TestVault::empty();
    let mount = rw(&vault);
    mount.shell("mkdir secrets/New-One");
    assert_eq!(vault.requests(Operation::SetSecret), []);
    assert_eq!(state(&mount, "secrets/New-One"), "pending");
    assert_eq!(mount.shell("ls secrets; ls secrets/New-One"), "New-One\n");
    assert!(!mount.path("secrets/New-One/current").exists());
    assert!(!mount.path("values/New-One").exists());
    assert_eq!(errno(fs::create_dir(mount.path("secrets/new-one"))), libc::EEXIST);
    mount.shell(
        "cd secrets/New-One; setfattr -n user.akv.content_type -v text/plain . && setfattr -n user.akv.tag.team -v a . \
         && setfattr -n user.akv.tag.env -v test . && setfattr -n user.akv.expires_on -v 2030-01-31T12:00:00Z . \
         && test $(getfattr --only-values -n user.akv.tag.team .) = a && printf hunter2 > current",
    );
    assert_eq!(vault.requests(Operation::SetSecret).len(), 1);
    assert_eq!(vault.requests(Operation::UpdateSecret), []);
    let text = fs::read_to_string(mount.path("secrets/New-One/properties.json")).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&shown["contentType"], &shown["tags"]),
        (&"text/plain".into(), &serde_json::json!({"team": "a", "env": "test"}))
    );
    assert_eq!(shown["attributes"]["exp"], 1_896_091_200);
    assert_eq!(fs::read(mount.path("values/New-One")).unwrap(), b"hunter2");
    assert_eq!(mount.shell("ls secrets values"), "secrets:\nNew-One\n\nvalues:\nNew-One\n");
    assert_eq!((state(&mount, "secrets/New-One").as_str(), versions(&vault, "New-One")), ("live", 1));
}

#[test]
fn a_new_secret_without_a_value_is_nothing() {
    let vault = TestVault::with(&[("taken", "x")]);
    vault.put("off", NewSecret { enabled: false, ..NewSecret::from("y") });
    let mount = rw(&vault);
    mount.shell("mkdir secrets/a && rmdir secrets/a && ! test -e secrets/a");
    mount.shell("mkdir secrets/b && touch secrets/b/current && : > secrets/b/current && ! test -e secrets/b/current");
    mount.shell("mkdir secrets/c && echo x > secrets/c/.scratch && ! rmdir secrets/c 2> /dev/null && rm -r secrets/c");
    for taken in ["taken", "TAKEN", "off"] {
        assert_eq!(errno(fs::create_dir(mount.path("secrets").join(taken))), libc::EEXIST, "{taken}");
    }
    for bad in ["a_b", "a.b", "ä", &"x".repeat(128)] {
        assert_eq!(errno(fs::create_dir(mount.path("secrets").join(bad))), libc::EINVAL, "{bad}");
    }
    assert!(why(&mount, "secrets").contains("letters, digits and dashes"));
    drop(mount);
    assert_eq!(vault.requests(Operation::SetSecret), []);
    assert_eq!(vault.requests(Operation::DeleteSecret), []);
}

#[test]
fn rm_deletes_and_mv_brings_back() {
    let vault = TestVault::with(&[("db", "one"), ("other", "x")]);
    vault.put("db", "two");
    let mount = rw(&vault);
    mount.shell("rm -r secrets/db");
    assert_eq!(vault.requests(Operation::DeleteSecret).len(), 1);
    assert_eq!(
        mount.shell("ls secrets values deleted deleted/db | tr '\n' ' '"),
        "deleted: db  deleted/db: properties.json  secrets: other  values: other "
    );
    assert!(!mount.path("values/db").exists() && !mount.path("secrets/db").exists());
    until("it is deleted", || state(&mount, "deleted/db") == "deleted");
    let deleted = mount.shell("getfattr -d -m - deleted/db; cat deleted/db/properties.json");
    for expected in
        ["user.akv.deleted_date", "user.akv.scheduled_purge_date", "user.akv.recovery_id", "scheduledPurgeDate"]
    {
        assert!(deleted.contains(expected), "{deleted}");
    }
    assert_eq!(errno(fs::create_dir(mount.path("secrets/db"))), libc::EEXIST);
    assert!(why(&mount, "secrets").contains("soft-deleted"));

    mount.shell("mv deleted/db secrets/");
    until("it is back", || state(&mount, "secrets/db") == "live");
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"two".to_vec(), 2));
    assert_eq!(mount.shell("ls deleted; cat values/db"), "two");
    mount.shell("mv secrets/db deleted/ && akvfs_is_there=$(ls deleted) && test $akvfs_is_there = db");
    assert_eq!(errno(fs::rename(mount.path("deleted/db"), mount.path("secrets/renamed"))), libc::EPERM);
    // And python's way.
    mount.shell("python3 -c \"import shutil; shutil.rmtree('secrets/other')\" && ! test -e secrets/other");
}

#[test]
fn an_unlinked_value_takes_its_secret_with_it_unless_it_is_written_again() {
    let vault = TestVault::with(&[("a", "x"), ("b", "x"), ("c", "x"), ("d", "x")]);
    let mount = rw(&vault);
    mount.shell("rm secrets/a/current && ! test -e secrets/a/current && test -d secrets/a");
    mount.shell("rm secrets/b/current && echo new > secrets/b/current");
    mount.shell("rm secrets/c/current && echo new > secrets/c/.new && mv secrets/c/.new secrets/c/current");
    until("a is deleted", || !mount.path("secrets/a").exists());
    assert_eq!(mount.shell("ls deleted"), "a\n");
    assert_eq!((value(&vault, "b"), value(&vault, "c")), (b"new\n".to_vec(), b"new\n".to_vec()));
    // What waits is carried out at the end.
    mount.shell("rm secrets/d/current");
    let unmounted = akvfs().arg("unmount").arg(&mount.directory).output().unwrap();
    assert!(unmounted.status.success(), "{}", shown(&unmounted));
    until("d is deleted too", || vault.requests(Operation::DeleteSecret).len() == 1);
}

#[test]
fn a_purge_takes_permission_and_another_process() {
    let vault = TestVault::with(&[("a", "x"), ("b", "x"), ("c", "x")]);
    let mount = rw(&vault);
    mount.shell("rm -r secrets/a");
    until("a is deleted", || state(&mount, "deleted/a") == "deleted");
    assert!(!mount.try_shell("rm -r deleted/a").status.success());
    assert!(why(&mount, "deleted/a").contains("--allow-purge"));
    drop(mount);

    let mount = vault.mount_with(&["--rw", "--allow-purge"]);
    mount.shell("rm -r deleted/a && ! test -e deleted/a && test -z \"$(ls deleted)\"");
    assert_eq!(vault.requests(Operation::PurgeDeletedSecret).len(), 1);
    let output = mount.try_shell(
        "python3 -c \"import shutil, time, os
shutil.rmtree('secrets/b')
while os.getxattr('deleted/b', 'user.akv.state') != b'deleted': time.sleep(0.01)
shutil.rmtree('deleted/b')\"",
    );
    assert!(!output.status.success());
    assert!(why(&mount, "deleted/b").contains("must not purge"), "{}", shown(&output));
    // The most careless command there is: everything can be brought back.
    assert!(!mount.try_shell("rm -rf ./*").status.success());
    until("c is deleted", || mount.path("deleted/c").exists());
    assert!(!mount.path("secrets/c").exists());
    mount.shell("mv deleted/c secrets/ && cat secrets/c/current");
}

#[test]
fn a_secret_moves_under_any_spelling() {
    let vault = TestVault::with(&[("mixa", "x")]);
    let mount = rw(&vault);
    for _ in 0..5 {
        mount.shell("mv secrets/mixa deleted/MIXA && mv deleted/mixa secrets/ && mv secrets/mixa deleted/ && mv deleted/MIXA secrets/");
    }
    assert_eq!(mount.shell("ls secrets deleted; cat values/mixa"), "deleted:\n\nsecrets:\nmixa\nx");
}

#[test]
fn the_brake_stops_a_mass_deletion_and_undelete_takes_it_back() {
    let names: Vec<String> = (0..5).map(|number| format!("s{number}")).collect();
    let vault = TestVault::empty();
    names.iter().for_each(|name| drop(vault.put(name, "x")));
    let mount = vault.mount_with(&["--rw", "--delete-limit", "3"]);
    assert!(!mount.try_shell("for s in secrets/*; do rm -r $s || exit 1; done").status.success());
    assert_eq!(vault.requests(Operation::DeleteSecret).len(), 3);
    assert_eq!(mount.shell("ls secrets | wc -l; ls deleted | wc -l"), "2\n3\n");
    assert!(why(&mount, "secrets/s3/current").contains("--delete-limit"));
    let undelete = akvfs().arg("undelete").arg(&mount.directory).args(["--since", "1h"]).output().unwrap();
    assert!(undelete.status.success(), "{}", shown(&undelete));
    assert_eq!(mount.shell("ls secrets | wc -l; ls deleted | wc -l"), "5\n0\n");
    for name in &names {
        until(name, || fs::read(mount.path("values").join(name)).is_ok_and(|value| value == b"x"));
    }
}

#[test]
fn a_deleted_name_is_brought_back_by_mkdir_where_that_is_wanted() {
    let vault = slow(0, 2);
    vault.put("db", "old");
    let mount = vault.mount_with(&["--rw", "--on-deleted", "recover"]);
    mount.shell("rm -r secrets/db");
    until("it is deleted", || state(&mount, "deleted/db") == "deleted");
    mount.shell("mkdir secrets/db && echo new > secrets/db/current");
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"new\n".to_vec(), 2));
}

#[test]
fn a_backup_is_a_file_and_a_restore_too() {
    let vault = TestVault::with(&[("db", "one"), ("other", "x")]);
    let newest = vault.put("db", "two");
    let mount = vault.mount_with(&["--rw", "--allow-purge"]);
    assert_eq!(mount.shell("ls backups"), "db\nother\n");
    mount.shell("cp backups/db $SCRATCH/blob && test $(stat -c %s backups/db) = $(stat -c %s $SCRATCH/blob)");
    assert_eq!(vault.requests(Operation::BackupSecret).len(), 1);
    assert!(!mount.try_shell("cp $SCRATCH/blob backups/whatever").status.success());
    assert!(why(&mount, "backups").contains("restores over none"));
    mount.shell("rm -r secrets/db");
    until("it is deleted", || state(&mount, "deleted/db") == "deleted");
    mount.shell("rm -r deleted/db && cp -p $SCRATCH/blob backups/db.blob && ls backups && ! test -e backups/db.blob");
    until("it is back", || fs::read(mount.path("values/db")).is_ok_and(|value| value == b"two"));
    assert!(mount.path(&format!("secrets/db/{newest}")).exists());
    let junk = mount.try_shell("echo junk > backups/junk");
    assert!(why(&mount, "backups").contains("no backup of a secret"), "{}", shown(&junk));
}

#[test]
fn properties_are_extended_attributes() {
    let vault = TestVault::empty();
    let old = vault.put("db", "one");
    vault.put("db", NewSecret { tags: Some([("team".to_owned(), "a".to_owned())].into()), ..NewSecret::from("two") });
    let mount = rw(&vault);
    let sheet = mount.shell("getfattr -d -m - secrets/db");
    for name in [
        "id",
        "version",
        "enabled",
        "created_on",
        "updated_on",
        "recovery_level",
        "recoverable_days",
        "managed",
        "tag.team",
        "state",
        "age",
    ] {
        assert!(sheet.contains(&format!("user.akv.{name}=")), "{name}: {sheet}");
    }
    assert!(!sheet.contains("two"), "no value is an attribute");
    mount.shell(
        "cd secrets/db; setfattr -n user.akv.content_type -v text/plain current && setfattr -n user.akv.tag.env -v test . \
         && setfattr -x user.akv.tag.team . && setfattr -n user.akv.not_before -v 1000000000 .",
    );
    let shown = fs::read_to_string(mount.path("secrets/db/properties.json")).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["contentType"], &shown["tags"]), (&"text/plain".into(), &serde_json::json!({"env": "test"})));
    assert_eq!(mount.shell("getfattr --only-values -n user.akv.not_before secrets/db"), "2001-09-09T01:46:40Z");
    mount.shell(&format!("setfattr -n user.akv.enabled -v false secrets/db/{old}"));
    assert_eq!(state(&mount, &format!("secrets/db/{old}")), "disabled");
    assert_eq!(state(&mount, "secrets/db"), "live");
    mount.shell("setfattr -n user.akv.enabled -v false secrets/db");
    assert_eq!(state(&mount, "secrets/db"), "disabled");
    assert_eq!(errno(fs::read(mount.path("secrets/db/current"))), libc::EACCES);
    mount.shell("setfattr -n user.akv.enabled -v true secrets/db && cat secrets/db/current");
    assert_eq!(versions(&vault, "db"), 2);
    for (line, words) in [
        ("setfattr -n user.akv.id -v x secrets/db", "Operation not permitted"),
        ("setfattr -x user.akv.not_before secrets/db", "Operation not supported"),
        ("setfattr -n user.akv.enabled -v maybe secrets/db", "Invalid argument"),
        ("setfattr -n user.akv.expires_on -v tomorrow secrets/db", "Invalid argument"),
        ("setfattr -n user.akv.nonsense -v x secrets/db", "No such attribute"),
        ("setfattr -n user.other -v x secrets/db", "Operation not supported"),
        ("setfattr -x user.akv.tag.nonsense secrets/db", "No such attribute"),
        ("getfattr -n user.akv.nonsense secrets/db", "No such attribute"),
        ("for n in $(seq 15); do setfattr -n user.akv.tag.t$n -v x secrets/db || exit 1; done", "No space left"),
        ("setfattr -n user.akv.tag.long -v $(head -c 513 /dev/zero | tr '\\0' x) secrets/db", "No space left"),
    ] {
        let output = mount.try_shell(line);
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{line}: {}", crate::support::shown(&output));
    }
}

#[test]
fn attributes_of_a_file_with_unsaved_bytes_go_with_its_version() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    mount.shell(
        "python3 -c \"import os
f = open('secrets/db/current', 'w'); f.write('new'); f.flush()
os.setxattr('secrets/db', 'user.akv.content_type', b'text/plain')
os.setxattr(f.fileno(), 'user.akv.tag.team', b'a')
f.close()\"",
    );
    assert_eq!(vault.requests(Operation::SetSecret).len(), 1);
    assert_eq!(vault.requests(Operation::UpdateSecret), []);
    assert_eq!(mount.shell("getfattr --only-values -n user.akv.content_type secrets/db; getfattr --only-values -n user.akv.tag.team secrets/db"), "text/plaina");
}

#[test]
fn encoded_values_read_and_write_as_their_bytes() {
    let vault = TestVault::empty();
    let tagged = |encoding: &str| Some([("file-encoding".to_owned(), encoding.to_owned())].into());
    vault.put("b64", NewSecret { tags: tagged("base64"), ..NewSecret::from("/wAB\n") });
    vault.put("hex", NewSecret { tags: tagged("hex"), ..NewSecret::from("ff0001") });
    vault.put("bad", NewSecret { tags: tagged("base64"), ..NewSecret::from("no base64!") });
    let mount = vault.mount_with(&["--rw", "--binary", "--strip-newline"]);
    for name in ["b64", "hex"] {
        let path = mount.path("secrets").join(name).join("current");
        assert_eq!(fs::read(&path).unwrap(), [0xff, 0, 1], "{name}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 3);
        fs::write(&path, [0xff, 0, 1]).unwrap();
        assert_eq!(versions(&vault, name), 1, "equal bytes");
        fs::write(&path, [0xfe, 2]).unwrap();
        assert_eq!((value(&vault, name), versions(&vault, name)), (vec![0xfe, 2], 2));
    }
    assert_eq!(fs::read(mount.path("values/bad")).unwrap(), b"no base64!");
    assert!(why(&mount, "secrets/bad").contains("says base64"));
    mount.shell("setfattr -x user.akv.tag.file-encoding secrets/hex");
    assert_eq!(fs::read(mount.path("values/hex")).unwrap(), b"fe02");
    mount.shell("mkdir secrets/new && head -c 100 /dev/urandom > $SCRATCH/r && cp $SCRATCH/r secrets/new/current && cmp $SCRATCH/r values/new");
    assert_eq!(mount.shell("getfattr --only-values -n user.akv.tag.file-encoding secrets/new"), "base64");
    mount.shell("mkdir secrets/line && echo line > secrets/line/current");
    assert_eq!(value(&vault, "line"), b"line");
}

/// The session of README's *Managing secrets*: commands and what they print, save for identifiers.
#[test]
fn the_readmes_session_goes_as_it_is_told() {
    let readme = include_str!("../../README.md");
    let section = readme.split("## Managing secrets").nth(1).unwrap();
    let session = section.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let mount = Mounted::by(|directory| {
        let mut command = akvfs();
        command.args(["mount", "demo:"]).arg(directory).arg("--rw");
        command
    });
    let is_identifier = |line: &str| line.len() == 32 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut steps = session.split("$ ").skip(3); // the mount, which is there, and the way into it
    let mut run = 0;
    steps.by_ref().for_each(|step| {
        let (command, expected) = step.split_once('\n').unwrap();
        let line = format!("export LC_ALL=C HOME=$SCRATCH; {{ {command}; }} 2>&1");
        let printed = String::from_utf8(mount.try_shell(&line).stdout).unwrap();
        let lines =
            |text: &str| text.lines().filter(|line| !is_identifier(line)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&printed), lines(expected), "{command}");
        run += 1;
    });
    assert!(run > 10);
}
