//! A rotation by the official Python client, as those see it who wait for one: nobody reads meanwhile.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags as Flags, InitFlags, Inotify};
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::script::{passes, python, script};
use crate::support::{Helper, Mounted, akvfs, has_program, until};
use crate::vault::{Kind, Vault};

const TTL: Duration = Duration::from_secs(2);
const SECRET: &str = "nginx-answer";

/// What fsnotify, Go's library, asks the kernel for.
const OF_GO: Flags = Flags::IN_MOVED_TO
    .union(Flags::IN_MOVED_FROM)
    .union(Flags::IN_CREATE)
    .union(Flags::IN_ATTRIB)
    .union(Flags::IN_MODIFY)
    .union(Flags::IN_MOVE_SELF)
    .union(Flags::IN_DELETE)
    .union(Flags::IN_DELETE_SELF);
/// What watchdog, Python's library, asks for besides.
const OF_PYTHON: Flags = OF_GO.union(Flags::IN_CLOSE_WRITE).union(Flags::IN_CLOSE_NOWRITE).union(Flags::IN_OPEN);
/// What every reader causes, and no watcher acts on.
const OF_READERS: Flags = Flags::IN_OPEN.union(Flags::IN_CLOSE_NOWRITE);

/// A program that watches one path.
struct Watcher {
    inotify: Inotify,
    seen: Vec<Flags>,
}

impl Watcher {
    fn of(path: &Path, wanted: Flags) -> Watcher {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        inotify.add_watch(path, wanted).unwrap();
        Watcher { inotify, seen: Vec::new() }
    }

    /// Everything so far that a watcher acts on.
    fn seen(&mut self) -> &[Flags] {
        loop {
            match self.inotify.read_events() {
                Ok(events) => self.seen.extend(events.iter().map(|event| event.mask)),
                Err(error) => {
                    assert_eq!(error, Errno::EAGAIN);
                    self.seen.retain(|mask| !OF_READERS.contains(*mask));
                    return &self.seen;
                }
            }
        }
    }
}

/// An nginx that has read its configuration's most important line from the mount, and serves that file.
struct Nginx {
    process: Helper,
    folder: TempDir,
}

impl Nginx {
    /// The command that tells it something.
    fn tell(folder: &Path, signal: &str) -> String {
        format!("nginx -p {0} -c {0}/nginx.conf -s {signal}", folder.display())
    }

    fn start(folder: TempDir, value: &Path) -> Nginx {
        let (below, value) = (folder.path().display(), value.display());
        let configuration = format!(
            "daemon off; user root; pid {below}/pid; error_log {below}/log notice; events {{}}
             http {{
                 access_log off; sendfile on;
                 client_body_temp_path {below}/1; proxy_temp_path {below}/2; fastcgi_temp_path {below}/3;
                 uwsgi_temp_path {below}/4; scgi_temp_path {below}/5;
                 server {{
                     listen unix:{below}/socket;
                     location = /answer {{ include {value}; }}
                     location = /file {{ alias {value}; }}
                 }}
             }}"
        );
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        let process = Helper(command.stderr(File::create(folder.path().join("stderr")).unwrap()).spawn().unwrap());
        let nginx = Nginx { process, folder };
        until("nginx answers", || nginx.get("/answer").is_some());
        nginx
    }

