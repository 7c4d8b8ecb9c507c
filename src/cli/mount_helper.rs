//! `mount.akvfs`, which mount(8) runs for `mount -t akvfs` and for lines of /etc/fstab: its arguments
//! as those of `akvfs mount`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The name under which the command is mount(8)'s helper.
const NAME: &str = "mount.akvfs";

/// Options of the line, or of mount(8) itself, that mean nothing to a mount that is always `nosuid`,
/// `nodev` and `noexec`. mount(8) adds `rw` by itself, so it cannot be a wish; `writable` is one.
const OF_NO_MEANING: &[&str] = &[
    "defaults",
    "rw",
    "ro",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "sync",
    "async",
    "atime",
    "noatime",
    "relatime",
    "norelatime",
    "strictatime",
    "diratime",
    "nodiratime",
];

/// What mount(8) asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Arguments for `akvfs`, without the program's name.
    pub(super) arguments: Vec<OsString>,
    /// Whether all of it is only to be tried (`-f`).
    pub(super) fake: bool,
    /// Whether a mount that is there is to be changed.
    pub(super) remount: bool,
}

/// Reads `mount.akvfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`; `None` for a program of
/// another name.
pub(super) fn request(line: &[OsString]) -> Option<Request> {
    let (program, rest) = line.split_first()?;
    if Path::new(program).file_name() != Some(OsStr::new(NAME)) {
        return None;
    }
    let (mut places, mut flags, mut fake, mut remount) = (Vec::new(), Vec::new(), false, false);
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"-o" => {
                for option in rest.next().into_iter().flat_map(|options| options.as_bytes().split(|byte| *byte == b','))
                {
                    remount |= option == b"remount";
                    flags.extend(option_as_flag(option));
                }
            }
            b"-t" | b"-N" => drop(rest.next()),
            [b'-', letters @ ..] if letters.iter().all(|letter| b"sfnv".contains(letter)) => {
                fake |= letters.contains(&b'f');
            }
            _ => places.push(argument.clone()),
        }
    }
    if !flags.iter().any(|flag| flag.as_bytes().starts_with(b"--ready=")) {
        flags.push("--ready=mounted".into()); // a machine starts whether or not its vault can be reached
    }
    let mut arguments = vec!["mount".into()];
    arguments.append(&mut flags);
    arguments.push("--".into());
    arguments.append(&mut places);
    Some(Request { arguments, fake, remount })
}

/// `token_file=/etc/token` is `--token-file=/etc/token`.
fn option_as_flag(option: &[u8]) -> Option<OsString> {
    if option.is_empty() || is_of_no_meaning(option) {
        return None;
    }
    let end = option.iter().position(|byte| *byte == b'=').unwrap_or(option.len());
    let (name, value) = option.split_at(end);
    let name = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte });
    Some(OsString::from_vec(b"--".iter().copied().chain(name).chain(value.iter().copied()).collect()))
}

fn is_of_no_meaning(option: &[u8]) -> bool {
    let for_others = [&b"x-"[..], b"X-", b"comment="].iter().any(|prefix| option.starts_with(prefix));
    for_others || OF_NO_MEANING.iter().any(|known| known.as_bytes() == option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Option<String> {
        let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let request = request(&line)?;
        let words: Vec<_> = request.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        Some(words.join(" "))
    }

    #[test]
    fn a_line_of_fstab_is_a_mount_command() {
        for (line, expected) in [
            ("mount.akvfs my-vault /mnt/v -o rw", "mount --ready=mounted -- my-vault /mnt/v"),
            (
                "/sbin/mount.akvfs demo: /mnt/v -sv -o rw,nosuid,_netdev,x-systemd.automount,allow_other,gid=33 -t akvfs",
                "mount --allow-other --gid=33 --ready=mounted -- demo: /mnt/v",
            ),
            (
                "mount.akvfs v /d -n -o token_file=/etc/a_b,ready=listed,writable,no_such_thing",
                "mount --token-file=/etc/a_b --ready=listed --writable --no-such-thing -- v /d",
            ),
        ] {
            assert_eq!(arguments(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(arguments("/usr/bin/akvfs mount demo: /d"), None);
    }

    #[test]
    fn a_trial_is_only_one() {
        let line = ["mount.akvfs", "v", "/d", "-fnv"].map(OsString::from);
        assert!(request(&line).unwrap().fake);
    }
}
