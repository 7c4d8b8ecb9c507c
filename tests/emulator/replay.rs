//! The recorded exchanges, step by step against the embedded vault: same status, same codes and
//! messages, same keys in the same order, same attributes, and the same relation between ids.
//!
//! Each recording meets a vault of its own, whose clock stands still: where the recorded service
//! had moved on between two steps, the clock is moved and the step tried again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use akvfs::emulator::{Emulator, NewSecret, Options};
use serde_json::{Value, json};

use crate::client::{Client, Reply, serve};
use crate::recording::{Exchange, Shape, recordings};

/// Steps that are known not to replay: file, position and why.
const EXCEPTIONS: [(&str, u64, &str); 0] = [];

const DELAY: Duration = Duration::from_secs(10);

#[tokio::test]
async fn every_recorded_step_is_answered_as_recorded() {
    let Some(recordings) = recordings() else { return };
    let mut tally = Tally::default();
    for recording in &recordings {
        replay(recording, &mut tally).await;
    }
    tally.report();
    let known = |exchange: &&Exchange| {
        EXCEPTIONS.iter().any(|(file, seq, _)| exchange.file.contains(file) && exchange.seq == *seq)
    };
    let unknown: Vec<_> = tally.failed.iter().filter(|(exchange, _)| !known(exchange)).collect();
    for (exchange, difference) in &unknown {
        eprintln!("{}: {difference}", exchange.place());
    }
    assert!(unknown.is_empty(), "{} steps differ", unknown.len());
    assert_eq!(tally.failed.len(), EXCEPTIONS.len(), "an exception is no longer one");
}

#[derive(Default)]
struct Tally<'a> {
    replayed: usize,
    failed: Vec<(&'a Exchange, String)>,
    left_out: BTreeMap<&'static str, usize>,
}

impl Tally<'_> {
    fn report(&self) {
        let total = self.replayed + self.left_out.values().sum::<usize>();
        let passed = self.replayed - self.failed.len();
        eprintln!("{passed} of {} steps replay as recorded, of {total} exchanges; left out:", self.replayed);
        for (reason, count) in &self.left_out {
            eprintln!("  {count}: {reason}");
        }
        for (file, seq, reason) in EXCEPTIONS {
            eprintln!("  exception: {file} {seq}: {reason}");
        }
    }
}

async fn replay<'a>(recording: &'a [Exchange], tally: &mut Tally<'a>) {
    if recording.iter().any(|exchange| exchange.body["attributes"]["recoveryLevel"] == "Purgeable") {
        *tally.left_out.entry("of a vault without soft delete, as there were until 2020").or_default() +=
            recording.len();
        return;
    }
    let vault = Emulator::with_options("replayed", options(recording));
    vault.clock().stop_at(vault.clock().now());
    let served = serve(vault.clone()).await;
    let mut run = Run {
        vault,
        client: served.client.clone(),
        default_query: default_query(recording),
        ..Run::new(&served.client)
    };
    run.seed(recording).await;
    for exchange in recording {
        if let Some(reason) = run.reason_to_leave_out(exchange) {
            *tally.left_out.entry(reason).or_default() += 1;
            continue;
        }
        tally.replayed += 1;
        if let Err(difference) = run.step(exchange).await {
            tally.failed.push((exchange, difference));
        }
    }
}

/// The retention the recorded vault had, and delays that only the test's clock ends.
fn options(recording: &[Exchange]) -> Options {
    let bodies = recording.iter().map(|exchange| &exchange.body);
    let days = bodies.clone().find_map(|body| {
        let span = body["scheduledPurgeDate"].as_i64()? - body["deletedDate"].as_i64()?;
        u32::try_from(span / 86_400).ok()
    });
    let custom = bodies.clone().any(|body| body["attributes"]["recoveryLevel"] == "CustomizedRecoverable+Purgeable");
    let retention_days = days.or(custom.then_some(7));
    let delays = Options { deletion_delay: DELAY, recovery_delay: DELAY, purge_delay: DELAY, ..Options::default() };
    Options { retention_days, ..delays }
}

