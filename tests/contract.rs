//! The port's rules, stated once: they hold for the embedded vault's store, for the HTTP client against
//! the embedded vault, and for the cache over that. One function per operation or pair of operations; a
//! fresh vault for each.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/store.rs"]
mod store;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use akvfs::auth::Credential;
use akvfs::cache::{CacheSettings, Cached};
use akvfs::emulator::{Emulator, Fault, NewSecret as Stored, Operation, Options, Serving};
use akvfs::vault::http::{HttpSettings, HttpVault};
use akvfs::vault::settle::{self, Settling};
use akvfs::vault::{
    Changes, Denial, Invalid, NewSecret, OutContentType, Pages, SecretBytes, SecretName, Vault, VaultError,
    VaultErrorKind, VersionId, edit_tags,
};
use futures_util::StreamExt;
use store::StoreVault;
use tokio::time::Instant;
use url::Url;

/// A vault of its own, and the way to it.
struct World {
    emulator: Emulator,
    _serving: Serving,
    _folder: tempfile::TempDir,
    client: HttpVault,
}

async fn world(options: Options) -> World {
    let emulator = Emulator::with_options("contract", options);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vault.sock");
    let serving = emulator.serve_unix(&socket).await.unwrap();
    let issuer = emulator.clone();
    let credential = Credential::issued(Box::new(move || issuer.issue_token(Duration::from_secs(300))));
    let settings = HttpSettings {
        socket: Some(socket),
        page_size: Some(2),
        max_rps: u32::MAX,
        ..HttpSettings::of(Url::parse(serving.url()).unwrap())
    };
    let client = HttpVault::new(settings, credential).unwrap();
    World { emulator, _serving: serving, _folder: folder, client }
}

/// Runs rules on one implementation of the port, made from a world.
macro_rules! rules_of {
    ($module:ident, $world:ident, $vault:expr, $options:expr, $($rule:ident)*) => {
        mod $module {
            use super::*;
            $(#[tokio::test] async fn $rule() {
                let $world = world($options).await;
                super::$rule(&$vault, &$world.emulator).await;
            })*
        }
    };
}

/// Runs rules on every implementation of the port.
macro_rules! rules {
    ($($rule:ident,)*) => {
        rules_of! { the_store, world, StoreVault::of(&world.emulator), Options::default(), $($rule)* }
        rules_of! { over_http, world, world.client, Options::default(), $($rule)* }
        rules_of! { over_the_cache, world, cached(&world), Options::default(), $($rule)* }
    };
}

/// The same in a vault that takes its time, as the real one does.
macro_rules! rules_of_time {
    ($($rule:ident,)*) => {
        rules_of! { the_store_in_time, world, StoreVault::of(&world.emulator), Options::realistic(), $($rule)* }
        rules_of! { over_http_in_time, world, world.client, Options::realistic(), $($rule)* }
        rules_of! { over_the_cache_in_time, world, cached(&world), Options::realistic(), $($rule)* }
    };
}

/// Rules of what only a vault behind HTTP can say.
macro_rules! rules_of_the_wire {
    ($($rule:ident,)*) => {
        rules_of! { over_the_wire, world, world.client, Options::default(), $($rule)* }
        rules_of! { over_the_cached_wire, world, cached(&world), Options::default(), $($rule)* }
    };
}

fn cached(world: &World) -> Cached<HttpVault> {
    let settings = CacheSettings { negative_ttl: Duration::ZERO, ..CacheSettings::default() };
    Cached::new(world.client.clone(), settings)
}

rules![
    a_set_makes_a_version_with_all_that_it_says,
    a_new_version_inherits_nothing,
    a_get_finds_versions_and_misses_what_is_not_there,
    values_come_back_byte_for_byte,
    an_update_changes_what_it_names,
    single_tags_are_edited_without_the_others,
    a_disabled_secret_is_managed_but_not_read,
    listings_are_complete,
    a_secret_is_deleted_recovered_and_purged,
    a_backup_is_restored_with_its_versions,
    a_deleted_name_is_taken,
    what_no_vault_could_hold_is_not_sent,
    a_certificates_secret_belongs_to_it,
];

rules_of_time![what_takes_its_time_is_waited_for,];

