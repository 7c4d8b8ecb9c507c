//! A vault or a mount point that is not as it should be: one clear line, and its exit code.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::support::{Helper, TestVault, akvfs, has_program, missing, mount_type, shown, until};

/// The command must fail with the code and say all of this, in one line.
fn fails(mut command: Command, code: i32, expected: &[&str]) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{}", shown(&output));
    for part in expected {
        assert!(stderr.contains(part), "{part:?} is not in {stderr:?}");
    }
    output
}

fn mount_point(vault: &TestVault) -> std::path::PathBuf {
    vault.path("mount")
}

#[test]
fn an_unknown_host_is_4() {
    let vault = TestVault::empty();
    let mut command = akvfs();
    command.args(["mount", "https://no-such-vault.invalid"]).arg(mount_point(&vault));
    command.arg("--token-file").arg(vault.path("token"));
    fails(command, 4, &["cannot be reached", "vault's name"]);
    assert!(!mount_point(&vault).exists(), "nothing is made for a mount that fails");
}

#[test]
fn a_refused_connection_is_4() {
    let vault = TestVault::empty();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = akvfs();
    command.args(["mount", &format!("https://{closed}")]).arg(mount_point(&vault));
    command.arg("--token-file").arg(vault.path("token"));
    fails(command, 4, &["cannot be reached", "Connection refused"]);
}

#[test]
fn an_untrusted_certificate_is_4() {
    let (vault, other) = (TestVault::empty(), TestVault::empty());
    let mut command = akvfs();
    command.args(["mount", vault.url()]).arg(mount_point(&vault)).arg("--token-file").arg(vault.path("token"));
    command.arg("--ca-bundle").arg(other.path("ca.pem"));
    fails(command, 4, &["cannot be reached", "certificate", "--ca-bundle"]);
}

#[test]
fn a_ca_bundle_without_certificates_is_2() {
    let vault = TestVault::empty();
    fs::write(vault.path("ca.pem"), "no certificate\n").unwrap();
    fails(vault.mount_command(&mount_point(&vault)), 2, &["CA bundle", "ca.pem", "no PEM certificate"]);
}

#[test]
fn a_wrong_or_missing_token_is_3() {
    let (vault, other) = (TestVault::empty(), TestVault::empty());
    fs::copy(other.path("token"), vault.path("token")).unwrap();
    fails(vault.mount_command(&mount_point(&vault)), 3, &["refuses the token"]);
    fs::write(vault.path("token"), "canary two").unwrap();
    let output = fails(vault.mount_command(&mount_point(&vault)), 3, &["holds no token", "token"]);
    assert!(!shown(&output).contains("canary"));
    fs::remove_file(vault.path("token")).unwrap();
    fails(vault.mount_command(&mount_point(&vault)), 3, &["cannot read the token file", "No such file"]);
}

#[test]
fn a_resource_that_is_no_parent_domain_gets_no_token() {
    let vault = TestVault::empty();
    let mut command = akvfs();
    command.args(["mount", vault.url()]).arg(mount_point(&vault));
    command.arg("--ca-bundle").arg(vault.path("ca.pem")).arg("--token-file").arg(vault.path("token"));
    fails(command, 4, &["https://vault.azure.net", "--no-verify-challenge-resource"]);
}

#[test]
fn a_server_that_speaks_no_https_is_4() {
    let vault = TestVault::empty();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 1024]);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    });
    let mut command = akvfs();
    command.args(["mount", &format!("https://{address}")]).arg(mount_point(&vault));
    command.arg("--token-file").arg(vault.path("token"));
    fails(command, 4, &["cannot be reached", "does it speak https?"]);
    server.join().unwrap();
}

