//! What follows when a secret has changed: the kernel forgets what it knew, a command is run, systemd
//! units are told.
//!
//! Refuses to fetch anything, and to know a value: it hears of changes, by name and version.

mod batch;
mod command;
mod pattern;
mod unit;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::cache::{Change, ChangeKind};
use batch::Batches;
pub use pattern::Pattern;
pub use unit::{Action, UnitRule};

/// What is to be done when a secret's bytes change.
#[derive(Clone, Debug, Default)]
pub struct RotationSettings {
    /// A shell command, run once for each secret.
    pub command: Option<String>,
    /// Units to be reloaded or restarted.
    pub units: Vec<UnitRule>,
    /// Whether the units are a user's own, and not the system's.
    pub user_units: bool,
    /// Where the vault is mounted, for the command.
    pub directory: PathBuf,
}

impl RotationSettings {
    /// Whether anything is to be done.
    pub fn is_followed(&self) -> bool {
        self.command.is_some() || !self.units.is_empty()
    }
}

/// What the kernel remembers of the mount. Both calls may block.
pub trait KernelNotifier: Send + Sync + 'static {
    /// It is to ask again for what a change has made untrue.
    fn forget(&self, change: &Change);
    /// It is to ask again for everything.
    fn forget_all(&self);
}

/// Sees to all changes, until the cache that tells of them is gone.
pub async fn follow(mut changes: Receiver<Change>, kernel: Arc<impl KernelNotifier>, settings: RotationSettings) {
    let (rotations, batches) = Batches::new();
    tokio::spawn(act(batches, settings));
    loop {
        let kernel = Arc::clone(&kernel);
        let told = match changes.recv().await {
            Ok(change) => {
                rotated(&change, &rotations);
                spawn_blocking(move || kernel.forget(&change)).await
            }
            Err(RecvError::Lagged(missed)) => {
                warn!("{missed} changes came faster than they could be followed: no command was run for them");
                spawn_blocking(move || kernel.forget_all()).await
            }
            Err(RecvError::Closed) => return,
        };
        if told.is_err() {
            warn!("an error inside akvfs kept the kernel from being told of a change: please report it");
        }
    }
}

/// Only other bytes are a rotation.
fn rotated(change: &Change, rotations: &mpsc::UnboundedSender<Change>) {
    match change.kind {
        ChangeKind::Value { old, new } => {
            info!(secret = %change.name, %old, %new, "the secret has changed");
            let _ = rotations.send(change.clone()); // it is received as long as this runs
        }
        ChangeKind::Properties | ChangeKind::Gone => {}
    }
}

/// Runs what the settings want, for one batch after the other.
async fn act(mut batches: Batches, settings: RotationSettings) {
    while let Some(changed) = batches.next().await {
        for (action, unit) in unit::affected(&settings.units, &changed) {
            unit::tell(action, unit, settings.user_units).await;
        }
        if let Some(line) = &settings.command {
            for (name, version) in &changed {
                command::run(line, name, *version, &settings.directory).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
