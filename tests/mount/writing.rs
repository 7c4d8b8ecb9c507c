//! Writing `current`: which bytes become a version, and when.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};

use akvfs::emulator::{Fault, NewSecret, Operation};

use crate::support::{Mounted, TestVault, until};

/// Versions of a secret, oldest first as far as the vault tells, with their values.
pub(crate) fn versions(vault: &TestVault, name: &str) -> usize {
    let mount = vault.mount();
    let count = fs::read_dir(mount.path(&format!("secrets/{name}")))
        .map_or(0, |entries| entries.filter(|entry| entry.as_ref().unwrap().file_name().len() == 32).count());
    vault.emulator.clear_requests();
    count
}

/// The newest value, as another mount sees it, which has cached nothing.
pub(crate) fn value(vault: &TestVault, name: &str) -> Vec<u8> {
    let mount = vault.mount();
    let value = fs::read(mount.path(&format!("secrets/{name}/current"))).unwrap();
    vault.emulator.clear_requests();
    value
}

pub(crate) fn rw(vault: &TestVault) -> Mounted {
    vault.mount_with(&["--rw"])
}

pub(crate) fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

#[test]
fn a_write_is_one_get_and_one_set_and_is_seen_everywhere_at_once() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    assert_eq!(fs::read(mount.path("values/db")).unwrap(), b"old");
    assert_eq!(mount.shell("stat -c %s values/db secrets/db/current"), "3\n3\n");
    vault.emulator.clear_requests();
    mount.shell("printf newer > secrets/db/current");
    assert_eq!(vault.requests(Operation::GetSecret).len(), 1);
    assert_eq!(vault.requests(Operation::SetSecret).len(), 1);
    for path in ["values/db", "secrets/db/current"] {
        assert_eq!(fs::read(mount.path(path)).unwrap(), b"newer", "{path}");
        assert_eq!(fs::metadata(mount.path(path)).unwrap().len(), 5, "{path}");
    }
    assert_eq!(mount.shell("ls secrets/db | wc -l"), "4\n", "current, properties.json and two versions");
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"newer".to_vec(), 2));
}

