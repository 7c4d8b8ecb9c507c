//! Editors and replacers: whatever they write beside `current`, one new version is left, and nothing else.

use std::fs;
use std::process::{Command, Stdio};

use akvfs::emulator::Operation;

use crate::support::{Mounted, TestVault, has_program, shown, until};
use crate::writing::{rw, value, versions};

/// What the vault has been asked to change since the last clearing.
fn changes(vault: &TestVault) -> Vec<(Operation, Option<String>)> {
    let seen = vault.emulator.requests().into_iter().map(|seen| (seen.operation, seen.name));
    seen.filter(|(operation, _)| {
        use Operation::{GetDeletedSecret, GetDeletedSecrets, GetSecret, GetSecretVersions, GetSecrets};
        !matches!(operation, GetSecret | GetSecrets | GetSecretVersions | GetDeletedSecret | GetDeletedSecrets)
    })
    .collect()
}

/// Runs a program's line, and makes sure that the vault has been asked for one set and nothing else.
fn leaves_one_version(program: &str, line: &str, left: &str) {
    if !has_program(program) {
        return;
    }
    let vault = TestVault::with(&[("db", "first\nsecond\n"), ("other", "x")]);
    let mount = rw(&vault);
    vault.emulator.clear_requests();
    let output = mount.try_shell(&format!("cd secrets/db && {line}"));
    assert!(output.status.success(), "{program}: {line}: {}", shown(&output));
    assert_eq!(fs::read_to_string(mount.path("secrets/db/current")).unwrap(), left, "{program}: {line}");
    ends_with_one_version(&vault, mount, &format!("{program}: {line}"), left);
}

fn ends_with_one_version(vault: &TestVault, mount: Mounted, what: &str, left: &str) {
    // Unmounting carries out what still waits: a deletion would come to light here.
    let unmounted = crate::support::akvfs().arg("unmount").arg(&mount.directory).output().unwrap();
    assert!(unmounted.status.success(), "{what}: {}", shown(&unmounted));
    until("the daemon has ended", || crate::support::mount_type(&mount.directory).is_none());
    assert_eq!(changes(vault), [(Operation::SetSecret, Some("db".to_owned()))], "{what}");
    assert_eq!(String::from_utf8(value(vault, "db")).unwrap(), left, "{what}");
    assert_eq!((versions(vault, "db"), versions(vault, "other")), (2, 1), "{what}");
}

#[test]
fn replacers_leave_one_version() {
    const THIRD: &str = "first\nthird\n";
    for (program, line) in [
        ("sed", "sed -i s/second/third/ current"),
        ("sed", "sed -i.bak s/second/third/ current"),
        ("perl", "perl -pi -e s/second/third/ current"),
        ("perl", "perl -pi.bak -e s/second/third/ current"),
        ("install", "sed s/second/third/ current > $SCRATCH/f; install -m 600 $SCRATCH/f current"),
        ("install", "sed s/second/third/ current > $SCRATCH/f; install -C $SCRATCH/f current"),
        ("cp", "sed s/second/third/ current > $SCRATCH/f; cp $SCRATCH/f current"),
        ("cp", "sed s/second/third/ current > $SCRATCH/f; cp -a $SCRATCH/f current"),
        ("cp", "sed s/second/third/ current > $SCRATCH/f; cp --backup $SCRATCH/f current"),
        ("cp", "sed s/second/third/ current > $SCRATCH/f; cp --remove-destination $SCRATCH/f current"),
        ("mv", "sed s/second/third/ current > $SCRATCH/f; mv $SCRATCH/f current"),
        ("mv", "sed s/second/third/ current > .new; mv .new current"),
        ("mv", "mv current current.bak; sed s/second/third/ current.bak > current"),
        ("rsync", "sed s/second/third/ current > $SCRATCH/current; rsync $SCRATCH/current ."),
        ("rsync", "sed s/second/third/ current > $SCRATCH/current; rsync -a $SCRATCH/current ./"),
        ("rsync", "sed s/second/third/ current > $SCRATCH/current; rsync --inplace $SCRATCH/current ."),
        (
            "tar",
            "sed s/second/third/ current > $SCRATCH/current; tar cf $SCRATCH/t -C $SCRATCH current; tar xf $SCRATCH/t",
        ),
        ("tee", "sed s/second/third/ current | tee $SCRATCH/f > /dev/null; tee current < $SCRATCH/f > /dev/null"),
        ("patch", "printf '2c2\\n< second\\n---\\n> third\\n' | patch -s current"),
        (
            "python3",
            "python3 -c \"import os, tempfile
f = tempfile.NamedTemporaryFile('w', dir='.', delete=False)
f.write(open('current').read().replace('second', 'third')); f.flush(); os.fsync(f.fileno()); f.close()
os.replace(f.name, 'current')\"",
        ),
        (
            "python3",
            "python3 -c \"import os
f = os.open('current.lock', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
os.write(f, b'first\\nthird\\n'); os.close(f); os.rename('current.lock', 'current')\"",
        ),
    ] {
        leaves_one_version(program, line, THIRD);
    }
}

#[test]
fn nano_leaves_one_version() {
    // ^K cuts the first line, ^X leaves, y and Enter save; each key once nano has asked for it.
    const KEYS: &str = r#"python3 -c "
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.environ['TERM'] = 'xterm'
    os.execvp('nano', ['nano', *sys.argv[1:]])
seen = b''
for prompt, keys in [(b'Read', b'\x0b\x18'), (b'Save modified', b'y'), (b'File Name', b'\r')]:
    while prompt not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, keys)
try:
    while os.read(terminal, 4096): pass
except OSError:
    pass # the terminal is closed
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))""#;
    for flags in ["", "--backup", "--locking"] {
        leaves_one_version("nano", &format!("{KEYS} {flags} current"), "second\n");
    }
}

