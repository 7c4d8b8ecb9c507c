//! Random operations against a model of the state machine: the same verdict for each, the same
//! lists after it, with delays and a clock that moves.

use std::collections::BTreeMap;
use std::time::Duration;

use akvfs::emulator::{Emulator, Options};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::client::{Served, serve};

const DELAY: u64 = 10;
const RETENTION_DAYS: u32 = 7;

#[derive(Clone, Debug)]
enum Step {
    Set(&'static str, u8, bool),
    Get(&'static str),
    Enable(&'static str, bool),
    Delete(&'static str),
    GetDeleted(&'static str),
    Purge(&'static str),
    Recover(&'static str),
    Backup(&'static str),
    Restore(&'static str),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["a", "A", "a-1", "b"]);
    prop_oneof![
        4 => (name(), any::<u8>(), prop::bool::weighted(0.8)).prop_map(|(n, v, e)| Step::Set(n, v, e)),
        3 => name().prop_map(Step::Get),
        1 => (name(), any::<bool>()).prop_map(|(n, e)| Step::Enable(n, e)),
        4 => name().prop_map(Step::Delete),
        2 => name().prop_map(Step::GetDeleted),
        2 => name().prop_map(Step::Purge),
        3 => name().prop_map(Step::Recover),
        2 => name().prop_map(Step::Backup),
        2 => name().prop_map(Step::Restore),
        4 => prop::sample::select(vec![1, DELAY, 86_400 * 7]).prop_map(Step::Wait),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Live,
    Deleting,
    Deleted,
    Recovering,
    Purging,
}
use Is::{Deleted, Deleting, Live, Purging, Recovering};

/// What the vault should hold: per lower-cased name its state, the end of it, the latest value and
/// whether that is enabled.
#[derive(Default)]
struct Model {
    now: u64,
    secrets: BTreeMap<String, (Is, u64, u8, bool)>,
    backups: BTreeMap<String, (u8, bool)>,
}

impl Model {
    fn is(&self, name: &str) -> Option<Is> {
        self.secrets.get(&name.to_lowercase()).map(|secret| secret.0)
    }

    fn put(&mut self, name: &str, is: Is, span: u64, value: u8, enabled: bool) {
        self.secrets.insert(name.to_lowercase(), (is, self.now + span, value, enabled));
    }

    fn wait(&mut self, span: u64) {
        self.now += span;
        let now = self.now;
        let retention = u64::from(RETENTION_DAYS) * 86_400 - DELAY;
        self.secrets.retain(|_, (is, until, ..)| {
            if *is == Deleting && *until <= now {
                (*is, *until) = (Deleted, *until + retention);
            }
            if *is == Recovering && *until <= now {
                *is = Live;
            }
            !(matches!(is, Purging | Deleted) && *until <= now)
        });
    }

    fn expect(&mut self, step: &Step) -> &'static str {
        let secret = |name: &str| self.secrets.get(&name.to_lowercase()).copied();
        match *step {
            Step::Wait(span) => (self.wait(span), "").1,
            Step::Set(name, value, enabled) => match self.is(name) {
                None | Some(Live) => (self.put(name, Live, 0, value, enabled), "200").1,
                Some(Deleting | Purging) => "409 Conflict ObjectIsBeingDeleted",
                Some(Deleted) => "409 Conflict ObjectIsDeletedButRecoverable",
                Some(Recovering) => "409 Conflict ObjectIsBeingRecovered",
            },
            Step::Get(name) => match secret(name) {
                Some((Live, _, _, true)) => "200",
                Some((Live, ..)) => "403 Forbidden SecretDisabled",
                _ => "404 SecretNotFound",
            },
            Step::Enable(name, enabled) => match secret(name) {
                Some((Live, _, value, _)) => (self.put(name, Live, 0, value, enabled), "200").1,
                Some((Recovering, ..)) => "409 Conflict ObjectIsBeingRecovered",
                _ => "404 SecretNotFound",
            },
            Step::Delete(name) => match secret(name) {
                Some((Live, _, value, on)) => (self.put(name, Deleting, DELAY, value, on), "200").1,
                Some((Recovering, ..)) => "409 Conflict ObjectIsBeingRecovered",
                _ => "404 SecretNotFound",
            },
            Step::GetDeleted(name) => match secret(name) {
                Some((Deleted, _, _, true)) => "200",
                Some((Deleted, ..)) => "403 Forbidden SecretDisabled",
                _ => "404 SecretNotFound",
            },
            Step::Purge(name) => match self.is(name) {
                Some(Deleted) => (self.put(name, Purging, DELAY, 0, true), "204").1,
                Some(Deleting) => "409 Conflict ObjectIsBeingDeleted",
                Some(Recovering) => "409 Conflict ObjectIsBeingRecovered",
                _ => "404 SecretNotFound",
            },
            Step::Recover(name) => match secret(name) {
                Some((Deleted, _, value, on)) => (self.put(name, Recovering, DELAY, value, on), "200").1,
                Some((Live, ..)) => "400 MethodNotAllowed RequestNotAllowedOnNonDeletedObject",
                Some((Recovering, ..)) => "409 Conflict ObjectIsBeingRecovered",
                Some((Deleting, ..)) => "409 Conflict ObjectIsBeingDeleted",
                _ => "404 SecretNotFound",
            },
            Step::Backup(name) => match secret(name) {
                Some((Live, _, value, on)) => (self.backups.insert(name.to_lowercase(), (value, on)), "200").1,
                _ => "404 SecretNotFound",
            },
            Step::Restore(name) => match (self.backups.get(&name.to_lowercase()), self.is(name)) {
                (None, _) => "400 Malformed backup blob",
                (Some(&(value, on)), None) => (self.put(name, Recovering, DELAY, value, on), "200").1,
                _ => "409 Conflict",
            },
        }
    }

    fn names(&self, wanted: Is) -> Vec<String> {
        let wanted = self.secrets.iter().filter(|(_, secret)| secret.0 == wanted);
        wanted.map(|(name, _)| name.clone()).collect()
    }
}

/// Takes a step on the vault; the verdict, and the blob where it was a backup.
async fn take(served: &Served, step: &Step, blobs: &mut BTreeMap<String, Value>) -> String {
    let client = &served.client;
    let ask = async |method: &str, path: String, body: Option<Value>| client.send(method, &path, body).await;
    let reply = match *step {
        Step::Wait(span) => {
            served.vault.clock().advance(Duration::from_secs(span));
            return String::new();
        }
        Step::Set(name, value, enabled) => {
            let body = json!({"value": value.to_string(), "attributes": {"enabled": enabled}});
            ask("PUT", format!("/secrets/{name}"), Some(body)).await
        }
        Step::Get(name) => ask("GET", format!("/secrets/{name}"), None).await,
        Step::Enable(name, enabled) => {
            ask("PATCH", format!("/secrets/{name}/"), Some(json!({"attributes": {"enabled": enabled}}))).await
        }
        Step::Delete(name) => ask("DELETE", format!("/secrets/{name}"), None).await,
        Step::GetDeleted(name) => ask("GET", format!("/deletedsecrets/{name}"), None).await,
        Step::Purge(name) => ask("DELETE", format!("/deletedsecrets/{name}"), None).await,
        Step::Recover(name) => ask("POST", format!("/deletedsecrets/{name}/recover"), None).await,
        Step::Backup(name) => {
            let reply = ask("POST", format!("/secrets/{name}/backup"), None).await;
            if reply.status == 200 {
                blobs.insert(name.to_lowercase(), reply.json());
            }
            reply
        }
        Step::Restore(name) => {
            let blob = blobs.get(&name.to_lowercase()).cloned();
            ask("POST", "/secrets/restore".into(), Some(blob.unwrap_or(json!({"value": ""})))).await
        }
    };
    reply.verdict()
}

async fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let delay = Duration::from_secs(DELAY);
    let vault = Emulator::with_options(
        "model",
        Options {
            retention_days: Some(RETENTION_DAYS),
            deletion_delay: delay,
            recovery_delay: delay,
            purge_delay: delay,
            ..Options::default()
        },
    );
    vault.clock().stop_at(vault.clock().now());
    let served = serve(vault).await;
    let (mut model, mut blobs) = (Model::default(), BTreeMap::new());
    for step in steps {
        let expected = model.expect(step);
        prop_assert_eq!(take(&served, step, &mut blobs).await, expected, "{:?}", step);
        for (path, is) in [("/secrets", Live), ("/deletedsecrets", Deleted)] {
            let listed: Vec<_> = served.client.ids(path).await.iter().map(|name| name.to_lowercase()).collect();
            prop_assert_eq!(listed, model.names(is), "{} after {:?}", path, step);
        }
        for name in model.names(Live) {
            let (_, _, value, enabled) = model.secrets[&name];
            let read = served.client.get(&format!("/secrets/{name}")).await.json()["value"].clone();
            prop_assert_eq!(read, if enabled { json!(value.to_string()) } else { Value::Null });
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_vault_does_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&steps))?;
    }
}
