//! What a person sees: whole commands.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::table::{Goal, Row, Table, median};
use crate::world::{World, akvfs, micros, numbered};

const CATS: usize = 300;
const SCRIPTS: usize = 5;
const MOUNTS: usize = 9;

const SCRIPT: &str = "
import sys, time
from azure.core.credentials import AccessToken
from azure.keyvault.secrets import SecretClient
class Fixed:
    def get_token(self, *scopes, **options):
        return AccessToken(open(sys.argv[2]).read(), int(time.time()) + 3600)
client = SecretClient(sys.argv[1], Fixed(), connection_verify=sys.argv[3], verify_challenge_resource=False)
print(client.get_secret(sys.argv[4]).value)
";

pub fn rows(world: &World, table: &mut Table) {
    let mount = world.mount();
    let in_memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (theirs, ours) = (in_memory.path().join("value"), mount.value(1));
    fs::copy(&ours, &theirs).unwrap();
    let (mut of_tmpfs, mut of_akvfs) = (Vec::new(), Vec::new());
    for _ in 0..CATS {
        of_tmpfs.push(cat(&theirs));
        of_akvfs.push(cat(&ours));
    }
    let one = median(of_akvfs);
    table.row(&Row {
        what: "`cat`, cached, and of a file on tmpfs",
        unit: "ms",
        floor: Some(median(of_tmpfs)),
        ours: one,
        goal: Goal::Times(1.1),
    });
    if let Some(python) = std::env::var_os("AKVFS_TEST_PYTHON") {
        let script = || {
            let mut command = Command::new(&python);
            command.args(["-c", SCRIPT, world.url()]);
            command.arg(world.folder.path().join("token")).arg(world.folder.path().join("ca.pem"));
            timed(command.arg(numbered(1)))
        };
        table.row(&Row {
            what: "one secret from a shell: `cat`, and `python3` with Microsoft's client",
            unit: "ms",
            floor: Some(median((0..SCRIPTS).map(|_| script()).collect())),
            ours: one,
            goal: Goal::Times(0.01),
        });
    }
    drop(mount);
    local(table);
}

fn cat(path: &Path) -> f64 {
    timed(Command::new("cat").arg(path))
}

/// How long a command takes, in milliseconds.
fn timed(command: &mut Command) -> f64 {
    let start = Instant::now();
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    micros(start) / 1000.0
}

/// `akvfs mount local:`, on a vault that is there.
fn local(table: &mut Table) {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("mount");
    let took = (0..=MOUNTS).map(|_| {
        let mut mount = akvfs();
        mount.arg("mount").arg("local:").arg(&directory).env("STATE_DIRECTORY", state.path()).stderr(Stdio::null());
        let took = timed(&mut mount);
        assert!(akvfs().arg("unmount").arg(&directory).status().unwrap().success());
        took
    });
    table.row(&Row {
        what: "`akvfs mount local:` until it can be used",
        unit: "ms",
        floor: None,
        ours: median(took.skip(1).collect()), // the first one makes the vault
        goal: Goal::AtMost(50.0),
    });
}