rules_of_the_wire![
    listings_are_complete_whatever_their_pages,
    what_is_being_deleted_is_waited_for_and_sent_again,
    missing_permissions_are_named,
];

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn value(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn full() -> NewSecret {
    NewSecret {
        value: value("value"),
        content_type: Some("text/plain".to_owned()),
        tags: Some(tags(&[("a", "b"), ("ключ", "värde")])),
        enabled: Some(true),
        not_before: Some(1_577_934_245),
        expires_on: Some(32_503_680_000),
    }
}

async fn set<V: Vault>(vault: &V, of: &str, text: &str) -> VersionId {
    vault.set(&name(of), NewSecret::of(value(text))).await.unwrap().version
}

async fn read<V: Vault>(vault: &V, of: &str, version: Option<VersionId>) -> Option<Vec<u8>> {
    let found = vault.get(&name(of), version).await.unwrap();
    found.map(|secret| secret.value.expose().to_vec())
}

async fn all<T: Clone>(mut pages: Pages<T>) -> Vec<T> {
    let mut items = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(!page.is_empty());
        items.extend(page.iter().cloned());
    }
    items
}

async fn names<V: Vault>(vault: &V) -> Vec<String> {
    all(vault.secrets()).await.iter().map(|item| item.name.to_string()).collect()
}

fn kind<T>(outcome: Result<T, VaultError>) -> VaultErrorKind {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind,
    }
}

async fn a_set_makes_a_version_with_all_that_it_says<V: Vault>(vault: &V, _: &Emulator) {
    let made = vault.set(&name("Full"), full()).await.unwrap();
    let got = vault.get(&name("full"), Some(made.version)).await.unwrap().unwrap();
    for secret in [made, got] {
        let properties = &secret.properties;
        assert_eq!((secret.name.as_str(), secret.value.expose()), ("Full", &b"value"[..]));
        assert_eq!((properties.content_type.as_deref(), &properties.tags), (Some("text/plain"), &full().tags));
        assert_eq!((properties.enabled, properties.managed), (true, false));
        assert_eq!((properties.not_before, properties.expires_on), (full().not_before, full().expires_on));
        assert_eq!(properties.recovery_level.as_deref(), Some("Recoverable+Purgeable"));
        assert!(properties.id.ends_with(&format!("/secrets/Full/{}", secret.version)));
    }
}

async fn a_new_version_inherits_nothing<V: Vault>(vault: &V, _: &Emulator) {
    vault.set(&name("a"), full()).await.unwrap();
    set(vault, "A", "next").await;
    let next = vault.get(&name("a"), None).await.unwrap().unwrap();
    let properties = &next.properties;
    assert_eq!((&properties.content_type, &properties.tags), (&None, &None));
    assert_eq!((properties.not_before, properties.expires_on), (None, None));
    assert_eq!(all(vault.versions(&name("a"))).await.len(), 2);
}

async fn a_get_finds_versions_and_misses_what_is_not_there<V: Vault>(vault: &V, _: &Emulator) {
    let first = set(vault, "a", "1").await;
    let second = set(vault, "a", "2").await;
    assert_eq!(read(vault, "a", None).await.as_deref(), Some(&b"2"[..]));
    assert_eq!(read(vault, "a", Some(first)).await.as_deref(), Some(&b"1"[..]));
    assert_eq!(read(vault, "A", Some(second)).await.as_deref(), Some(&b"2"[..]));
    assert_eq!(read(vault, "b", None).await, None);
    assert_eq!(read(vault, "a", VersionId::parse(&"0".repeat(32))).await, None);
    assert!(all(vault.versions(&name("b"))).await.is_empty());
    assert!(vault.update(&name("b"), None, Changes::default()).await.unwrap().is_none());
    assert!(vault.delete(&name("b")).await.unwrap().is_none());
    assert!(vault.deleted(&name("a")).await.unwrap().is_none());
    assert!(vault.recover(&name("b")).await.unwrap().is_none());
    assert!(vault.backup(&name("b")).await.unwrap().is_none());
    assert_eq!(kind(vault.purge(&name("b")).await), VaultErrorKind::Rejected(404));
}

