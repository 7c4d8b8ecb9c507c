//! `akvfs request`: all operations of the API by hand, and what becomes of answers.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::thread;

use akvfs::emulator::{Fault, Operation};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{TestVault, akvfs, shown};

/// A `local:` vault of its own, asked by hand.
struct Session(TempDir);

impl Session {
    fn run(&self, arguments: &[&str], body: Option<&str>) -> Output {
        let mut command = akvfs();
        command.args(["request", "local:"]).args(arguments).current_dir(&self.0);
        command.env("XDG_STATE_HOME", self.0.path()).env_remove("STATE_DIRECTORY");
        with_input(&mut command, body)
    }

    fn ask(&self, arguments: &[&str], body: Option<&str>) -> Value {
        let output = self.run(arguments, body);
        assert!(output.status.success(), "{arguments:?}: {}", shown(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }
}

fn with_input(command: &mut Command, body: Option<&str>) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(body.unwrap_or_default().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn every_operation_can_be_done_by_hand() {
    let session = Session(tempfile::tempdir().unwrap());
    let set = session.ask(&["PUT", "/secrets/db", "--body", "-"], Some(r#"{"value":"one"}"#));
    let version = set["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(session.ask(&["GET", "/secrets/db"], None)["value"], "one");
    assert_eq!(session.ask(&["GET", &format!("/secrets/db/{version}")], None)["value"], "one");
    let tagged = session.ask(&["PATCH", "/secrets/db", "--body", "-"], Some(r#"{"tags":{"a":"b"}}"#));
    assert_eq!(tagged["tags"]["a"], "b");
    assert_eq!(session.ask(&["GET", "/secrets"], None)["value"].as_array().unwrap().len(), 1);
    assert_eq!(session.ask(&["GET", "/secrets/db/versions?maxresults=5"], None)["value"].as_array().unwrap().len(), 1);
    session.ask(&["POST", "/secrets/db/backup", "-o", "backup.json"], None);
    let mode = fs::metadata(session.0.path().join("backup.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(session.ask(&["DELETE", "/secrets/db"], None)["recoveryId"].is_string());
    assert_eq!(session.ask(&["GET", "/deletedsecrets"], None)["value"].as_array().unwrap().len(), 1);
    assert!(session.ask(&["GET", "/deletedsecrets/db"], None)["deletedDate"].is_number());
    session.ask(&["POST", "/deletedsecrets/db/recover"], None);
    session.ask(&["DELETE", "/secrets/db"], None);
    assert_eq!(session.ask(&["DELETE", "/deletedsecrets/db"], None), Value::Null);
    session.ask(&["POST", "/secrets/restore", "--body", "backup.json"], None);
    assert_eq!(session.ask(&["GET", "/secrets/db"], None)["value"], "one");
}

fn by_hand(vault: &TestVault, arguments: &[&str]) -> Command {
    let mut command = akvfs();
    command.args(["request", vault.url()]).args(arguments).arg("--ca-bundle").arg(vault.path("ca.pem"));
    command.arg("--token-file").arg(vault.path("token")).arg("--no-verify-challenge-resource");
    command
}

#[test]
fn the_exit_code_tells_the_class_of_the_status() {
    let vault = TestVault::with(&[("db", "x")]);
    for (status, code) in [(200, 0), (404, 1), (409, 1), (302, 1), (403, 3), (500, 4), (501, 4)] {
        if status != 200 {
            let body = format!("body of {status}");
            vault.emulator.faults().queue(Fault::Status { status, body }.times(u32::MAX));
        }
        let output = by_hand(&vault, &["GET", "/secrets/db"]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
        if status != 200 {
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("body of {status}"));
            assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("HTTP {status}")));
        }
        vault.emulator.faults().clear();
    }
}

#[test]
fn status_and_headers_are_shown_on_demand() {
    let vault = TestVault::with(&[("db", "x")]);
    let output = by_hand(&vault, &["GET", "/secrets/db", "-i"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200\r\n") && head.contains("x-ms-request-id: "), "{head}");
    assert!(body.contains(r#""value":"x""#));
    assert!(!head.to_lowercase().contains("authorization"));
}

#[test]
fn what_changes_something_is_sent_once_and_what_reads_again() {
    let vault = TestVault::with(&[("db", "x")]);
    let trouble = || Fault::Status { status: 503, body: String::new() };
    vault.emulator.faults().queue(trouble().on(Operation::GetSecret));
    assert!(by_hand(&vault, &["GET", "/secrets/db"]).output().unwrap().status.success());
    assert_eq!(vault.requests(Operation::GetSecret).len(), 3, "the challenge, the failure, the answer");
    vault.emulator.faults().queue(trouble().on(Operation::BackupSecret));
    let output = by_hand(&vault, &["POST", "/secrets/db/backup"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
    assert_eq!(vault.requests(Operation::BackupSecret).len(), 2, "the challenge, the failure");
}

/// A proxy that knows CONNECT alone; says whom it was asked for.
fn proxy() -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let mut server = TcpStream::connect(&target).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut upstream, mut downstream) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut client, &mut upstream);
            let _ = upstream.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut server, &mut downstream);
        target
    });
    (address, served)
}

#[test]
fn a_proxy_is_used_unless_the_vault_is_excepted() {
    let vault = TestVault::with(&[("db", "x")]);
    let (address, served) = proxy();
    let output = by_hand(&vault, &["GET", "/secrets/db"]).env("HTTPS_PROXY", &address).env_remove("NO_PROXY").output();
    assert!(output.as_ref().unwrap().status.success(), "{}", shown(&output.unwrap()));
    assert_eq!(format!("https://{}", served.join().unwrap()), vault.url());
    let nobody = "http://127.0.0.1:9";
    let mut excepted = by_hand(&vault, &["GET", "/secrets/db"]);
    let output = excepted.env("HTTPS_PROXY", nobody).env("NO_PROXY", "127.0.0.1").output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    let output = by_hand(&vault, &["GET", "/secrets/db"]).env("HTTPS_PROXY", nobody).env_remove("NO_PROXY").output();
    assert_eq!(output.unwrap().status.code(), Some(4));
}
