//! Changes followed, in paused time where nothing outside is waited for.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::time::sleep;

use super::batch::Batches;
use super::unit::affected;
use super::{Action, KernelNotifier, Pattern, RotationSettings, UnitRule, follow};
use crate::cache::{Change, ChangeKind};
use crate::vault::VersionId;
use crate::vault::double::name;

fn version(number: u32) -> VersionId {
    VersionId::parse(&format!("{number:032x}")).unwrap()
}

fn rotation(of: &str, to: u32) -> Change {
    Change { name: name(of), kind: ChangeKind::Value { old: version(to - 1), new: version(to) } }
}

#[derive(Default)]
struct Told(Mutex<Vec<Option<String>>>);

impl KernelNotifier for Told {
    fn forget(&self, change: &Change) {
        self.0.lock().push(Some(change.name.to_string()));
    }

    fn forget_all(&self) {
        self.0.lock().push(None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_together_is_one_batch_with_each_secret_once() {
    let (sender, mut batches) = Batches::new();
    for change in [rotation("b", 2), rotation("a", 2), rotation("b", 3)] {
        sender.send(change).unwrap();
    }
    assert_eq!(batches.next().await.unwrap(), [(name("a"), version(2)), (name("b"), version(3))]);
    let steady = tokio::spawn(async move {
        for number in 4.. {
            sender.send(rotation("a", number)).unwrap();
            sleep(Duration::from_millis(200)).await;
        }
    });
    let began = tokio::time::Instant::now();
    assert_eq!(batches.next().await.unwrap().len(), 1);
    assert_eq!(began.elapsed(), Duration::from_secs(2), "one that never rests does not keep the others waiting");
    steady.abort();
}

#[test]
fn each_unit_is_told_once_of_what_it_is_about() {
    let rule = |secrets, action, unit: &str| UnitRule {
        secrets: Pattern::parse(secrets).unwrap(),
        action,
        unit: unit.to_owned(),
    };
    let rules = [
        rule("tls-*", Action::Reload, "nginx.service"),
        rule("tls-key", Action::Reload, "nginx.service"),
        rule("db", Action::Restart, "app.service"),
    ];
    let changed = vec![(name("tls-cert"), version(1)), (name("tls-key"), version(1))];
    assert_eq!(affected(&rules, &changed), [(Action::Reload, "nginx.service")]);
}

#[tokio::test]
async fn the_kernel_is_told_of_every_change_and_the_command_of_other_bytes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let line = format!("echo \"$AKVFS_SECRET $AKVFS_VERSION $AKVFS_DIR\" >> {}", seen.display());
    let settings =
        RotationSettings { command: Some(line), directory: "/mnt/vault".into(), ..RotationSettings::default() };
    let (changes, receiver) = broadcast::channel(16);
    let told = Arc::new(Told::default());
    let following = tokio::spawn(follow(receiver, Arc::clone(&told), settings));
    changes.send(Change { name: name("other"), kind: ChangeKind::Properties }).unwrap();
    changes.send(rotation("db", 2)).unwrap();
    changes.send(rotation("db", 3)).unwrap();
    let expected = format!("db {} /mnt/vault\n", version(3));
    while std::fs::read_to_string(&seen).unwrap_or_default() != expected {
        sleep(Duration::from_millis(5)).await;
    }
    let names = ["other", "db", "db"].map(|name| Some(name.to_owned()));
    assert_eq!(*told.0.lock(), names);
    drop(changes);
    following.await.unwrap();
}

#[tokio::test]
async fn changes_that_were_missed_make_the_kernel_forget_all() {
    let (changes, receiver) = broadcast::channel(1);
    for number in 2..5 {
        changes.send(rotation("db", number)).unwrap();
    }
    drop(changes);
    let told = Arc::new(Told::default());
    follow(receiver, Arc::clone(&told), RotationSettings::default()).await;
    assert_eq!(*told.0.lock(), [None, Some("db".to_owned())]);
}