async fn values_come_back_byte_for_byte<V: Vault>(vault: &V, _: &Emulator) {
    let longest = "x".repeat(25_600);
    for text in ["", "\n", "grün \u{1f511} \u{202e}\u{301}\r\n\t\"\\\u{0}", &longest] {
        set(vault, "a", text).await;
        assert_eq!(read(vault, "a", None).await.as_deref(), Some(text.as_bytes()));
    }
}

async fn an_update_changes_what_it_names<V: Vault>(vault: &V, _: &Emulator) {
    let version = vault.set(&name("a"), full()).await.unwrap().version;
    let changes = Changes { content_type: Some("new".to_owned()), ..Changes::default() };
    let item = vault.update(&name("a"), None, changes).await.unwrap().unwrap();
    assert_eq!((item.version, item.properties.content_type.as_deref()), (Some(version), Some("new")));
    assert_eq!((&item.properties.tags, item.properties.expires_on), (&full().tags, full().expires_on));
    let changes = Changes { tags: Some(BTreeMap::new()), expires_on: Some(2_000_000_000), ..Changes::default() };
    vault.update(&name("a"), Some(version), changes).await.unwrap().unwrap();
    let got = vault.get(&name("a"), None).await.unwrap().unwrap();
    assert_eq!(got.properties.tags, Some(BTreeMap::new()));
    assert_eq!((got.properties.expires_on, got.value.expose()), (Some(2_000_000_000), &b"value"[..]));
}

async fn single_tags_are_edited_without_the_others<V: Vault>(vault: &V, _: &Emulator) {
    let version = vault.set(&name("a"), full()).await.unwrap().version;
    let add = |tags: &mut BTreeMap<String, String>| drop(tags.insert("new".to_owned(), "1".to_owned()));
    let item = edit_tags(vault, &name("a"), Some(version), add).await.unwrap().unwrap();
    assert_eq!(item.properties.tags, Some(tags(&[("a", "b"), ("new", "1"), ("ключ", "värde")])));
    let disable = Changes { enabled: Some(false), ..Changes::default() };
    vault.update(&name("a"), None, disable).await.unwrap();
    let remove = |tags: &mut BTreeMap<String, String>| drop(tags.remove("a"));
    let item = edit_tags(vault, &name("a"), None, remove).await.unwrap().unwrap();
    assert_eq!(item.properties.tags, Some(tags(&[("new", "1"), ("ключ", "värde")])));
    assert!(edit_tags(vault, &name("b"), None, |_| ()).await.unwrap().is_none());
}

async fn a_disabled_secret_is_managed_but_not_read<V: Vault>(vault: &V, _: &Emulator) {
    let first = set(vault, "a", "1").await;
    let disabled = NewSecret { enabled: Some(false), ..NewSecret::of(value("2")) };
    let made = vault.set(&name("a"), disabled).await.unwrap();
    assert_eq!(kind(vault.get(&name("a"), Some(made.version)).await), VaultErrorKind::Disabled);
    assert_eq!(read(vault, "a", Some(first)).await.as_deref(), Some(&b"1"[..]));
    assert!(!all(vault.secrets()).await[0].properties.enabled);
    let enable = Changes { enabled: Some(true), ..Changes::default() };
    vault.update(&name("a"), None, enable).await.unwrap();
    assert_eq!(read(vault, "a", None).await.as_deref(), Some(&b"2"[..]));
}

async fn listings_are_complete<V: Vault>(vault: &V, _: &Emulator) {
    let expected: Vec<String> = (0..5).map(|at| format!("s{at}")).collect();
    for one in &expected {
        set(vault, one, "x").await;
    }
    let listed = all(vault.secrets()).await;
    assert_eq!(listed.iter().map(|item| item.name.to_string()).collect::<Vec<_>>(), expected);
    assert!(listed.iter().all(|item| item.version.is_none() && item.properties.enabled));
    versions_are_complete(vault, "s0").await;
    for one in &expected {
        vault.delete(&name(one)).await.unwrap();
    }
    let deleted = all(vault.deleted_secrets()).await;
    assert_eq!(deleted.iter().map(|deleted| deleted.item.name.to_string()).collect::<Vec<_>>(), expected);
    assert!(names(vault).await.is_empty());
}