/// Some recordings were published without the query; what the answers hold tells the version.
fn default_query(recording: &[Exchange]) -> &'static str {
    let mut attributes = recording.iter().filter_map(|exchange| exchange.body["attributes"].as_object());
    let old = attributes.any(|attributes| !attributes.contains_key("recoverableDays"));
    if old { "api-version=7.0" } else { "api-version=7.3" }
}

/// What one recording has done so far.
struct Run {
    vault: Emulator,
    client: Client,
    default_query: &'static str,
    /// Upper-cased names the recording has created.
    created: BTreeSet<String>,
    /// Recorded to received: version ids and backup blobs.
    received: HashMap<String, String>,
    /// The last blob received, by upper-cased name.
    backups: HashMap<String, String>,
    /// Received `created` and `updated` per received version id, as last seen.
    times: HashMap<String, (Value, Value)>,
}

impl Run {
    fn new(client: &Client) -> Run {
        Run {
            vault: Emulator::in_memory("unused"),
            client: client.clone(),
            default_query: "",
            created: BTreeSet::new(),
            received: HashMap::new(),
            backups: HashMap::new(),
            times: HashMap::new(),
        }
    }

    /// Makes what stood in the recorded vault before: secrets whose first mention shows them live,
    /// managed, or deleted.
    async fn seed(&mut self, recording: &[Exchange]) {
        let mut mentioned = BTreeSet::new();
        for exchange in recording.iter().filter(|exchange| !matches!(exchange.status, 401 | 404)) {
            let Some(name) = exchange.target().0.filter(|name| mentioned.insert(name.to_uppercase())) else { continue };
            match (exchange.method.as_str(), exchange.status) {
                ("DELETE", 403) => drop(self.vault.put(name, certificate(recording, name)).unwrap()),
                ("DELETE", 200) => drop(self.client.send("PUT", &exchange.path, Some(seeded(&exchange.body))).await),
                ("DELETE", 204) => {
                    self.vault.put(name, "old".into()).unwrap();
                    self.client.send("DELETE", &format!("/secrets/{name}"), None).await;
                }
                _ => continue,
            }
            self.created.insert(name.to_uppercase());
        }
        self.vault.clock().advance(DELAY);
    }

