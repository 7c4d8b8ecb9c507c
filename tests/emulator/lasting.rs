//! What `local:` keeps: everything acknowledged, through restarts and kills, and nothing in clear.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use akvfs::emulator::{Emulator, EmulatorError, MasterKey, NewSecret, Options, StoreError};
use serde_json::json;

use crate::client::serve;

fn open(directory: &Path) -> Result<Emulator, EmulatorError> {
    Emulator::open("kept", directory, &MasterKey::from([7; 32]), Options::default())
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let served = serve(open(directory.path()).unwrap()).await;
    let client = &served.client;
    let body = json!({"value": "v", "contentType": "t", "tags": {"a": "b"}, "attributes": {"exp": 9}});
    client.send("PUT", "/secrets/Full", Some(body)).await;
    client.put("/secrets/Full", "w").await;
    client.send("PATCH", "/secrets/Full", Some(json!({"attributes": {"enabled": true, "nbf": 3}}))).await;
    client.put("/secrets/deleted", "d").await;
    client.send("DELETE", "/secrets/deleted", None).await;
    client.put("/secrets/purged", "p").await;
    let blob = client.send("POST", "/secrets/purged/backup", None).await.json();
    client.send("DELETE", "/secrets/purged", None).await;
    client.send("DELETE", "/deletedsecrets/purged", None).await;
    served.vault.put("cert", NewSecret { managed: true, .."c".into() }).unwrap();
    let paths = [
        "/secrets",
        "/secrets/full",
        "/secrets/full/versions",
        "/deletedsecrets/deleted",
        "/secrets/cert",
        "/secrets/purged",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(client.get(path).await.text);
    }
    let token = client.clone();
    drop((served.serving, served.vault));
    let vault = reopened(directory.path()).await;
    let again = serve(vault).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(again.client.get(path).await.text, before, "{path}");
    }
    // Tokens and backups outlive a restart: their keys come from the master key.
    drop(token);
    assert_eq!(again.client.send("POST", "/secrets/restore", Some(blob)).await.status, 200);
}

/// A stopped server lets go of its store once the last connection's task is gone.
async fn reopened(directory: &Path) -> Emulator {
    for _ in 0..500 {
        match open(directory) {
            Err(EmulatorError::Store(StoreError::InUse(_))) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the store stays in use");
}

#[test]
fn a_store_has_one_writer_and_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(EmulatorError::Store(StoreError::InUse(_)))));
    vault.put("a", "1".into()).unwrap();
    drop(vault);
    let other = Emulator::open("kept", directory.path(), &MasterKey::from([8; 32]), Options::default());
    assert!(matches!(other, Err(EmulatorError::Store(StoreError::WrongKey(_)))));
    open(directory.path()).unwrap();
}

#[test]
fn a_vault_keeps_its_retention_and_its_purge_protection() {
    let directory = tempfile::tempdir().unwrap();
    let open_for = |retention_days: Option<u32>, purge_protection: bool| {
        let options = Options { retention_days, purge_protection, ..Options::default() };
        Emulator::open("kept", directory.path(), &MasterKey::from([7; 32]), options)
    };
    let level = |vault: Emulator| {
        vault.put("a", "1".into()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let level = runtime.block_on(async { serve(vault).await.client.get("/secrets/a").await.json() });
        drop(runtime);
        let (level, days) = (&level["attributes"]["recoveryLevel"], &level["attributes"]["recoverableDays"]);
        (level.as_str().unwrap().to_owned(), days.as_u64().unwrap())
    };
    assert_eq!(level(open_for(Some(7), false).unwrap()), ("CustomizedRecoverable+Purgeable".to_owned(), 7));
    let refused = open_for(Some(90), false).unwrap_err().to_string();
    assert!(refused.contains("keeps deleted secrets for 7 days"), "{refused}");
    assert_eq!(level(open_for(Some(7), true).unwrap()), ("CustomizedRecoverable".to_owned(), 7));
    assert_eq!(level(open_for(None, false).unwrap()), ("CustomizedRecoverable".to_owned(), 7));
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vault.redb");
    drop(open(directory.path()).unwrap());
    let healthy = std::fs::read(&path).unwrap();
    std::fs::write(&path, b"no store at all").unwrap();
    assert!(matches!(open(directory.path()), Err(EmulatorError::Store(StoreError::Corrupt(..)))));
    std::fs::write(&path, &healthy[..healthy.len() / 2]).unwrap();
    assert!(matches!(open(directory.path()), Err(EmulatorError::Store(StoreError::Corrupt(..)))));
    std::fs::write(&path, &healthy).unwrap();
    open(directory.path()).unwrap();
}

#[test]
fn a_store_left_half_made_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let unfinished = directory.path().join("vault.redb.new");
    std::fs::write(&unfinished, b"as far as it came").unwrap();
    let vault = open(directory.path()).unwrap();
    vault.put("a", "1".into()).unwrap();
    drop(vault);
    assert!(!unfinished.exists());
    open(directory.path()).unwrap();
}