#[test]
fn vim_leaves_one_version() {
    for options in [
        "set swapfile backup writebackup undofile undodir=. backupdir=. directory=.",
        "set backupcopy=yes backup writebackup backupdir=.",
        "set backupcopy=no writebackup backupdir=.",
        "set nobackup nowritebackup noswapfile",
    ] {
        // A terminal by script(1), so that it is the editor as people meet it.
        let line = format!(
            "TERM=xterm script -qec \"vim -u NONE -N -c '{options}' -c '%s/second/third/' -c 'wq' current\" /dev/null > /dev/null"
        );
        leaves_one_version("vim", &line, "first\nthird\n");
    }
}

#[test]
fn emacs_leaves_one_version() {
    for options in ["", "(setq backup-by-copying t)", "(setq make-backup-files nil create-lockfiles nil)"] {
        let line = format!(
            "HOME=$SCRATCH emacs --batch -Q --eval '(progn {options} (find-file \"current\") (goto-char (point-min)) \
             (while (search-forward \"second\" nil t) (replace-match \"third\")) (save-buffer))' 2> $SCRATCH/err"
        );
        leaves_one_version("emacs", &line, "first\nthird\n");
    }
}

#[test]
fn a_typing_error_is_no_scratch_file() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = rw(&vault);
    let refused = fs::write(mount.path("secrets/db/curent"), "lost").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    let why = mount.shell("getfattr --only-values -n user.akv.error secrets/db");
    assert!(why.contains("typing error"), "{why}");
    let mount = vault.mount_with(&["--rw", "--scratch", "cur?nt"]);
    fs::write(mount.path("secrets/db/curent"), "kept").unwrap();
    assert_eq!(fs::read_to_string(mount.path("secrets/db/curent")).unwrap(), "kept");
    assert_eq!(changes(&vault), []);
}

#[test]
fn scratch_files_are_files() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = rw(&vault);
    mount.shell(
        "cd secrets/db; echo a > .a; chmod 640 .a; touch -d @1000000 .a; test $(stat -c %a.%Y .a) = 640.1000000; \
         mv .a .b; ! test -e .a; cat .b >> .c; echo b >> .c; truncate -s 3 .c; exec 3< .c; rm .c; cat <&3 > $SCRATCH/read; \
         test $(stat -L -c %s /proc/self/fd/3) = 3; ls -A | grep -c '^[.]b$'; rm .b",
    );
    assert_eq!(fs::read_to_string(mount.folder.path().join("read")).unwrap(), "a\nb");
    assert_eq!(mount.shell("ls -A secrets/db | wc -l"), "3\n");
    assert_eq!(changes(&vault), []);
}

#[test]
fn a_descriptor_that_outlives_its_renaming_still_writes_the_value() {
    let vault = TestVault::with(&[("db", "old")]);
    let mount = rw(&vault);
    mount.shell(
        "python3 -c \"import os
f = open('secrets/db/.new', 'w'); f.write('late'); os.rename('secrets/db/.new', 'secrets/db/current'); f.close()\"",
    );
    assert_eq!((value(&vault, "db"), versions(&vault, "db")), (b"late".to_vec(), 2));
}

#[test]
fn modes_and_owners_are_the_mounts() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = rw(&vault);
    for (line, fine) in [
        ("touch secrets/db/current", true),
        ("chmod 644 secrets/db/current", false),
        ("chown $(id -u):$(id -g) secrets/db/current", true),
        ("chown 12345 secrets/db/current", false),
        ("python3 -c \"import os; f = open('secrets/db/current', 'r+'); os.fchmod(f.fileno(), 0o644)\"", true),
        ("chmod 700 secrets/db", false),
        ("ln secrets/db/current secrets/db/.hard", false),
        ("ln -s current secrets/db/.soft", false),
        ("mkfifo secrets/db/.fifo", false),
        ("mv secrets/db secrets/other", false),
        ("echo x > secrets/new", false),
        ("echo x > values/new", false),
        ("mkdir values/new", false),
        ("rm secrets/db/properties.json", false),
        ("rm values/db", false),
        ("rmdir secrets/db", false),
        ("mv secrets/db/properties.json secrets/db/.p", false),
        ("rm -f secrets/db/$(ls secrets/db | grep -E '^[0-9a-f]{32}$')", false),
    ] {
        let output = mount.try_shell(line);
        assert_eq!(output.status.success(), fine, "{line}: {}", shown(&output));
    }
    let mode = mount.shell("stat -c %a secrets/db/current");
    assert_eq!(mode, "600\n", "what is accepted has no effect");
    assert_eq!(changes(&vault), []);
}

#[test]
fn a_program_that_starts_another_one_with_a_file_open_does_not_hang() {
    let vault = TestVault::with(&[("db", "x")]);
    let mount = rw(&vault);
    // A descriptor that is closed by execve(2) is flushed by a process of which nobody can read everything.
    let path = mount.path("secrets/db/current");
    let held = fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    let status = Command::new("true").stdin(Stdio::null()).status().unwrap();
    assert!(status.success());
    drop(held);
    assert_eq!(changes(&vault), []);
}