/// What a shell line leaves: so many versions, and this value.
#[test]
fn shells_leave_as_many_versions_as_they_mean() {
    for (line, made, left) in [
        ("echo a > $F", 1, "a\n"),
        ("echo a >> $F", 1, "olda\n"),
        ("{ /bin/echo a; /bin/echo b; } > $F", 1, "a\nb\n"),
        ("(/bin/echo a; /bin/echo b) > $F", 1, "a\nb\n"),
        ("{ echo a; echo b; } > $F", 1, "a\nb\n"),
        ("nosuchcmd 2>/dev/null > $F; true", 0, "old"),
        (": > $F", 0, "old"),
        ("true > $F", 0, "old"),
        ("truncate -s 0 $F", 1, ""),
        ("truncate -s 2 $F", 1, "ol"),
        ("printf old > $F", 0, "old"),
        ("echo a | tee $F > /dev/null", 1, "a\n"),
        ("echo a | tee -a $F > /dev/null", 1, "olda\n"),
        ("printf X | dd of=$F bs=1 seek=1 conv=notrunc status=none", 1, "oXd"),
        ("printf XY | dd of=$F status=none conv=fsync", 1, "XY"),
        ("{ echo a; echo x > /dev/null; type sh > /dev/null; echo b; } > $F", 1, "a\nb\n"),
        ("exec 3> $F; printf a >&3; printf b >&3; printf c >&3; exec 3>&-", 1, "abc"),
        ("exec 3>> $F; echo a > $SCRATCH/x; printf + >> $F; exec 3>&-", 1, "old+"),
        ("dash -c 'f() { echo a; command -v sh > /dev/null; echo b; }; f > '$F", 1, "a\nb\n"),
        (
            "python3 -c \"import os; f = os.open('$F', 1); os.write(f, b'a'); g = os.dup(f); os.close(f); os.write(g, b'b')\"",
            1,
            "abd",
        ),
        (
            "python3 -c \"import os; f = os.open('$F', 513); os.write(f, b'a'); os.execv('/bin/true', ['true'])\"",
            1,
            "a",
        ),
        (
            "(head -c 25000 /dev/zero; head -c 2000 /dev/zero; echo tail) | tr '\\0' a | dd bs=1000 status=none > $F || true",
            0,
            "old",
        ),
        ("(printf a; head -c 30000 /dev/zero | tr '\\0' b; printf c) > $F 2> /dev/null || true", 0, "old"),
        ("{ echo a; echo x > /dev/null; kill -9 $BASHPID; } > $F & wait $! || true", 0, "old"),
        ("exec 3> $F; /bin/echo a >&3; /bin/echo b >&3; exec 3>&-", 1, "a\nb\n"),
        ("cat $F > /dev/null; cp $F $SCRATCH/f; echo b >> $SCRATCH/f; cp $SCRATCH/f $F", 1, "oldb\n"),
        ("echo a > $SCRATCH/f; mv $SCRATCH/f $F", 1, "a\n"),
        ("echo a > $SCRATCH/f; install -m 600 $SCRATCH/f $F", 1, "a\n"),
        ("set -o noclobber; echo a > $F || true", 0, "old"),
        ("python3 -c \"open('$F', 'w').write('a')\"", 1, "a"),
        (
            "python3 -c \"import os; f = open('$F', 'w'); f.write('a'); f.flush(); os.fsync(f.fileno()); f.write('b'); f.close()\"",
            2,
            "ab",
        ),
        (
            "python3 -c \"import subprocess; f = open('$F', 'w'); subprocess.run(['echo', 'child'], stdout=f); f.write('parent'); f.close()\"",
            1,
            "child\nparent",
        ),
    ] {
        let vault = TestVault::with(&[("db", "old")]);
        let mount = rw(&vault);
        mount.shell(&format!("F=secrets/db/current; {line}"));
        let path = mount.path("secrets/db/current");
        assert_eq!(fs::read_to_string(&path).unwrap(), left, "{line}");
        assert_eq!(fs::metadata(&path).unwrap().len(), left.len() as u64, "{line}");
        // What a descriptor's last close leaves to be written may come a moment after the shell's end.
        until(line, || versions(&vault, "db") == 1 + made);
        assert_eq!(String::from_utf8(value(&vault, "db")).unwrap(), left, "{line}");
        drop(mount);
        assert_eq!(versions(&vault, "db"), 1 + made, "{line}");
    }
}

#[test]
fn a_close_that_fails_is_told_by_programs_that_look() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    for line in
        ["printf '\\377' | tee $F", "printf '\\377' | dd of=$F", "printf '\\377' | cat > $F", "cp $SCRATCH/bad $F"]
    {
        mount.shell("printf '\\377' > $SCRATCH/bad");
        assert!(!mount.try_shell(&format!("set -o pipefail; F=secrets/db/current; {line}")).status.success(), "{line}");
    }
    mount.shell("printf '\\377' > secrets/db/current");
    assert!(mount.shell("getfattr --only-values -n user.akv.error secrets/db/current").contains("UTF-8"));
    assert_eq!(versions(&vault, "db"), 1);
}

#[test]
fn a_close_counts_although_its_process_writes_to_the_same_name_in_another_mount() {
    let vaults = [TestVault::with(&[("db", "old")]), TestVault::with(&[("db", "old")])];
    let [here, there] = vaults.each_ref().map(rw);
    here.shell(&format!(
        "python3 -c \"import os
other = os.open('{}', os.O_WRONLY | os.O_TRUNC)
os.write(other, b'other')
file = os.open('secrets/db/current', os.O_WRONLY | os.O_TRUNC)
os.write(file, b'\\xff')
try:
    os.close(file)
    raise SystemExit('close has to tell that this is no text')
except OSError: pass\"",
        there.path("secrets/db/current").display()
    ));
    assert_eq!((value(&vaults[0], "db"), value(&vaults[1], "db")), (b"old".to_vec(), b"other".to_vec()));
}

