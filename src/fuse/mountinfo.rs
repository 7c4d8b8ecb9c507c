//! What is mounted where, as the kernel says (proc_pid_mountinfo(5)).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Filesystem type of our own mounts.
pub(super) const OUR_TYPE: &str = "fuse.akvfs";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Unique while it is mounted, and used again after.
    pub(super) id: u64,
    /// `MAJOR:MINOR`, as the kernel writes it.
    pub(super) device: String,
    pub(super) path: PathBuf,
    pub(super) fstype: OsString,
    /// The user who may enter, of a FUSE mount.
    pub(super) owner_uid: Option<u32>,
}

impl Mount {
    pub(super) fn is_ours(&self) -> bool {
        self.fstype == OUR_TYPE
    }
}

/// The mount with this number.
pub(super) fn with_id(id: u64) -> io::Result<Option<Mount>> {
    seen_by("self", id)
}

/// The same in the mount namespace of a process, given as below `/proc`.
pub(super) fn seen_by(process: &str, id: u64) -> io::Result<Option<Mount>> {
    let table = fs::read(format!("/proc/{process}/mountinfo"))?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).find(|mount| mount.id == id))
}

/// `36 35 98:0 /root /path rw,noatime master:1 - type source options`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = std::str::from_utf8(fields.nth(1)?).ok()?.to_owned();
    let path = unescaped(fields.nth(1)?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fstype = unescaped(fields.next()?).into_os_string();
    let options = fields.nth(1).unwrap_or_default();
    let owner_uid = options.split(|byte| *byte == b',').find_map(|option| {
        let uid = option.strip_prefix(b"user_id=")?;
        std::str::from_utf8(uid).ok()?.parse().ok()
    });
    Some(Mount { id, device, path, fstype, owner_uid })
}

/// Blank, tab, line feed and backslash come as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        match tail.get(..3).filter(|_| *first == b'\\').and_then(octal) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(OsStr::from_bytes(digits).to_str()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes() {
        let line = br"412 29 0:55 / /mnt/my\040vault ro,nosuid,nodev,noexec shared:7 master:2 - fuse.akvfs demo: rw,user_id=1000,group_id=0";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.device.as_str()), (412, "0:55"));
        assert_eq!(mount.path, Path::new("/mnt/my vault"));
        assert_eq!(mount.owner_uid, Some(1000));
        assert!(mount.is_ours());
    }

    #[test]
    fn other_lines_are_other_mounts() {
        let mount = parse(b"24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw").unwrap();
        assert!(!mount.is_ours());
        assert_eq!(mount.owner_uid, None);
        assert_eq!(parse(b""), None);
    }
}
