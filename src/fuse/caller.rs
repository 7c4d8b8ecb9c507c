//! Who asks: what the kernel says of the caller, and what proc(5) does.
//!
//! The kernel names the thread; what counts as one program is the process, and whether a signal is ending
//! it decides if what it has written is meant.
//!
//! A caller may be in the middle of execve(2), which closes files and waits for our answer to that. Until
//! it has gone on, the kernel lets nobody read its `stat` or its `exe`: who tries from here waits for
//! himself. `status` can be read at any time, and so can `fdinfo`.

use std::fs;

use fuser::Request;

use super::mountinfo;
use crate::fs::{Caller, Process};

/// The part of an exit code that is a signal's number (wait(2)).
const SIGNAL: i64 = 0x7f;
/// `exit_code` among the fields that proc_pid_stat(5) counts.
const EXIT_CODE: usize = 52;

/// The caller of a request.
pub(super) fn caller(request: &Request) -> Caller {
    let thread = request.pid();
    let status = read(&format!("/proc/{thread}/status")).unwrap_or_default();
    let process = Process(thread_group(&status).unwrap_or(thread));
    let killed = has_left_its_memory(&status) && ends_by_signal(thread);
    Caller { process, uid: request.uid(), gid: request.gid(), killed }
}

/// How many descriptors a process has that write to an inode of a device, which is `MAJOR:MINOR`
/// (proc_pid_fdinfo(5)): 0 where that is not to be seen.
pub(super) fn descriptors(process: Process, device: &str, inode: u64) -> usize {
    let process = process.0.to_string();
    let Ok(all) = fs::read_dir(format!("/proc/{process}/fdinfo")) else { return 0 };
    let infos = all.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let is_on_device = |info: &String| {
        let mount = field(info, "mnt_id:").and_then(|id| id.parse().ok());
        let mount = mount.and_then(|id| mountinfo::seen_by(&process, id).ok().flatten());
        mount.is_some_and(|mount| mount.device == device)
    };
    infos.filter(|info| writes_to(info, inode)).filter(is_on_device).count()
}

fn writes_to(info: &str, inode: u64) -> bool {
    let flags = field(info, "flags:").and_then(|flags| i32::from_str_radix(flags, 8).ok());
    let writes = flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY);
    writes && field(info, "ino:").and_then(|number| number.parse().ok()) == Some(inode)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn thread_group(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|number| number.trim().parse().ok())
}

/// A process that ends gives up its memory before its files, and is past every execve(2).
fn has_left_its_memory(status: &str) -> bool {
    !status.is_empty() && !status.lines().any(|line| line.starts_with("VmSize:"))
}

fn ends_by_signal(thread: u32) -> bool {
    read(&format!("/proc/{thread}/stat")).and_then(|stat| exit_code(&stat)).is_some_and(|code| code & SIGNAL != 0)
}

fn exit_code(stat: &str) -> Option<i64> {
    // The second field, the command's name, may hold anything; the rest is numbers.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_whitespace().nth(EXIT_CODE - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let fields: Vec<_> = (4..=52).map(|number| number.to_string()).collect();
        assert_eq!(exit_code(&format!("7 (a) b (c) S {}", fields.join(" "))), Some(52));
        assert_eq!(exit_code("7 (a) S 1 2"), None);
    }

    #[test]
    fn descriptors_that_write_to_a_file_are_counted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&file.as_file().metadata().unwrap());
        let this = Process(std::process::id());
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(file.as_file());
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap();
        let mount = mountinfo::with_id(field(&info, "mnt_id:").unwrap().parse().unwrap()).unwrap().unwrap();
        let _reader = fs::File::open(file.path()).unwrap();
        assert_eq!(descriptors(this, &mount.device, inode), 1);
        let _second = file.as_file().try_clone().unwrap();
        assert_eq!(descriptors(this, &mount.device, inode), 2);
        assert_eq!(descriptors(this, "0:0", inode), 0, "another filesystem may use the same number");
        assert_eq!(descriptors(Process(0), &mount.device, inode), 0);
    }

    #[test]
    fn a_thread_belongs_to_its_process() {
        let this = std::process::id();
        let status = std::thread::spawn(|| {
            let thread = nix::unistd::gettid().as_raw();
            fs::read_to_string(format!("/proc/{thread}/status")).unwrap()
        });
        let status = status.join().unwrap();
        assert_eq!((thread_group(&status), has_left_its_memory(&status)), (Some(this), false));
    }

    #[test]
    fn a_zombie_has_left_its_memory_and_tells_its_signal() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (id, path) = (child.id(), format!("/proc/{}/status", child.id()));
        assert!(!has_left_its_memory(&fs::read_to_string(&path).unwrap()));
        child.kill().unwrap();
        while !has_left_its_memory(&fs::read_to_string(&path).unwrap()) {
            std::thread::yield_now();
        }
        while !fs::read_to_string(&path).unwrap().contains("State:\tZ") {
            std::thread::yield_now();
        }
        assert!(ends_by_signal(id));
        child.wait().unwrap();
    }
}