#[test]
fn a_shell_that_leaves_a_writer_behind_makes_one_version_for_each_that_ends() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    mount.shell("(/bin/echo a & /bin/echo b; wait) > secrets/db/current");
    assert_eq!(versions(&vault, "db"), 2, "the subshell opened it, and waited");
    mount.shell(
        "(sh -c 'while ! test -e $SCRATCH/go; do sleep 0.01; done; echo late' 2> /dev/null & echo early) > secrets/db/current",
    );
    assert_eq!(value(&vault, "db"), b"early\n");
    fs::write(mount.folder.path().join("go"), "").unwrap();
    until("the late one is there", || value(&vault, "db") == b"early\nlate\n");
    assert_eq!(versions(&vault, "db"), 4);
}

#[test]
fn a_killed_writer_leaves_nothing() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    for signal in ["KILL", "TERM", "INT"] {
        let line = format!("sh -c 'exec > secrets/db/current; echo half; kill -{signal} $$'");
        assert!(!mount.try_shell(&line).status.success());
    }
    drop(mount);
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"old".to_vec(), 1));
}

#[test]
fn two_writers_have_two_buffers_and_the_later_one_wins() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    let path = mount.path("secrets/db/current");
    let mut first = File::create(&path).unwrap();
    let mut second = File::create(&path).unwrap();
    first.write_all(b"first").unwrap();
    second.write_all(b"second").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    drop(second);
    assert_eq!(fs::read(&path).unwrap(), b"second");
    drop(first);
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(versions(&vault, "db"), 3);
}

#[test]
fn a_part_of_a_version_that_is_no_longer_the_newest_is_estale() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    let path = mount.path("secrets/db/current");
    let mut appended = OpenOptions::new().append(true).open(&path).unwrap();
    appended.write_all(b"+").unwrap();
    vault.put("db", "theirs");
    assert_eq!(errno(appended.sync_all()), libc::ESTALE);
    drop(appended);
    assert_eq!(value(&vault, "db"), b"theirs");
    // A whole value is another matter: the later one wins.
    let mut whole = File::create(&path).unwrap();
    whole.write_all(b"ours").unwrap();
    vault.put("db", "theirs again");
    whole.sync_all().unwrap();
    assert_eq!(value(&vault, "db"), b"ours");
    assert_eq!(versions(&vault, "db"), 4);
}

#[test]
fn content_type_and_tags_carry_over_and_dates_do_not() {
    let vault = TestVault::empty();
    let tags = [("team".to_owned(), "a".to_owned())].into();
    vault.put(
        "db",
        NewSecret {
            content_type: Some("text/plain".into()),
            tags: Some(tags),
            expires_on: Some(4_000_000_000),
            enabled: false,
            ..NewSecret::from("old")
        },
    );
    let mount = rw(&vault);
    fs::write(mount.path("secrets/db/current"), "new").unwrap();
    let text = fs::read_to_string(mount.path("secrets/db/properties.json")).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&shown["contentType"], &shown["tags"]["team"]), (&"text/plain".into(), &"a".into()));
    assert_eq!(
        (&shown["attributes"]["enabled"], &shown["attributes"]["exp"]),
        (&true.into(), &serde_json::Value::Null)
    );
}

#[test]
fn what_no_secret_can_hold_is_refused_while_it_can_be_told() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    let path = mount.path("secrets/db/current");
    let mut file = File::create(&path).unwrap();
    file.write_all("€".repeat(25_600).as_bytes()).unwrap();
    file.sync_all().unwrap();
    assert_eq!(errno(file.write_all(b"x")), libc::EFBIG);
    file.write_all(b"").unwrap();
    drop(file);
    assert_eq!(value(&vault, "db"), "€".repeat(25_600).as_bytes());
    let mut file = File::create(&path).unwrap();
    file.write_all(b"\xff\xfe").unwrap();
    assert_eq!(errno(file.sync_all()), libc::EILSEQ);
    drop(file);
    assert_eq!(versions(&vault, "db"), 2);
    for whole in [&b""[..], b"\r\n", b"a\r\nb", "ä€🔑\0".as_bytes()] {
        let mut file = File::create(&path).unwrap();
        file.write_all(whole).unwrap();
        file.set_len(whole.len() as u64).unwrap();
        drop(file);
        assert_eq!(value(&vault, "db"), whole);
    }
}

