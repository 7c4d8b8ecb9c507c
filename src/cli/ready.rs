//! Flags that say what `akvfs mount` waits for.

use std::time::Duration;

use clap::{Args, ValueEnum};

/// When a mount counts as ready.
#[derive(Args, Debug, Clone)]
pub struct ReadyArgs {
    /// What to wait for before the mount is there
    #[arg(long, value_name = "WHAT", default_value = "authenticated", help_heading = "Vault")]
    pub ready: ReadyWhen,
    /// For how long to wait for it; after that nothing is mounted, and the exit code is 4
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration, help_heading = "Vault")]
    pub ready_timeout: Duration,
}

/// What can be waited for.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyWhen {
    /// Nothing: mount whether or not the vault can be reached
    Mounted,
    /// The vault has let us in
    Authenticated,
    /// And has listed all its secrets
    Listed,
}
