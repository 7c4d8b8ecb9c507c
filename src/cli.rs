//! Flags exactly as typed; one error line; the exit code.
//!
//! Refuses to decide anything: what flags mean together is [`config`](crate::config)'s business.
#![allow(rustdoc::broken_intra_doc_links, reason = "brackets in help texts are no links")]

mod access;
mod cache;
mod emulator;
mod mount_helper;
mod ready;
mod request;
mod rotation;
mod writing;

use std::env;
use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{EmulatorConfig, MountConfig, RequestConfig, UsageError};
use crate::daemon::{self, Failure};
pub use access::{AccessArgs, Auth, AuthArgs, Cloud};
pub use cache::{CacheArgs, Sizes};
pub use emulator::{EmulatorArgs, SignIn, SignInArgs};
pub use ready::{ReadyArgs, ReadyWhen};
pub use request::RequestArgs;
pub use rotation::RotationArgs;
pub use writing::{OnDeleted, Settle, WritingArgs};

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the vault refuses the sign-in,
4 the vault is not there or not reachable, 5 already mounted.

Try it without Azure:
  akvfs mount demo: /tmp/vault
  ls /tmp/vault/secrets; cat /tmp/vault/values/database-password
  akvfs unmount /tmp/vault";

/// Mounts the secrets of an Azure Key Vault as a directory.
#[derive(Parser, Debug)]
#[command(name = "akvfs", version, about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Mount a vault on a directory, read-only unless --rw
    Mount(Box<MountArgs>),
    /// Unmount what akvfs has mounted on a directory
    Unmount(UnmountArgs),
    /// Ask the vault again, before what is remembered has run out
    Refresh(RefreshArgs),
    /// Wait until what was deleted or recovered is so in the vault
    Wait(WaitArgs),
    /// Bring back what was deleted through a mount
    Undelete(UndeleteArgs),
    /// Send one request to a vault by hand, and show the answer
    Request(Box<RequestArgs>),
    /// Run the embedded vault alone, for tests and for trying things out
    Emulator(Box<EmulatorArgs>),
}

/// The flags of `akvfs mount`.
#[derive(Args, Debug, Clone)]
#[command(after_help = "\
Reading DIR/values/NAME, or DIR/secrets/NAME/current, gives the newest value; DIR/secrets/NAME also
has one file per version, and properties.json. `mount` returns when the mount can be used; it goes on
in the background until `akvfs unmount DIR`, or SIGTERM.

Where nothing else is said, akvfs signs in by the first of these of which there is a sign: --token-file,
an application's secret or certificate (--client-id), a workload identity, a managed identity, az, azd.
It says which in the log, and tries no other. With a token that somebody else gets:
  (umask 077; az account get-access-token --resource https://vault.azure.net \\
     --query accessToken --output tsv > token)
  akvfs mount my-vault /mnt/vault --token-file token")]
pub struct MountArgs {
    /// NAME, NAME.vault.azure.net, https://HOST[:PORT], local:[NAME] for an embedded vault that is kept on
    /// this machine, or demo: for one in memory with examples
    #[arg(value_name = "VAULT")]
    pub vault: String,
    /// Where to mount: an empty directory; a missing one is made
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Stay in the foreground and log to stderr
    #[arg(short, long)]
    pub foreground: bool,
    /// What `mount` waits for
    #[command(flatten)]
    pub ready: ReadyArgs,
    /// How to reach the vault.
    #[command(flatten)]
    pub access: AccessArgs,
    /// How long answers are served.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// What follows a change.
    #[command(flatten)]
    pub rotation: RotationArgs,
    /// Owner of all files [default: who mounts]
    #[arg(long, value_name = "UID", help_heading = "Files")]
    pub uid: Option<u32>,
    /// Group of all files [default: the group of who mounts]
    #[arg(long, value_name = "GID", help_heading = "Files")]
    pub gid: Option<u32>,
    /// Permissions of files, octal
    #[arg(long, value_name = "MODE", default_value = "0400", help_heading = "Files")]
    pub file_mode: String,
    /// Permissions of directories, octal
    #[arg(long, value_name = "MODE", default_value = "0500", help_heading = "Files")]
    pub dir_mode: String,
    /// Let other users in, as far as owner, group and permissions allow
    #[arg(long, help_heading = "Files")]
    pub allow_other: bool,
    /// Accept permissions with which, given --allow-other, every user of this machine can read
    #[arg(long, help_heading = "Files")]
    pub world_readable: bool,
    /// Whether to spin during bursts of requests, which answers them sooner and takes a CPU meanwhile
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub spin: Spin,
    /// How much to log
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// What may be changed.
    #[command(flatten)]
    pub writing: WritingArgs,
}

