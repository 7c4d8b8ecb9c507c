//! What the embedded vault costs: `cargo bench --bench emulator`. Stores are made in a temporary folder, so TMPDIR says
//! which disk is measured; a number as argument divides the sizes, for a quick look.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use akvfs::emulator::{Emulator, MasterKey, Options};
use akvfs::sys::WipingAllocator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// As in the command itself.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// The first argument of a process that is to open a store.
const OPEN: &str = "open";
const SECRETS: usize = 100_000;
const VERSIONS: usize = 20_000;
/// Gets per measurement.
const GETS: usize = 60_000;
const ROUNDS: usize = 3;
/// Writers that share commits.
const WRITERS: usize = 64;
const LIFETIME: Duration = Duration::from_secs(86_400);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, folder, list] = arguments.as_slice()
        && command == OPEN
    {
        return open_and_list(Path::new(folder), list);
    }
    let divisor = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    gets(GETS / divisor);
    kept(SECRETS / divisor, 1, "/secrets");
    kept(1, VERSIONS / divisor, "/secrets/name-0/versions");
}

/// Fills a store, which a new process then opens and lists.
fn kept(secrets: usize, versions: usize, list: &str) {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    fill(folder.path(), secrets, versions);
    println!("{secrets} secrets x {versions} versions");
    println!("  filled in {:.1} s by {WRITERS} writers", start.elapsed().as_secs_f64());
    println!("  {:.1} MB on disk", megabytes(fs::metadata(folder.path().join("vault.redb")).unwrap().len()));
    let mut opener = Command::new(std::env::current_exe().unwrap());
    assert!(opener.arg(OPEN).arg(folder.path()).arg(list).status().unwrap().success());
}

fn open_and_list(folder: &Path, list: &str) {
    println!("  {:.1} MB resident before", megabytes(resident()));
    let start = Instant::now();
    let vault = open(folder);
    println!("  opened in {:.0} ms, {:.1} MB resident", milliseconds(start), megabytes(resident()));
    Runtime::new().unwrap().block_on(async {
        let served = Served::new(vault).await;
        let mut client = Connection::new(&served.socket, &served.token).await;
        let start = Instant::now();
        let (mut rows, mut pages, mut path) = (0, 0, format!("{list}?api-version=7.6"));
        loop {
            let page: serde_json::Value = serde_json::from_slice(&client.get(&path).await).unwrap();
            rows += page["value"].as_array().unwrap().len();
            pages += 1;
            let Some(next) = page["nextLink"].as_str() else { break };
            path = next.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap();
        }
        println!("  listed in {:.0} ms: {rows} rows on {pages} pages", milliseconds(start));
        println!("  {:.1} MB resident then", megabytes(resident()));
    });
}

fn open(folder: &Path) -> Emulator {
    Emulator::open("bench", folder, &MasterKey::from([7; 32]), Options::default()).unwrap()
}

fn fill(folder: &Path, secrets: usize, versions: usize) {
    let vault = open(folder);
    let (next, all) = (AtomicUsize::new(0), secrets * versions);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= all {
                        break;
                    }
                    vault.put(&format!("name-{}", n % secrets), format!("value-{n}").into()).unwrap();
                }
            });
        }
    });
}

/// Gets per second over a Unix socket, in turns with a handler that does nothing.
fn gets(gets: usize) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let vault = Emulator::in_memory("bench");
        (0..1000).for_each(|n| drop(vault.put(&format!("name-{n}"), format!("value-{n}").into()).unwrap()));
        let (served, bare) = (Served::new(vault).await, Bare::new());
        println!("gets per second, best of {ROUNDS} rounds");
        for clients in [1, 64] {
            let (mut ours, mut floor) = (0.0_f64, 0.0_f64);
            for _ in 0..ROUNDS {
                floor = floor.max(rate(&bare.socket, "", clients, gets).await);
                ours = ours.max(rate(&served.socket, &served.token, clients, gets).await);
            }
            println!("  {clients:>2} clients: {ours:>6.0}; bare axum handler {floor:>6.0}; ratio {:.2}", ours / floor);
        }
    });
}

async fn rate(socket: &Path, token: &str, clients: usize, gets: usize) -> f64 {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::new(socket, token).await);
    }
    let start = Instant::now();
    let running = connections.into_iter().enumerate().map(|(client, mut connection)| {
        tokio::spawn(async move {
            for n in 0..gets / clients {
                let body = connection.get(&format!("/secrets/name-{}?api-version=7.6", (client + n) % 1000)).await;
                assert!(body.starts_with(b"{\"value\""));
            }
        })
    });
    for task in running.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    (gets / clients * clients) as f64 / start.elapsed().as_secs_f64()
}

/// A vault on a socket.
struct Served {
    socket: std::path::PathBuf,
    token: String,
    _serving: akvfs::emulator::Serving,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn new(vault: Emulator) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let serving = vault.serve_unix(&socket).await.unwrap();
        Served { socket, token: vault.issue_token(LIFETIME), _serving: serving, _folder: folder }
    }
}

/// A handler that answers as a get does, and thinks of nothing.
struct Bare {
    socket: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Bare {
    fn new() -> Bare {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let body = Arc::new(format!("{{\"value\":\"{}\"}}", "x".repeat(300)));
        let app = axum::Router::new().fallback(move || {
            let body = body.as_str().to_owned();
            async move { ([(axum::http::header::CONTENT_TYPE, "application/json; charset=utf-8")], body) }
        });
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Bare { socket, _folder: folder }
    }
}

/// A client that costs as little as can be: one connection, one request at a time.
struct Connection {
    stream: UnixStream,
    token: String,
    buffer: Vec<u8>,
}

impl Connection {
    async fn new(socket: &Path, token: &str) -> Connection {
        let stream = UnixStream::connect(socket).await.unwrap();
        Connection { stream, token: token.to_owned(), buffer: Vec::new() }
    }

    /// The body of a good answer.
    async fn get(&mut self, path: &str) -> Vec<u8> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: b.vault.localhost\r\nAuthorization: Bearer {}\r\n\r\n", self.token);
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        loop {
            assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0);
            if let Some((head, body)) = split(&self.buffer) {
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                if body.len() == length(head) {
                    return body.to_vec();
                }
            }
        }
    }
}

fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn length(head: &str) -> usize {
    let header = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    header.unwrap().parse().unwrap()
}

/// Resident memory of this process, in bytes (proc(5): `VmRSS`, in kB).
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
