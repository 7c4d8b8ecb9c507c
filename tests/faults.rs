//! Every fault of the embedded vault × every operation: what the caller is told, how long it took, and
//! how many requests it cost, by the table in `vault/http/retry.rs`. The outcome is printed as a table.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::time::{Duration, Instant};

use akvfs::auth::Credential;
use akvfs::emulator::{Emulator, Fault, Operation, RetryAfter};
use akvfs::vault::http::{HttpSettings, HttpVault};
use akvfs::vault::{Changes, NewSecret, SecretBytes, SecretName, Vault, VaultError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::Mutex;
use url::Url;

const DEADLINE: Duration = Duration::from_secs(6);
/// What a busy machine may add to a call that ends by its deadline.
const SLACK: Duration = Duration::from_secs(6);

/// Rows are waiting most of their time.
const ROWS_AT_A_TIME: usize = 4;

const OPERATIONS: [Operation; 12] = [
    Operation::GetSecret,
    Operation::GetSecrets,
    Operation::GetSecretVersions,
    Operation::GetDeletedSecrets,
    Operation::GetDeletedSecret,
    Operation::BackupSecret,
    Operation::UpdateSecret,
    Operation::DeleteSecret,
    Operation::RecoverDeletedSecret,
    Operation::PurgeDeletedSecret,
    Operation::SetSecret,
    Operation::RestoreSecret,
];

/// How often requests of the operation itself are to be seen while the fault lasts for ever.
#[derive(Clone, Copy)]
enum Requests {
    /// The same for all.
    Exactly(usize),
    /// For those that may be sent again, and for set and restore.
    Split(usize, usize),
    /// As many as the deadline allows.
    AtMost(usize),
}

/// A fault that lasts, what it amounts to, and how many requests it costs.
fn faults() -> Vec<(&'static str, Fault, &'static str, Requests)> {
    let status = |status| Fault::Status { status, body: String::new() };
    let coded = |status, code: &str| Fault::Status {
        status,
        body: format!(r#"{{"error":{{"code":"Forbidden","message":"","innererror":{{"code":"{code}"}}}}}}"#),
    };
    vec![
        ("hang", Fault::Hang, "TimedOut", Requests::Exactly(1)),
        ("latency", Fault::Latency(Duration::from_millis(50)), "ok", Requests::Exactly(1)),
        ("reset", Fault::Reset, "Unreachable", Requests::Split(3, 1)),
        ("truncated body", Fault::TruncatedBody, "Unreachable", Requests::Split(3, 1)),
        ("bad JSON", Fault::BadJson, "NotKeyVault", Requests::Exactly(1)),
        ("HTML", Fault::Html, "NotKeyVault", Requests::Exactly(1)),
        ("oversize", Fault::Oversize(5 << 20), "NotKeyVault", Requests::Exactly(1)),
        ("500", status(500), "Server(500)", Requests::Split(4, 1)),
        ("502", status(502), "Server(502)", Requests::Split(4, 1)),
        ("503", status(503), "Server(503)", Requests::Split(4, 1)),
        ("504", status(504), "Server(504)", Requests::Split(4, 1)),
        ("408", status(408), "Rejected(408)", Requests::Split(4, 1)),
        ("501", status(501), "Server(501)", Requests::Exactly(1)),
        ("429", Fault::Throttled(None), "Throttled", Requests::AtMost(3)),
        ("429, in 2 s", Fault::Throttled(Some(RetryAfter::Seconds(2))), "Throttled", Requests::AtMost(4)),
        ("429, in an hour", Fault::Throttled(Some(RetryAfter::Seconds(3600))), "Throttled", Requests::Exactly(1)),
        ("expired token", Fault::ExpiredToken, "Unauthenticated(Unsaid)", Requests::AtMost(3)),
        ("AKV10046", Fault::UnresolvedKey, "Unauthenticated(Key)", Requests::Exactly(4)),
        ("claims", Fault::ClaimsChallenge("{}".to_owned()), "Unauthenticated(Claims)", Requests::AtMost(3)),
        ("firewall", Fault::Firewall, "Denied(Firewall)", Requests::Exactly(1)),
        ("private link", coded(403, "ForbiddenByConnection"), "Denied(PrivateLink)", Requests::Exactly(1)),
        ("RBAC", coded(403, "ForbiddenByRbac"), "Denied(Role(", Requests::Exactly(1)),
        ("policy", coded(403, "ForbiddenByPolicy"), "Denied(Policy(", Requests::Exactly(1)),
        ("being deleted", coded(409, "ObjectIsBeingDeleted"), "Conflict", Requests::Exactly(1)),
        (
            "web server's 404",
            Fault::Status { status: 404, body: "<p>".to_owned() },
            "NotKeyVault",
            Requests::Exactly(1),
        ),
        ("empty pages", Fault::EmptyPages(5), "ok", Requests::Exactly(1)),
        ("short pages", Fault::ShortPages(1), "ok", Requests::Exactly(1)),
    ]
}

/// A vault with one live and one deleted secret, a blob, and a client that has its token.
struct World {
    emulator: Emulator,
    _serving: akvfs::emulator::Serving,
    _folder: tempfile::TempDir,
    vault: HttpVault,
    blob: SecretBytes,
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn new() -> NewSecret {
    NewSecret::of(SecretBytes::new(b"new".to_vec()))
}

/// One live secret, one deleted one, and the blob of one that is gone.
fn fill(emulator: &Emulator) -> SecretBytes {
    let store = emulator.direct();
    for secret in ["live", "deleted", "restorable"] {
        emulator.put(secret, "new".into()).unwrap();
    }
    let blob = store.backup("restorable").unwrap();
    for secret in ["deleted", "restorable"] {
        store.delete(secret).unwrap();
    }
    store.purge("restorable").unwrap();
    SecretBytes::new(URL_SAFE_NO_PAD.decode(blob).unwrap())
}

impl World {
    /// One at a time, though many cells wait together: what a world is made of must not itself be late.
    async fn new() -> World {
        static TURN: Mutex<()> = Mutex::const_new(());
        let _turn = TURN.lock().await;
        let emulator = Emulator::in_memory("faulty");
        let blob = fill(&emulator);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("vault.sock");
        let serving = emulator.serve_unix(&socket).await.unwrap();
        let (issuer, count) = (emulator.clone(), std::sync::atomic::AtomicU64::new(3600));
        let credential = Credential::issued(Box::new(move || {
            // Tokens of one second differ in their lifetime alone.
            let lifetime = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            issuer.issue_token(Duration::from_secs(lifetime))
        }));
        let base = Url::parse(serving.url()).unwrap();
        let settings = HttpSettings { socket: Some(socket), deadline: DEADLINE, ..HttpSettings::of(base) };
        let vault = HttpVault::new(settings, credential).unwrap();
        vault.get(&name("live"), None).await.unwrap(); // signs in
        emulator.clear_requests();
        World { emulator, _serving: serving, _folder: folder, vault, blob }
    }

    async fn call(&self, operation: Operation) -> Result<(), VaultError> {
        let (vault, live, deleted) = (&self.vault, name("live"), name("deleted"));
        match operation {
            Operation::GetSecret => vault.get(&live, None).await.map(drop),
            Operation::GetSecrets => vault.secrets().next().await.transpose().map(drop),
            Operation::GetSecretVersions => vault.versions(&live).next().await.transpose().map(drop),
            Operation::GetDeletedSecrets => vault.deleted_secrets().next().await.transpose().map(drop),
            Operation::GetDeletedSecret => vault.deleted(&deleted).await.map(drop),
            Operation::BackupSecret => vault.backup(&live).await.map(drop),
            Operation::UpdateSecret => vault.update(&live, None, Changes::default()).await.map(drop),
            Operation::DeleteSecret => vault.delete(&live).await.map(drop),
            Operation::RecoverDeletedSecret => vault.recover(&deleted).await.map(drop),
            Operation::PurgeDeletedSecret => vault.purge(&deleted).await,
            Operation::SetSecret => vault.set(&name("fresh"), new()).await.map(drop),
            Operation::RestoreSecret => vault.restore(&self.blob).await.map(drop),
        }
    }

    fn requests(&self, operation: Operation) -> usize {
        self.emulator.requests().iter().filter(|seen| seen.operation == operation).count()
    }
}

/// One cell of the table.
struct Cell {
    told: String,
    elapsed: Duration,
    requests: usize,
}

async fn cell(fault: Fault, operation: Operation) -> Cell {
    let world = World::new().await;
    world.emulator.faults().queue(fault.on(operation).times(u32::MAX));
    let start = Instant::now();
    let outcome = world.call(operation).await;
    let elapsed = start.elapsed();
    let told = outcome.map_or_else(|error| format!("{:?}", error.kind), |()| "ok".to_owned());
    Cell { told, elapsed, requests: world.requests(operation) }
}

fn is_harmful(operation: Operation) -> bool {
    matches!(operation, Operation::SetSecret | Operation::RestoreSecret)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_every_operation_ends_as_the_table_says() {
    println!("{:18} {:22} {:28} {:>8} {:>8}", "fault", "operation", "told", "ms", "requests");
    let mut wrong = Vec::new();
    let rows = faults().into_iter().map(|row| async move {
        let cells = OPERATIONS.map(|operation| cell(row.1.clone(), operation).map(move |cell| (operation, cell)));
        let cells = join_all(cells).await;
        (row, cells)
    });
    let mut rows = stream::iter(rows).buffered(ROWS_AT_A_TIME);
    while let Some(((name, _, expected, requests), cells)) = rows.next().await {
        for (operation, cell) in cells {
            let shown = format!("{operation:?}");
            println!(
                "{name:18} {shown:22} {:28} {:8} {:8}",
                cell.told.chars().take(28).collect::<String>(),
                cell.elapsed.as_millis(),
                cell.requests
            );
            // A purge has no answer whose body could be spoilt.
            let spoils_bodies = ["truncated body", "bad JSON"].contains(&name);
            let is_empty = operation == Operation::PurgeDeletedSecret && (spoils_bodies || name == "HTML");
            // A backup may be large.
            let is_large =
                name == "oversize" && [Operation::PurgeDeletedSecret, Operation::BackupSecret].contains(&operation);
            let for_lists = name == "empty pages" && operation.is_list();
            let (least, most) = match requests {
                _ if is_empty || is_large => (1, 3),
                _ if for_lists => (6, 6),
                // A set looks for its version, and is sent again if it is not there.
                Requests::Split(..) if operation == Operation::SetSecret => (1, 3),
                Requests::Split(_, once) if is_harmful(operation) => (once, once),
                Requests::Exactly(count) | Requests::Split(count, _) => (count, count),
                Requests::AtMost(count) => (1, count),
            };
            let is_told = is_empty || is_large || cell.told.starts_with(expected);
            // Changes that were carried out before their answer was spoilt are found out.
            let is_found_out = cell.told == "ok" && ["truncated body"].contains(&name);
            let in_time = cell.elapsed < DEADLINE + SLACK;
            if !((is_told || is_found_out) && in_time && (least..=most).contains(&cell.requests)) {
                wrong.push(format!(
                    "{name} × {operation:?}: {} after {:?}, {} requests",
                    cell.told, cell.elapsed, cell.requests
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A change that was carried out, and whose answer was lost once: it is done once, and said to be done.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_lost_is_done_once_and_told_as_done() {
    for lost in [Fault::Reset, Fault::Status { status: 502, body: String::new() }] {
        for operation in OPERATIONS.into_iter().filter(|operation| operation.is_write()) {
            let world = World::new().await;
            world.emulator.faults().queue(lost.clone().on(operation).after_effect());
            let outcome = world.call(operation).await;
            // Whose name the blob holds is not known, so that a restore cannot be looked for.
            if operation == Operation::RestoreSecret {
                assert!(outcome.is_err(), "{lost:?}");
            } else {
                assert!(outcome.is_ok(), "{operation:?} {lost:?}: {outcome:?}");
            }
            assert!(world.requests(operation) <= 2);
        }
    }
}

#[tokio::test]
async fn a_set_whose_answer_was_lost_makes_one_version() {
    let world = World::new().await;
    let versions = async || {
        let pages: Vec<_> = world.vault.versions(&name("fresh")).collect().await;
        pages.into_iter().map(|page| page.unwrap().len()).sum::<usize>()
    };
    world.emulator.faults().queue(Fault::Reset.on(Operation::SetSecret).after_effect());
    world.call(Operation::SetSecret).await.unwrap();
    assert_eq!((versions().await, world.requests(Operation::SetSecret)), (1, 1));
    let other = NewSecret::of(SecretBytes::new(b"other".to_vec()));
    world.emulator.faults().queue(Fault::Reset.on(Operation::SetSecret));
    world.vault.set(&name("fresh"), other).await.unwrap();
    assert_eq!((versions().await, world.requests(Operation::SetSecret)), (2, 3));
    world.emulator.faults().queue(Fault::Reset.on(Operation::SetSecret));
    world.emulator.faults().queue(Fault::Firewall.on(Operation::GetSecret));
    assert!(world.call(Operation::SetSecret).await.is_err(), "what cannot be looked up is not sent again");
    assert_eq!((versions().await, world.requests(Operation::SetSecret)), (2, 4));
}

#[tokio::test]
async fn a_429_stops_every_caller_until_its_time_is_over() {
    let world = World::new().await;
    world.emulator.faults().queue(Fault::Throttled(Some(RetryAfter::Seconds(2))).on(Operation::GetSecret));
    let start = Instant::now();
    world.call(Operation::GetSecret).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2));
    world.emulator.faults().queue(Fault::Throttled(Some(RetryAfter::Seconds(60))).on(Operation::GetSecret));
    assert!(world.call(Operation::GetSecret).await.is_err());
    world.emulator.clear_requests();
    let start = Instant::now();
    for operation in OPERATIONS {
        let told = format!("{:?}", world.call(operation).await.unwrap_err().kind);
        assert!(told.starts_with("Throttled"), "{operation:?}: {told}");
    }
    assert!(world.emulator.requests().is_empty() && start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_vault_that_fails_again_and_again_is_left_alone_for_a_while() {
    let world = World::new().await;
    world.emulator.faults().queue(Fault::Reset.times(u32::MAX));
    for _ in 0..3 {
        assert!(world.call(Operation::GetSecret).await.is_err());
    }
    let before = world.requests(Operation::GetSecret);
    assert!(before <= 8, "{before}");
    for operation in OPERATIONS {
        assert!(world.call(operation).await.is_err());
    }
    assert_eq!(world.emulator.requests().len(), before);
    world.emulator.faults().clear();
    tokio::time::timeout(Duration::from_secs(20), async {
        while world.call(Operation::GetSecret).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await; // between two looks at the condition
        }
    })
    .await
    .unwrap();
}