/// Two more versions are listed beside those that were there.
async fn versions_are_complete<V: Vault>(vault: &V, of: &str) {
    let before = all(vault.versions(&name(of))).await.len();
    let ids = [set(vault, of, "y").await, set(vault, of, "z").await];
    let listed: HashSet<_> = all(vault.versions(&name(of))).await.iter().filter_map(|item| item.version).collect();
    assert_eq!(listed.len(), before + 2);
    assert!(ids.iter().all(|id| listed.contains(id)));
}

async fn listings_are_complete_whatever_their_pages<V: Vault>(vault: &V, emulator: &Emulator) {
    for fault in [Fault::EmptyPages(120), Fault::ShortPages(1)] {
        emulator.faults().queue(fault.times(u32::MAX));
        listings_are_complete(vault, emulator).await;
        emulator.faults().clear();
        for deleted in all(vault.deleted_secrets()).await {
            vault.purge(&deleted.item.name).await.unwrap();
        }
    }
}

async fn a_secret_is_deleted_recovered_and_purged<V: Vault>(vault: &V, _: &Emulator) {
    let version = set(vault, "a", "1").await;
    let deleted = vault.delete(&name("A")).await.unwrap().unwrap();
    let kept = deleted.scheduled_purge_on.unwrap() - deleted.deleted_on.unwrap();
    assert_eq!((deleted.item.name.as_str(), kept), ("a", 90 * 86_400));
    assert!(deleted.recovery_id.unwrap().ends_with("/deletedsecrets/a"));
    assert_eq!(read(vault, "a", None).await, None);
    let (a, soon) = (name("a"), Instant::now() + Duration::from_secs(5));
    let settled = settle::until_settled(soon, || settle::deletion(vault, &a)).await;
    assert!(matches!(settled, Ok(Settling::Settled(_))));
    assert_eq!(vault.recover(&name("a")).await.unwrap().unwrap().version, Some(version));
    assert!(matches!(settle::recovery(vault, &name("a")).await, Ok(Settling::Settled(()))));
    assert_eq!(read(vault, "a", None).await.as_deref(), Some(&b"1"[..]));
    assert_eq!(kind(vault.recover(&name("a")).await), VaultErrorKind::Rejected(400));
    vault.delete(&name("a")).await.unwrap();
    vault.purge(&name("a")).await.unwrap();
    assert!(vault.deleted(&name("a")).await.unwrap().is_none());
    set(vault, "a", "reborn").await;
    assert_eq!(all(vault.versions(&name("a"))).await.len(), 1);
}

async fn a_backup_is_restored_with_its_versions<V: Vault>(vault: &V, _: &Emulator) {
    let versions = [set(vault, "a", "1").await, set(vault, "a", "2").await];
    let blob = vault.backup(&name("a")).await.unwrap().unwrap();
    assert_eq!(kind(vault.restore(&blob).await), VaultErrorKind::Taken);
    vault.delete(&name("a")).await.unwrap();
    vault.purge(&name("a")).await.unwrap();
    assert_eq!(vault.restore(&blob).await.unwrap().name, name("a"));
    for (version, text) in versions.into_iter().zip(["1", "2"]) {
        assert_eq!(read(vault, "a", Some(version)).await.as_deref(), Some(text.as_bytes()));
    }
    assert_eq!(kind(vault.restore(&value("garbage")).await), VaultErrorKind::Rejected(400));
}

async fn a_deleted_name_is_taken<V: Vault>(vault: &V, _: &Emulator) {
    set(vault, "a", "1").await;
    vault.delete(&name("a")).await.unwrap();
    assert_eq!(kind(vault.set(&name("a"), NewSecret::of(value("2"))).await), VaultErrorKind::SoftDeleted);
}

async fn what_is_being_deleted_is_waited_for_and_sent_again<V: Vault>(vault: &V, emulator: &Emulator) {
    let body = r#"{"error":{"code":"Conflict","message":"","innererror":{"code":"ObjectIsBeingDeleted"}}}"#;
    emulator.faults().queue(Fault::Status { status: 409, body: body.to_owned() }.on(Operation::SetSecret));
    let a = name("a");
    let set = || vault.set(&a, NewSecret::of(value("2")));
    assert!(settle::once_settled(Instant::now() + Duration::from_secs(9), set).await.is_ok());
    let answered: Vec<_> = emulator.requests().iter().map(|seen| seen.status).collect();
    assert_eq!(answered, [401, 409, 200].map(Some));
}

