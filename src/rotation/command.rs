//! The command that is run for a secret whose bytes have changed.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::vault::{SecretName, VersionId};

/// A command that takes longer is ended: the next change waits for it.
const LONGEST: Duration = Duration::from_secs(60);

/// Variables by which this process may have been told how to sign in are not for the command.
const OURS: [&str; 4] = ["AZURE_", "IDENTITY_", "MSI_", "AKVFS_"];

/// Runs the line in a shell, with the secret's name, version and the mount's directory in its environment.
pub(super) async fn run(line: &str, name: &SecretName, version: VersionId, directory: &Path) {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(line);
    for (variable, _) in env::vars_os().filter(|(variable, _)| is_ours(variable)) {
        shell.env_remove(variable);
    }
    shell.env("AKVFS_SECRET", name.as_str()).env("AKVFS_VERSION", version.to_string()).env("AKVFS_DIR", directory);
    end(&mut shell, &format!("the command for {name}")).await;
}

/// Waits for a command, and says how it ended. Its output goes nowhere: it is not ours to log.
pub(super) async fn end(command: &mut Command, what: &str) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(LONGEST, command.status()).await {
        Ok(Ok(status)) if status.success() => info!("{what} has run"),
        Ok(Ok(status)) => warn!("{what} has failed: {status}"),
        Ok(Err(error)) => warn!("{what} could not be run: {error}"),
        Err(_) => warn!("{what} has taken longer than {} s, and was ended", LONGEST.as_secs()),
    }
}

fn is_ours(variable: &OsStr) -> bool {
    OURS.iter().any(|prefix| variable.as_encoded_bytes().starts_with(prefix.as_bytes()))
}