    fn reason_to_leave_out(&self, exchange: &Exchange) -> Option<&'static str> {
        if exchange.query.contains("skiptoken") {
            return Some("a further page of a list");
        }
        let anyhow = exchange.is_list() || matches!(exchange.status, 400 | 401 | 404 | 405);
        let foreign = match exchange.target().0 {
            Some(name) => !self.created.contains(&name.to_uppercase()),
            None => exchange.is_restore() && self.blob(exchange).is_none(),
        };
        let makes = exchange.method == "PUT" && exchange.status == 200;
        if foreign && !anyhow && !makes {
            return Some("about an object the recording did not make");
        }
        (exchange.status == 400 && foreign && exchange.target().0.is_some())
            .then_some("about an object the recording did not make")
    }

    async fn step(&mut self, exchange: &Exchange) -> Result<(), String> {
        let reply = self.ask(exchange).await;
        if exchange.method == "PUT" && exchange.status == 200 {
            self.created.extend(exchange.target().0.map(str::to_uppercase));
        }
        if reply.status != exchange.status {
            return Err(format!("{}, not {}", reply.verdict(), exchange.status));
        }
        match exchange.status {
            401 => compare_challenge(exchange, &reply),
            400.. => self.compare_error(exchange, &reply),
            204 if reply.text.is_empty() && !reply.headers.contains_key("content-type") => Ok(()),
            204 => Err("a body or its header on a 204".to_owned()),
            _ if exchange.is_list() => compare_list(exchange, &reply),
            _ if exchange.path.ends_with("/backup") => {
                let blob = text(&reply.json()["value"]).to_owned();
                self.received.insert(text(&exchange.body["value"]).to_owned(), blob.clone());
                self.backups.extend(exchange.target().0.map(|name| (name.to_uppercase(), blob)));
                same("keys", &exchange.shape.0, &shape(&reply))
            }
            _ => self.compare_bundle(exchange, &reply),
        }
    }

    /// Sends a step, once more with the clock moved on where the answer is not the recorded one.
    async fn ask(&self, exchange: &Exchange) -> Reply {
        let reply = self.send(exchange).await;
        if verdict(exchange) == reply.verdict() {
            return reply;
        }
        self.vault.clock().advance(DELAY);
        self.send(exchange).await
    }

    async fn send(&self, exchange: &Exchange) -> Reply {
        let query = if exchange.query.is_empty() { self.default_query } else { &exchange.query };
        let mut path = exchange.path.clone();
        if let Some(version) = exchange.target().1.and_then(|version| self.received.get(version)) {
            path = format!("/secrets/{}/{version}", exchange.target().0.unwrap_or_default());
        }
        let stranger = self.client.with_token(None);
        let client = if exchange.status == 401 { &stranger } else { &self.client };
        client.send(&exchange.method, &format!("{path}?{query}"), self.body(exchange)).await
    }

    /// The recorded request body; where it was not published, what its answer says it was.
    fn body(&self, exchange: &Exchange) -> Option<Value> {
        match exchange.method.as_str() {
            "GET" | "DELETE" => None,
            _ if exchange.status == 401 => None,
            "POST" if exchange.is_restore() => {
                let blob = text(&exchange.req["value"]);
                Some(json!({"value": self.blob(exchange).unwrap_or(blob)}))
            }
            "POST" => None,
            _ if exchange.req.is_object() => Some(exchange.req.clone()),
            _ => Some(rebuilt(&exchange.body)),
        }
    }

    /// The received blob for a recorded one; where the request was not published, the one of the
    /// secret its answer names.
    fn blob(&self, restore: &Exchange) -> Option<&str> {
        let name = without_host(text(&restore.body["id"])).split('/').nth(2).map(str::to_uppercase);
        let recorded = self.received.get(text(&restore.req["value"]));
        recorded.or_else(|| self.backups.get(&name?)).map(String::as_str)
    }

    fn compare_error(&self, exchange: &Exchange, reply: &Reply) -> Result<(), String> {
        same("verdict", &verdict(exchange), &reply.verdict())?;
        same("keys", &exchange.shape.0, &shape(reply))?;
        let (recorded, received) = (&exchange.body["error"]["message"], &reply.json()["error"]["message"]);
        same("message", &self.mapped(text(recorded)), &without_host(text(received)))
    }

    fn compare_bundle(&mut self, exchange: &Exchange, reply: &Reply) -> Result<(), String> {
        let (recorded, received) = (&exchange.body, reply.json());
        same("keys", &exchange.shape.0, &shape(reply))?;
        for field in ["value", "contentType", "tags"] {
            same(field, &recorded[field].to_string(), &received[field].to_string())?;
        }
        for field in ["enabled", "nbf", "exp", "recoveryLevel", "recoverableDays"] {
            let of = |bundle: &Value| bundle["attributes"][field].to_string();
            same(field, &of(recorded), &of(&received))?;
        }
        let span = |bundle: &Value| Some(bundle["scheduledPurgeDate"].as_i64()? - bundle["deletedDate"].as_i64()?);
        same("retention", &format!("{:?}", span(recorded)), &format!("{:?}", span(&received)))?;
        self.compare_ids(recorded, &received)?;
        self.compare_times(exchange, &received)
    }

    /// Ids differ, but the same recorded version is always the same received one.
    fn compare_ids(&mut self, recorded: &Value, received: &Value) -> Result<(), String> {
        let version = |bundle: &Value| text(&bundle["id"]).rsplit('/').next().unwrap_or_default().to_owned();
        let (old, new) = (version(recorded), version(received));
        let known = self.received.entry(old).or_insert_with(|| new.clone()).clone();
        same("version", &known, &new)?;
        for field in ["id", "recoveryId"] {
            same(field, &self.mapped(text(&recorded[field])), &without_host(text(&received[field])))?;
        }
        Ok(())
    }

    /// Only an update moves `updated`; nothing moves `created`, a restore included.
    fn compare_times(&mut self, exchange: &Exchange, received: &Value) -> Result<(), String> {
        let attributes = &received["attributes"];
        let times = (attributes["created"].clone(), attributes["updated"].clone());
        let before = self.times.insert(text(&received["id"]).to_owned(), times.clone());
        match before {
            Some(before) if exchange.method != "PATCH" => same("times", &format!("{before:?}"), &format!("{times:?}")),
            _ => Ok(()),
        }
    }

    /// A recorded text as it should be received: without the host, with the received versions.
    fn mapped(&self, recorded: &str) -> String {
        let bare = without_host(recorded);
        let words = bare.split_inclusive(['/', '\'']);
        words
            .map(|word| {
                self.received.get(word.trim_end_matches(['/', '\''])).map_or(word.to_owned(), |new| {
                    format!("{new}{}", &word[word.trim_end_matches(['/', '\'']).len()..])
                })
            })
            .collect()
    }
}