/// Whether the request loop spins during bursts.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spin {
    /// Where there is more than one CPU
    Auto,
    /// Never
    Off,
}

/// How much to log.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What needs a person
    Error,
    /// And calls that failed
    Warn,
    /// And what began and ended
    Info,
    /// And what programs looked for in vain
    Debug,
}

#[derive(Args, Debug)]
struct UnmountArgs {
    /// The mount point
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Detach it at once, even if it is in use; files that are open stay readable until they are closed
    #[arg(long)]
    lazy: bool,
    /// Take away only what a killed process has left behind; a mount that lives, or none, is no failure
    #[arg(long, conflicts_with = "lazy")]
    dead: bool,
}

#[derive(Args, Debug)]
struct RefreshArgs {
    /// The mount point, or a directory in it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The secret [default: all]
    #[arg(value_name = "NAME")]
    secret: Option<String>,
}

#[derive(Args, Debug)]
struct WaitArgs {
    /// A secret's directory, such as DIR/deleted/NAME, or a directory above it, for everything below
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

#[derive(Args, Debug)]
struct UndeleteArgs {
    /// The mount point
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Bring back what was deleted within this time
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Duration,
}

/// mount(8)'s exit code for a mount that failed.
const MOUNT_FAILED: u8 = 32;
/// systemd 252 misses a mount whose helper ends the moment that it appears.
const HELPER_PAUSE: Duration = Duration::from_millis(50);

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = env::args_os().collect();
    if let Some(request) = mount_helper::request(&line) {
        return help_mount(&request);
    }
    let arguments = line.get(1..).unwrap_or_default();
    match run(Cli::parse().command, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// As mount(8)'s helper: every failure is one to it.
fn help_mount(request: &mount_helper::Request) -> ExitCode {
    if request.remount {
        complain(&UsageError::Remount.into());
        return ExitCode::from(MOUNT_FAILED);
    }
    let line = iter::once(&OsString::from("akvfs")).chain(&request.arguments).cloned().collect::<Vec<_>>();
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print(); // or nobody listens
            return ExitCode::from(MOUNT_FAILED);
        }
    };
    if request.fake {
        return ExitCode::SUCCESS;
    }
    match run(cli.command, &request.arguments) {
        Ok(()) => {
            thread::sleep(HELPER_PAUSE);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            complain(&failure);
            ExitCode::from(MOUNT_FAILED)
        }
    }
}

fn complain(failure: &Failure) {
    if !failure.is_told() {
        daemon::say(failure);
    }
}

fn run(command: Command, arguments: &[OsString]) -> Result<(), Failure> {
    match command {
        Command::Mount(args) => daemon::mount(&MountConfig::from_args(&args)?, arguments),
        Command::Unmount(args) if args.dead => daemon::unmount_dead(&args.directory),
        Command::Unmount(args) => daemon::unmount(&args.directory, args.lazy),
        Command::Refresh(args) => daemon::refresh(&args.directory, args.secret.as_deref()),
        Command::Wait(args) => daemon::wait(&args.path),
        Command::Undelete(args) => daemon::undelete(&args.directory, args.since),
        Command::Request(args) => daemon::request(RequestConfig::from_args(&args)?),
        Command::Emulator(args) => daemon::emulator(EmulatorConfig::from_args(&args)?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
