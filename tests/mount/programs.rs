//! Everyday programs see the same bytes and sizes as on any filesystem.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{TestVault, has_program, missing, shown};

/// Command lines that are run once in the mount's `values` and once in a plain copy of it. `$SCRATCH` is
/// a folder that can be written.
const PROGRAMS: &[(&str, &str)] = &[
    ("ls", "ls -1"),
    ("ls", "ls -l | awk 'NR > 1 { print $5, $9 }'"),
    ("find", "find . -type f -size -2 | sort; find . -type f -size +10k; find . -empty -type f"),
    ("stat", "stat -c '%s %n' *"),
    ("cat", "cat *"),
    ("wc", "wc -c *"),
    ("du", "du -b --apparent-size longest | cut -f1"),
    ("head", "head -q -c 7 *"),
    ("tail", "tail -q -c 7 *"),
    ("dd", "dd if=longest bs=1000 skip=3 count=2 status=none"),
    ("dd", "dd if=longest iflag=direct bs=4096 status=none"),
    ("cp", "rm -rf $SCRATCH/copy; cp -a . $SCRATCH/copy; cd $SCRATCH/copy; sha256sum *"),
    ("cp", "cp longest $SCRATCH/one; sha256sum < $SCRATCH/one"),
    ("install", "install -m 600 multi-line $SCRATCH/one; cat $SCRATCH/one"),
    ("tar", "tar cf - . | tar tvf - | awk '{ print $3, $6 }' | sort"),
    (
        "tar",
        "rm -rf $SCRATCH/tar; mkdir $SCRATCH/tar; tar cf - * | tar xf - -C $SCRATCH/tar; cd $SCRATCH/tar; sha256sum *",
    ),
    ("rsync", "rm -rf $SCRATCH/rsync; rsync -r . $SCRATCH/rsync; cd $SCRATCH/rsync; sha256sum *"),
    ("grep", "grep -rl line . | sort; grep -c '' *"),
    ("sha256sum", "sha256sum *"),
    ("base64", "base64 -w0 windows-lines"),
    ("diff", "cp multi-line $SCRATCH/one; diff multi-line $SCRATCH/one && cmp multi-line $SCRATCH/one && echo same"),
    ("gzip", "gzip -c longest | zcat | sha256sum"),
    ("bash", ". ./env-sh; echo $PROBE"),
    ("bash", "echo \"$(<multi-line)\"; while read -r line; do echo \"[$line]\"; done < multi-line"),
    ("jq", "jq -c .ports config-json"),
    ("openssl", "openssl x509 -in web-certificate-pem -noout -subject"),
    ("openssl", "openssl pkey -in web-certificate-pem -noout -check"),
    (
        "openssl",
        "base64 -d web-certificate-pfx | openssl pkcs12 -passin pass: -nokeys -info 2>/dev/null | grep -c BEGIN",
    ),
    (
        "python3",
        "python3 -c \"import mmap; f = open('longest', 'rb'); print(mmap.mmap(f.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)[:])\"",
    ),
    (
        "python3",
        "python3 -c \"import mmap; f = open('longest', 'rb'); print(mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)[:])\"",
    ),
    (
        "python3",
        "python3 -c \"import os; print([(n, open(n,'rb').seek(0, 2), os.path.getsize(n)) for n in sorted(os.listdir('.'))])\"",
    ),
    (
        "python3",
        "python3 -c \"import os; s = os.open('longest', 0); d = os.open(os.environ['SCRATCH'] + '/sent', os.O_WRONLY | os.O_CREAT | os.O_TRUNC); print(os.sendfile(d, s, 0, 1 << 20))\"; sha256sum < $SCRATCH/sent",
    ),
    ("perl", "perl -e 'print -s \"longest\"'"),
];

#[test]
fn everyday_programs_see_exact_bytes_and_sizes() {
    let vault = TestVault::demo();
    vault.put("env-sh", "export PROBE=hello\n");
    vault.put("config-json", r#"{"user": "app", "ports": [1, 2, 3]}"#);
    let plain = tempfile::tempdir().unwrap();
    let reference = vault.mount();
    for entry in fs::read_dir(reference.path("values")).unwrap() {
        let name = entry.unwrap().file_name();
        fs::write(plain.path().join(&name), fs::read(reference.path("values").join(&name)).unwrap()).unwrap();
    }
    for (program, line) in PROGRAMS.iter().filter(|(program, _)| has_program(program)) {
        let expected = run(line, plain.path());
        // A mount of its own for each, so that each program is the first to touch the files.
        let mount = vault.mount();
        let got = run(line, &mount.path("values"));
        assert_eq!(got, expected, "{program}: {line}");
    }
}

fn run(line: &str, directory: &Path) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-c", line]).current_dir(directory).env("SCRATCH", scratch.path()).env("LC_ALL", "C");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{line} in {}: {}", directory.display(), shown(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The team's own probes, which also look at the first touch of a file by each program.
#[test]
fn the_shared_tool_probes_pass() {
    let probes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bench/tools.sh");
    if !probes.exists() {
        return missing("no ../shared/bench/tools.sh beside the checkout");
    }
    let expected = tempfile::tempdir().unwrap();
    let run = |arguments: &[&Path]| Command::new(&probes).args(arguments).output().unwrap();
    let made = run(&[Path::new("make"), expected.path()]);
    assert!(made.status.success(), "{}", shown(&made));
    let vault = TestVault::empty();
    for entry in fs::read_dir(expected.path()).unwrap() {
        let path = entry.unwrap().path();
        vault.put(path.file_name().unwrap().to_str().unwrap(), fs::read_to_string(&path).unwrap().as_str());
    }
    let output = run(&[&vault.mount().path("values"), expected.path()]);
    let lines = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = lines.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(output.status.success() && failed.is_empty(), "{failed:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines.contains(" OK, 0 FAIL"), "{lines}");
}