    /// The body of an answer.
    fn get(&self, path: &str) -> Option<String> {
        let mut connection = UnixStream::connect(self.folder.path().join("socket")).ok()?;
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    fn reloads(&self) -> usize {
        fs::read_to_string(self.folder.path().join("log")).unwrap().matches(", reconfiguring").count()
    }
}

impl Drop for Nginx {
    /// Its workers end only with one that was asked to.
    fn drop(&mut self) {
        let stop = Nginx::tell(self.folder.path(), "stop");
        if Command::new("sh").args(["-c", &stop]).output().is_ok_and(|output| output.status.success()) {
            let _ = self.process.0.wait();
        }
    }
}

fn mounted(vault: &Vault, flags: &[&str]) -> Mounted {
    Mounted::by(|directory| {
        let mut command = akvfs();
        command.arg("mount").arg(vault.text("url")).arg(directory);
        command.args(["--ca-bundle", vault.text("ca"), "--token-file", vault.text("token_file")]);
        command.args(["--no-verify-challenge-resource", "--ttl", "2s"]).args(flags);
        command
    })
}

fn answer(word: &str) -> String {
    format!("return 200 {word};")
}

#[test]
fn watchers_and_nginx_see_a_rotation_by_the_python_client_once() {
    let Some(python) = python() else { return };
    if !geteuid().is_root() || !has_program("nginx") || !has_program("inotifywait") {
        return; // only root can make events on a read-only mount
    }
    let vault = Vault::over_https(Kind::Prompt);
    let rotate = |value: &str| {
        passes(Command::new(&python).arg(script("rotate.py")).arg(vault.line().to_string()).args([SECRET, value]));
    };
    rotate(&answer("one"));
    let folder = tempfile::tempdir().unwrap();
    let mount = mounted(&vault, &["--on-change", &Nginx::tell(folder.path(), "reload")]);
    let (values, file) = (mount.path("values"), mount.path("values").join(SECRET));
    let nginx = Nginx::start(folder, &file);
    let mut watchers = [(&values, OF_GO), (&file, OF_GO), (&values, OF_PYTHON), (&file, OF_PYTHON)]
        .map(|(path, wanted)| (Watcher::of(path, wanted), wanted));
    let (printed, _inotifywait) = inotifywait(&mount, &values);

    for (rotation, word) in ["two", "three"].into_iter().enumerate() {
        let times = rotation + 1;
        rotate(&answer(word));
        let start = Instant::now();
        until("nginx is told", || nginx.get("/answer").as_deref() == Some(word));
        println!(
            "nginx answered anew {:.2} s after the rotation, with a ttl of {} s",
            start.elapsed().as_secs_f64(),
            TTL.as_secs()
        );
        assert_eq!(nginx.get("/file").unwrap(), answer(word));
        assert_eq!(nginx.reloads(), times);
        for (watcher, wanted) in &mut watchers {
            let expected: Vec<_> =
                [Flags::IN_MODIFY, Flags::IN_CLOSE_WRITE].into_iter().filter(|flag| wanted.contains(*flag)).collect();
            until("the events come", || watcher.seen().len() >= expected.len() * times);
            assert_eq!(watcher.seen(), expected.repeat(times));
        }
        let lines = format!("MODIFY {SECRET}\nCLOSE_WRITE,CLOSE {SECRET}\n").repeat(times);
        until("inotifywait prints", || fs::read_to_string(&printed).unwrap().len() >= lines.len());
        assert_eq!(fs::read_to_string(&printed).unwrap(), lines);
    }
}

#[test]
fn tail_follows_the_name_of_a_kept_file_to_each_new_version() {
    let Some(python) = python() else { return };
    let vault = Vault::over_https(Kind::Prompt);
    let rotate = |value: &str| {
        passes(Command::new(&python).arg(script("rotate.py")).arg(vault.line().to_string()).args([SECRET, value]));
    };
    let mut expected = "one\n".to_owned();
    rotate(&expected);
    let mount = mounted(&vault, &["--page-cache", "--keep-fresh", "forever"]);
    let [printed, said] = ["printed", "said"].map(|name| mount.folder.path().join(name));
    let mut command = Command::new("tail");
    command.args(["-F", "-s", "0.1"]).arg(mount.path("values").join(SECRET));
    command.stdout(File::create(&printed).unwrap()).stderr(File::create(&said).unwrap());
    let _tail = Helper(command.spawn().unwrap());
    until("tail shows the first", || fs::read_to_string(&printed).unwrap() == expected);
    for value in ["three\n", "two\n"] {
        rotate(value);
        let start = Instant::now();
        expected += value;
        until("tail shows the next", || fs::read_to_string(&printed).unwrap().len() >= expected.len());
        println!("tail showed it {:.2} s after the rotation", start.elapsed().as_secs_f64());
        assert_eq!(fs::read_to_string(&printed).unwrap(), expected, "each once, and whole");
    }
    assert_eq!(fs::read_to_string(&said).unwrap().matches("has been replaced").count(), 2);
}

/// inotifywait on a directory, once it watches; and what it prints.
fn inotifywait(mount: &Mounted, directory: &Path) -> (PathBuf, Helper) {
    let [printed, said] = ["printed", "said"].map(|name| mount.folder.path().join(name));
    let mut command = Command::new("inotifywait");
    command.args(["-m", "-e", "modify", "-e", "close_write", "--format", "%e %f"]).arg(directory);
    command.stdout(File::create(&printed).unwrap()).stderr(File::create(&said).unwrap());
    let process = Helper(command.spawn().unwrap());
    until("inotifywait watches", || fs::read_to_string(&said).unwrap().contains("Watches established"));
    (printed, process)
}