#[test]
fn nothing_is_in_clear_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path()).unwrap();
    let tags = Some([("canary-tag".to_owned(), "canary-tag".to_owned())].into());
    vault
        .put("canary-name", NewSecret { tags, content_type: Some("canary-type".into()), .."canary-value".into() })
        .unwrap();
    drop(vault);
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(6).any(|window| window.eq_ignore_ascii_case(b"canary"));
        assert!(!found, "{}", path.display());
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn what_is_past_its_scheduled_purge_is_destroyed() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let served = serve(open(directory.path()).unwrap()).await;
        served.client.put("/secrets/a", "1").await;
        served.client.send("DELETE", "/secrets/a", None).await;
        served.vault.clock().advance(Duration::from_secs(91 * 86_400));
        served.client.get("/secrets").await;
    });
    drop(runtime);
    let vault = open(directory.path()).unwrap();
    vault.put("A", "2".into()).unwrap();
}

const CHILD: &str = "AKVFS_TEST_STORE";

/// Not a test by itself: the process that `no_acknowledged_write_is_lost_by_a_kill` kills. It
/// writes version after version and says so once each is acknowledged.
#[test]
fn a_writer_to_be_killed() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let vault = open(Path::new(&directory)).unwrap();
    let writers = (0..4).map(|writer| {
        let vault = vault.clone();
        std::thread::spawn(move || {
            for n in 0u32.. {
                let version = vault.put(&format!("writer-{writer}"), n.to_string().into()).unwrap();
                writeln!(std::io::stdout().lock(), "\nacknowledged writer-{writer}/{version} {n}").unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[test]
fn no_acknowledged_write_is_lost_by_a_kill() {
    let kills: u32 = std::env::var("AKVFS_TEST_KILLS").map_or(10, |count| count.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..kills {
        let written = write_and_kill(directory.path(), round);
        check(&open(directory.path()).unwrap(), &written);
        acknowledged.extend(written);
    }
    check(&open(directory.path()).unwrap(), &acknowledged);
    eprintln!("{kills} kills, {} acknowledged writes, none lost", acknowledged.len());
    assert!(acknowledged.len() > kills as usize, "the writer never got to write");
}

/// Reads every acknowledged version, as a client would.
fn check(vault: &Emulator, acknowledged: &[Acknowledged]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let served = serve(vault.clone()).await;
        for Acknowledged { id, value } in acknowledged {
            let held = served.client.get(&format!("/secrets/{id}")).await.json();
            assert_eq!(held["value"], *value, "{id}");
        }
    });
}

/// A write the vault said was done: `NAME/VERSION` and its value.
struct Acknowledged {
    id: String,
    value: String,
}

/// Runs a writer for a while; what it was acknowledged.
fn write_and_kill(directory: &Path, round: u32) -> Vec<Acknowledged> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lasting::a_writer_to_be_killed", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // One round in four dies while it starts, the others under load.
    let first = if round.is_multiple_of(4) { None } else { lines.find(|line| line.starts_with("acknowledged ")) };
    std::thread::sleep(Duration::from_micros(u64::from(round.wrapping_mul(7919) % 50_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    let acknowledged = first.into_iter().chain(lines).filter_map(|line| {
        let (id, value) = line.strip_prefix("acknowledged ")?.rsplit_once(' ')?;
        Some(Acknowledged { id: id.to_owned(), value: value.to_owned() })
    });
    acknowledged.collect()
}