#[test]
fn a_web_server_that_is_no_key_vault_is_4_and_gets_no_token() {
    if !has_program("openssl") {
        return;
    }
    let vault = TestVault::empty();
    let (key, certificate) = write_certificate(&vault);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-key"]).arg(&key);
    let server = server.arg("-cert").arg(&certificate).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let _server = Helper(server.unwrap());
    until("the web server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut command = akvfs();
    command.args(["mount", &format!("https://127.0.0.1:{port}")]).arg(mount_point(&vault));
    command.arg("--ca-bundle").arg(vault.path("ca.pem")).arg("--token-file").arg(vault.path("token"));
    fails(command, 4, &["not a Key Vault", "HTTP 200"]);
}

/// A key and a certificate for 127.0.0.1, whose authority becomes the vault's `ca.pem`.
fn write_certificate(vault: &TestVault) -> (PathBuf, PathBuf) {
    let (key, certificate) = (vault.path("web-key.pem"), vault.path("web.pem"));
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(vault.path("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let web_key = KeyPair::generate().unwrap();
    let web = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let signed = web.signed_by(&web_key, &Issuer::new(authority, authority_key)).unwrap();
    fs::write(&key, web_key.serialize_pem()).unwrap();
    fs::write(&certificate, signed.pem()).unwrap();
    (key, certificate)
}

#[test]
fn a_mount_point_with_files_in_it_or_none_at_all_is_1() {
    let vault = TestVault::empty();
    let command = vault.mount_command(vault.folder.path());
    fails(command, 1, &["is not empty", vault.folder.path().to_str().unwrap()]);
    fails(vault.mount_command(&vault.path("token")), 1, &["not a directory"]);
    fails(vault.mount_command(Path::new("/proc/akvfs")), 1, &["/proc/akvfs"]);
}

#[test]
fn unmounting_what_is_not_ours_is_1() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), Path::new("/proc"), Path::new("/nonexistent")] {
        let mut command = akvfs();
        command.arg("unmount").arg(path);
        fails(command, 1, &["is not mounted by akvfs", "findmnt"]);
    }
    assert_eq!(mount_type(Path::new("/proc")).as_deref(), Some("proc"));
}

#[test]
fn a_machine_without_fuse_is_told_so() {
    if !nix::unistd::geteuid().is_root() {
        return missing("only root can hide /dev/fuse from a process");
    }
    let vault = TestVault::empty();
    let inner = vault.mount_command(&mount_point(&vault));
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec \"$0\" \"$@\"",
    ]);
    command.arg(inner.get_program()).args(inner.get_args());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/fuse is missing"), "{}", shown(&output));
}

#[test]
fn a_working_directory_that_is_gone_is_2() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    for arguments in [&["mount", "demo:", "here"][..], &["emulator", "--unix", "here"]] {
        fs::create_dir(&gone).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "rmdir \"$PWD\" && exec \"$0\" \"$@\""]).arg(akvfs().get_program()).args(arguments);
        shell.current_dir(&gone);
        fails(shell, 2, &["\"here\"", "has been removed"]);
    }
    assert!(!Path::new("/here").exists());
}

#[test]
fn the_exit_code_is_right_when_nobody_can_be_told() {
    let unwritable = || fs::File::options().write(true).open("/dev/full").unwrap();
    let cases: [(&[&str], i32); 4] = [
        (&["mount", "ab", "/nonexistent"], 2),
        (&["mount", "demo:", "/proc/version"], 1),
        (&["unmount", "/proc"], 1),
        (&["--frobnicate"], 2),
    ];
    for (arguments, code) in cases {
        let status = akvfs().args(arguments).stdout(unwritable()).stderr(unwritable()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let status = akvfs().args(arguments).stdout(closed.try_clone().unwrap()).stderr(closed).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}, closed");
    }
}

#[test]
fn too_few_open_files_are_named() {
    let vault = TestVault::empty();
    let limited = |limit: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
        shell.arg(akvfs().get_program()).args(["mount", "demo:"]).arg(mount_point(&vault));
        shell
    };
    fails(limited("-n 40"), 1, &["only 40 files may be open", "LimitNOFILE"]);
    assert_eq!(mount_type(&mount_point(&vault)), None);
    let output = limited("-Sn 20").output().unwrap();
    assert!(output.status.success(), "a soft limit is raised: {}", shown(&output));
    let output = akvfs().arg("unmount").arg(mount_point(&vault)).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}