fn compare_challenge(exchange: &Exchange, reply: &Reply) -> Result<(), String> {
    same("keys", &exchange.shape.0, &shape(reply))?;
    same("verdict", &verdict(exchange), &reply.verdict())?;
    let form = |header: &str| header.split('"').step_by(2).collect::<Vec<_>>().join("_");
    let received = reply.headers["www-authenticate"].to_str().unwrap();
    same("challenge", &form(&exchange.headers["www-authenticate"]), &form(received))
}

/// The vaults held more than the recording knows: only the envelope, and rows of the same name.
fn compare_list(exchange: &Exchange, reply: &Reply) -> Result<(), String> {
    same("keys", "{value[],nextLink}", &shape(reply))?;
    let received = reply.json();
    let id = |row: &Value| without_host(text(&row["id"]));
    for row in received["value"].as_array().unwrap() {
        let recorded = exchange.body["value"].as_array().unwrap().iter().find(|other| id(other) == id(row));
        let Some(recorded) = recorded else { continue };
        let keys = |row: &Value| serde_json::from_value::<Shape>(row.clone()).unwrap().0;
        same("row", &keys(recorded), &keys(row))?;
        same("tags", &recorded["tags"].to_string(), &row["tags"].to_string())?;
    }
    Ok(())
}

/// A request body that would have had this answer.
fn rebuilt(answer: &Value) -> Value {
    let mut body = json!({});
    for field in ["value", "contentType", "tags"] {
        if !answer[field].is_null() {
            body[field] = answer[field].clone();
        }
    }
    for field in ["enabled", "nbf", "exp"] {
        if !answer["attributes"][field].is_null() {
            body["attributes"][field] = answer["attributes"][field].clone();
        }
    }
    body
}

/// The secret of a certificate as the recording's own list shows it.
fn certificate(recording: &[Exchange], name: &str) -> NewSecret {
    let lists = recording.iter().filter(|exchange| exchange.is_list());
    let mut rows = lists.flat_map(|exchange| exchange.body["value"].as_array().unwrap());
    let row = rows.find(|row| text(&row["id"]).ends_with(&format!("/{name}"))).unwrap();
    NewSecret {
        value: "certificate".into(),
        content_type: row["contentType"].as_str().map(str::to_owned),
        tags: serde_json::from_value(row["tags"].clone()).unwrap(),
        enabled: row["attributes"]["enabled"] == true,
        not_before: row["attributes"]["nbf"].as_i64(),
        expires_on: row["attributes"]["exp"].as_i64(),
        managed: true,
    }
}

/// The same for an answer that leaves out the value.
fn seeded(answer: &Value) -> Value {
    let mut body = rebuilt(answer);
    body["value"] = json!("old");
    body
}

fn verdict(exchange: &Exchange) -> String {
    let error = &exchange.body["error"];
    let verdict = format!("{} {} {}", exchange.status, text(&error["code"]), text(&error["innererror"]["code"]));
    verdict.trim_end().to_owned()
}

fn shape(reply: &Reply) -> String {
    serde_json::from_str::<Shape>(&reply.text).unwrap_or_default().0
}

fn without_host(text: &str) -> String {
    let parts = text.split("https://").enumerate();
    parts.map(|(n, part)| if n == 0 { part } else { part.find('/').map_or("", |at| &part[at..]) }).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn same(what: &str, recorded: &str, received: &str) -> Result<(), String> {
    if recorded == received { Ok(()) } else { Err(format!("{what}: recorded {recorded}, received {received}")) }
}