#[test]
fn a_file_that_is_being_written_reads_as_it_will_be() {
    let vault = TestVault::with(&[("db", "0123456789")]);
    let mount = rw(&vault);
    let path = mount.path("secrets/db/current");
    let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    file.write_all_at(b"abc", 2).unwrap();
    file.set_len(8).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "01abc567");
    assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), 8);
    assert_eq!(file.metadata().unwrap().len(), 8);
    assert_eq!(fs::read(&path).unwrap(), b"0123456789");
    file.sync_all().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"01abc567");
    nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, 10).unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"01abc567\0\0");
    assert_eq!(versions(&vault, "db"), 3);
}

#[test]
fn a_value_can_be_changed_through_a_mapping() {
    let vault = TestVault::with(&[("db", "0123456789")]);
    let mount = rw(&vault);
    mount.shell(
        "python3 -c \"import mmap, os
path = 'secrets/db/current'
for at, flushes in (2, False), (5, True):
    file = os.open(path, os.O_RDWR)
    mapping = mmap.mmap(file, 10)
    mapping[at:at + 2] = b'ab'
    if flushes:
        mapping.flush()
        assert os.pread(file, 10, 0) == b'01ab4ab789'
    mapping.close()
    os.close(file)\"",
    );
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"01ab4ab789".to_vec(), 3));
}

/// A mapping keeps the file open after its last close; what it was when it was closed is not what it is now.
#[test]
fn a_file_that_is_still_mapped_has_the_size_of_its_newest_version() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    mount.shell(
        "python3 -c \"import ctypes, os
path = 'secrets/db/current'
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
file = os.open(path, os.O_RDWR)
os.pwrite(file, b'0123456789', 0)
mapping = libc.mmap(None, ctypes.c_size_t(10), 1, 1, file, ctypes.c_long(0))
os.close(file)
assert os.stat(path).st_size == 10
file = os.open(path, os.O_RDWR)
os.ftruncate(file, 5)
os.close(file)
assert os.stat(path).st_size == 5
assert ctypes.string_at(mapping, 5) == b'01234'\"",
    );
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"01234".to_vec(), 3));
}

#[test]
fn an_existing_file_is_not_made_again() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    let path = mount.path("secrets/db/current");
    assert_eq!(errno(OpenOptions::new().write(true).create_new(true).open(&path)), libc::EEXIST);
    let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&path);
    direct.unwrap().write_all(b"new").unwrap();
    assert_eq!(value(&vault, "db"), b"new");
}

#[test]
fn a_lost_answer_to_a_set_leaves_one_version() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    for (number, fault) in [Fault::Reset, Fault::TruncatedBody, Fault::Html].into_iter().enumerate() {
        vault.emulator.faults().queue(fault.clone().on(Operation::SetSecret).after_effect());
        let value = format!("new-{number}");
        fs::write(mount.path("secrets/db/current"), &value).unwrap();
        assert_eq!(fs::read_to_string(mount.path("secrets/db/current")).unwrap(), value, "{fault:?}");
        assert_eq!(versions(&vault, "db"), 2 + number, "{fault:?}");
    }
    // One that was not carried out is sent again.
    vault.emulator.faults().queue(Fault::Reset.on(Operation::SetSecret));
    fs::write(mount.path("secrets/db/current"), "last").unwrap();
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"last".to_vec(), 5));
}

#[test]
fn modes_let_the_owner_write_what_takes_writing() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = vault.mount_with(&["--rw", "--file-mode", "0440", "--dir-mode", "0550"]);
    let mode = |path: &str| fs::metadata(mount.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("secrets/db/current"), mode("secrets/db"), mode("secrets")), (0o640, 0o750, 0o750));
    assert_eq!((mode("values/db"), mode("values"), mode(".")), (0o440, 0o550, 0o550));
    assert_eq!(errno(fs::write(mount.path("values/db"), "y")), libc::EPERM);
}