async fn what_no_vault_could_hold_is_not_sent<V: Vault>(vault: &V, emulator: &Emulator) {
    let many: BTreeMap<_, _> = (0..16).map(|at| (at.to_string(), String::new())).collect();
    for (new, what) in [
        (NewSecret::of(SecretBytes::new(vec![0xFF])), Invalid::NotUtf8),
        (NewSecret::of(value(&"x".repeat(25_601))), Invalid::ValueTooLong),
        (NewSecret { content_type: Some("x".repeat(256)), ..full() }, Invalid::ContentTypeTooLong),
        (NewSecret { tags: Some(many), ..full() }, Invalid::TooManyTags),
        (NewSecret { tags: Some(tags(&[(&"x".repeat(513), "")])), ..full() }, Invalid::TagLength),
        (NewSecret { expires_on: Some(-1), ..full() }, Invalid::Date),
    ] {
        assert_eq!(kind(vault.set(&name("a"), new).await), VaultErrorKind::Invalid(what));
    }
    let changes = Changes { content_type: Some("x".repeat(256)), ..Changes::default() };
    assert_eq!(
        kind(vault.update(&name("a"), None, changes).await),
        VaultErrorKind::Invalid(Invalid::ContentTypeTooLong)
    );
    assert!(emulator.requests().is_empty());
}

async fn a_certificates_secret_belongs_to_it<V: Vault>(vault: &V, emulator: &Emulator) {
    emulator.seed_demo().unwrap();
    let certificate = name("web-certificate-pem");
    let got = vault.get(&certificate, None).await.unwrap().unwrap();
    assert!(got.properties.managed);
    let pem = vault.get_as(&certificate, None, OutContentType::Pem).await.unwrap().unwrap();
    assert!(std::str::from_utf8(pem.value.expose()).unwrap().contains("-----BEGIN CERTIFICATE-----"));
    let managed = VaultErrorKind::Denied(Denial::Managed);
    assert_eq!(kind(vault.set(&certificate, NewSecret::of(value("x"))).await), managed);
    assert_eq!(kind(vault.delete(&certificate).await), managed);
    set(vault, "text", "x").await;
    let converted = vault.get_as(&name("text"), None, OutContentType::Pem).await;
    assert_eq!(kind(converted), VaultErrorKind::Rejected(400));
}

async fn missing_permissions_are_named<V: Vault>(vault: &V, emulator: &Emulator) {
    emulator.put("a", Stored::from("x")).unwrap();
    for code in ["ForbiddenByRbac", "ForbiddenByPolicy", "AccessDenied"] {
        let body = format!(r#"{{"error":{{"code":"Forbidden","message":"","innererror":{{"code":"{code}"}}}}}}"#);
        emulator.faults().queue(Fault::Status { status: 403, body });
        let error = vault.backup(&name("a")).await.unwrap_err();
        let VaultErrorKind::Denied(denial) = error.kind else { panic!("{error}") };
        assert!(denial.is_permission());
        assert!(error.to_string().contains("\"backup\"") && error.to_string().contains(code), "{error}");
    }
}

async fn what_takes_its_time_is_waited_for<V: Vault>(vault: &V, emulator: &Emulator) {
    let (a, options) = (name("a"), Options::realistic());
    set(vault, "a", "1").await;
    vault.delete(&a).await.unwrap();
    assert!(matches!(settle::deletion(vault, &a).await, Ok(Settling::UnderWay)));
    assert_eq!(kind(vault.set(&a, NewSecret::of(value("2"))).await), VaultErrorKind::Conflict);
    assert_eq!(kind(vault.purge(&a).await), VaultErrorKind::Conflict);
    emulator.clock().advance(options.deletion_delay);
    assert!(matches!(settle::deletion(vault, &a).await, Ok(Settling::Settled(_))));
    vault.recover(&a).await.unwrap();
    assert!(matches!(settle::recovery(vault, &a).await, Ok(Settling::UnderWay)));
    assert_eq!(kind(vault.set(&a, NewSecret::of(value("2"))).await), VaultErrorKind::Conflict);
    emulator.clock().advance(options.recovery_delay);
    assert!(matches!(settle::recovery(vault, &a).await, Ok(Settling::Settled(()))));
}
