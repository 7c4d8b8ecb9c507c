//! `akvfs emulator` as other projects' tests use it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Mounted, akvfs, has_program, missing, shown};

/// A running `akvfs emulator`, and the line that it printed.
struct Running {
    process: Child,
    line: Value,
}

impl Running {
    fn with(flags: &[&str]) -> Running {
        let mut process = akvfs().arg("emulator").args(flags).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Running { process, line: serde_json::from_str(&line).unwrap() }
    }

    fn text(&self, key: &str) -> &str {
        self.line[key].as_str().unwrap()
    }

    fn mount(&self) -> Mounted {
        Mounted::by(|directory| {
            let mut command = akvfs();
            command.args(["mount", self.text("url")]).arg(directory).args(["--ca-bundle", self.text("ca")]);
            command.args(["--token-file", self.text("token_file"), "--no-verify-challenge-resource"]);
            command
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[test]
fn one_line_says_how_to_reach_it_and_nothing_stays() {
    let mut running = Running::with(&["--demo"]);
    assert_eq!(fs::metadata(running.text("token_file")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(running.mount().shell("cat values/database-password"), "third-password");
    assert!(Command::new("kill").arg(running.process.id().to_string()).status().unwrap().success());
    assert!(running.process.wait().unwrap().success());
    assert!(!Path::new(running.text("token_file")).exists());
}

#[test]
fn files_and_address_are_where_they_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, token) = (path("ca.pem"), path("token"));
    let running = Running::with(&["--listen", "127.0.0.1:0", "--ca-out", &ca, "--token-out", &token]);
    assert!(running.text("url").starts_with("https://127.0.0.1:"));
    assert_eq!((running.text("ca"), running.text("token_file")), (ca.as_str(), token.as_str()));
    assert!(fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn its_socket_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vault.sock");
    let running = Running::with(&["--unix", socket.to_str().unwrap()]);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(running.line.get("ca"), None);
    drop(running);
    assert!(!socket.exists());
}

#[test]
fn it_listens_to_this_machine_alone() {
    let output = akvfs().args(["emulator", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a loopback address"), "{}", shown(&output));
}

const OFFICIAL_CLIENT: &str = r#"
import json, sys, time
from azure.core.credentials import AccessToken
from azure.keyvault.secrets import SecretClient

class FromFile:
    def __init__(self, path):
        self.path = path
    def get_token(self, *scopes, **options):
        return AccessToken(open(self.path).read(), int(time.time()) + 3600)

where = json.loads(sys.argv[1])
client = SecretClient(where["url"], FromFile(where["token_file"]), connection_verify=where["ca"],
                      verify_challenge_resource=False)
client.set_secret("from-python", "first")
made = client.set_secret("from-python", "gr\u00fcn\r\n", content_type="text/plain", tags={"a": "b"})
assert client.get_secret("from-python").value == "gr\u00fcn\r\n"
assert client.get_secret("from-python", made.properties.version).properties.tags == {"a": "b"}
assert [secret.name for secret in client.list_properties_of_secrets()] == ["from-python"]
assert len(list(client.list_properties_of_secret_versions("from-python"))) == 2
print(made.properties.version)
"#;

#[test]
fn what_the_official_client_sets_is_read_by_cat() {
    if !has_program("python3") {
        return;
    }
    let probe = Command::new("python3").args(["-c", "import azure.keyvault.secrets"]).output().unwrap();
    if !probe.status.success() {
        return missing("Python's azure-keyvault-secrets is not installed: pip install azure-keyvault-secrets");
    }
    let running = Running::with(&[]);
    let mount = running.mount();
    let output = Command::new("python3").args(["-c", OFFICIAL_CLIENT, &running.line.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let version = String::from_utf8(output.stdout).unwrap();
    assert_eq!(mount.shell("cat values/from-python"), "grün\r\n");
    assert_eq!(mount.shell(&format!("cat secrets/from-python/{}", version.trim())), "grün\r\n");
    assert_eq!(mount.shell("ls secrets/from-python | wc -l"), "4\n");
}

#[test]
fn a_local_vault_is_kept_and_has_one_owner_at_a_time() {
    let state = tempfile::tempdir().unwrap();
    let store = state.path().join("akvfs/local");
    drop(Running::with(&["--store", store.to_str().unwrap(), "--demo"]));
    let mount = Mounted::by(|directory| {
        let mut command = akvfs();
        command.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", state.path());
        command.args(["mount", "local:"]).arg(directory);
        command
    });
    assert_eq!(mount.shell("cat values/database-password"), "third-password");
    let second = akvfs().args(["emulator", "--store"]).arg(&store).output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{}", shown(&second));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{}", shown(&second));
    for entry in fs::read_dir(&store).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", entry.path().display());
        let bytes = fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"third-password"), "{}", entry.path().display());
    }
}

#[test]
fn a_local_vault_opens_with_its_own_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, digit) in [("right", "1"), ("wrong", "2")] {
        fs::write(path(name), digit.repeat(64)).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    drop(Running::with(&["--store", &path("store"), "--key-file", &path("right"), "--demo"]));
    let wrong = akvfs().args(["emulator", "--store", &path("store"), "--key-file", &path("wrong")]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1), "{}", shown(&wrong));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("key"), "{}", shown(&wrong));
    drop(Running::with(&["--store", &path("store"), "--key-file", &path("right")]));
}

#[test]
fn what_is_no_ordinary_file_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    fs::create_dir(path("folder")).unwrap();
    std::os::unix::fs::symlink("elsewhere", path("link")).unwrap();
    for name in ["fifo", "folder", "link"] {
        let before = fs::symlink_metadata(path(name)).unwrap().file_type();
        for flag in ["--token-out", "--ca-out"] {
            let output = akvfs().args(["emulator", flag]).arg(path(name)).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{flag} {name}: {}", shown(&output));
            assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"), "{}", shown(&output));
            assert_eq!(fs::symlink_metadata(path(name)).unwrap().file_type(), before, "{flag} {name}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left beside them");
}
