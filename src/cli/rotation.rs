//! Flags about what follows when a secret changes.

use clap::Args;

/// What is done when a secret's bytes change.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Rotation")]
pub struct RotationArgs {
    /// Run this in a shell when a secret that is in use has other bytes than before, with its name in
    /// AKVFS_SECRET, its version in AKVFS_VERSION and the mount in AKVFS_DIR
    #[arg(long, value_name = "CMD")]
    pub on_change: Option<String>,
    /// Reload this systemd unit when such a secret changes; * in NAME stands for anything
    #[arg(long, value_name = "NAME=UNIT")]
    pub reload_unit: Vec<String>,
    /// Restart this systemd unit, if it runs, when such a secret changes
    #[arg(long, value_name = "NAME=UNIT")]
    pub restart_unit: Vec<String>,
}
