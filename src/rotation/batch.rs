//! Changes that come together, taken together: whoever rotates a secret twice, or a key with its
//! certificate, means one thing.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::cache::{Change, ChangeKind};
use crate::vault::{SecretName, VersionId};

/// A batch ends when nothing has come for so long,
const QUIET: Duration = Duration::from_millis(300);
/// or when it has taken so long altogether.
const LONGEST: Duration = Duration::from_secs(2);

/// Secrets that have changed, each with the version that is now the newest.
pub(super) type Batch = Vec<(SecretName, VersionId)>;

pub(super) struct Batches(UnboundedReceiver<Change>);

impl Batches {
    pub(super) fn new() -> (UnboundedSender<Change>, Batches) {
        let (sender, receiver) = unbounded_channel();
        (sender, Batches(receiver))
    }

    /// The next batch, each secret once; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        let mut changed = HashMap::new();
        while changed.is_empty() {
            let first = self.0.recv().await?;
            let end = Instant::now() + LONGEST;
            add(&mut changed, first);
            while let Ok(Some(change)) = timeout_at(end.min(Instant::now() + QUIET), self.0.recv()).await {
                add(&mut changed, change);
            }
        }
        let mut batch: Batch = changed.into_iter().collect();
        batch.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Some(batch)
    }
}

fn add(changed: &mut HashMap<SecretName, VersionId>, change: Change) {
    match change.kind {
        ChangeKind::Value { new, .. } => drop(changed.insert(change.name, new)),
        ChangeKind::Properties | ChangeKind::Gone => {}
    }
}
