//! Own changes: known at once, and never overtaken by what was asked before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::sleep;

use super::simulated::{Simulated, numbered};
use super::{cached, listed, value};
use crate::cache::{CacheSettings, Cached, Change, ChangeKind};
use crate::vault::double::name;
use crate::vault::{Changes, NewSecret, SecretBytes, SecretName, Vault, VaultErrorKind};

fn text(value: &str) -> NewSecret {
    NewSecret::of(SecretBytes::new(value.as_bytes().to_vec()))
}

fn slow() -> (Simulated, Cached<Simulated>, SecretName) {
    let vault = Simulated::of(1);
    vault.latency(Duration::from_secs(1));
    (vault.clone(), Cached::new(vault, CacheSettings::default()), numbered(0))
}

async fn read<V: Vault>(cache: &Cached<V>, name: &SecretName) -> String {
    let secret = cache.get(name, None).await.unwrap().unwrap();
    String::from_utf8(secret.value.expose().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_get_that_was_sent_before_a_set_is_not_remembered_after_it() {
    let (vault, cache, name) = slow();
    let early = tokio::spawn({
        let (cache, name) = (cache.clone(), name.clone());
        async move { read(&cache, &name).await }
    });
    sleep(Duration::from_millis(600)).await; // the vault has looked, and its answer is on its way
    vault.latency(Duration::from_millis(100));
    cache.set(&name, text("second")).await.unwrap();
    assert_eq!(read(&cache, &name).await, "second", "whoever asks now does not join the old get");
    assert_eq!(early.await.unwrap(), "first");
    assert_eq!(read(&cache, &name).await, "second");
}

#[tokio::test(start_paused = true)]
async fn a_get_that_was_sent_before_everything_was_forgotten_is_not_remembered() {
    let (vault, cache, name) = slow();
    let early = tokio::spawn({
        let (cache, name) = (cache.clone(), name.clone());
        async move { read(&cache, &name).await }
    });
    sleep(Duration::from_millis(600)).await;
    vault.put(name.as_str(), "second");
    cache.forget_all();
    assert_eq!(early.await.unwrap(), "first");
    assert!(cache.known(&name, None).is_none());
    assert_eq!(read(&cache, &name).await, "second");
    cache.forget(&name);
    assert!(cache.known(&name, None).is_none());
}

#[tokio::test(start_paused = true)]
async fn two_sets_at_once_leave_the_question_to_the_vault() {
    let (vault, cache, name) = slow();
    read(&cache, &name).await;
    vault.asked();
    let (one, other) = tokio::join!(cache.set(&name, text("one")), cache.set(&name, text("other")));
    assert!(one.is_ok() && other.is_ok());
    assert!(cache.known(&name, None).is_none(), "which of the two is the newer?");
    read(&cache, &name).await;
    assert!(cache.known(&name, None).is_some());
    assert_eq!(vault.asked().gets, 3, "two sets and a get");
}

#[tokio::test(start_paused = true)]
async fn a_set_whose_answer_is_lost_leaves_the_question_to_the_vault() {
    let (vault, cache, name) = slow();
    read(&cache, &name).await;
    vault.trouble(Some(VaultErrorKind::TimedOut));
    cache.set(&name, text("second")).await.unwrap_err();
    assert!(cache.known(&name, None).is_none());
    vault.put(name.as_str(), "second");
    vault.trouble(None);
    assert_eq!(read(&cache, &name).await, "second");

    let lost = cache.set(&name, text("third")).now_or_never();
    assert!(lost.is_none(), "its caller has given up");
    assert!(cache.known(&name, None).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refused_set_changes_nothing_that_is_known() {
    let (vault, cache, name) = slow();
    read(&cache, &name).await;
    vault.trouble(Some(VaultErrorKind::Rejected(400)));
    cache.set(&name, text("second")).await.unwrap_err();
    assert!(cache.known(&name, None).is_some());
}

#[tokio::test(start_paused = true)]
async fn own_changes_are_in_the_listing_without_another_request() {
    let (double, cache) = cached(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(listed(&cache).await, ["a", "b", "c"]);

    cache.set(&name("d"), text("4")).await.unwrap();
    assert_eq!(listed(&cache).await, ["a", "b", "c", "d"]);
    let described = Changes { content_type: Some("text/plain".to_owned()), ..Changes::default() };
    cache.update(&name("b"), None, described).await.unwrap();
    let item = cache.known_item(&name("b")).unwrap().answer.unwrap();
    assert_eq!((item.properties.content_type.as_deref(), item.version), (Some("text/plain"), None));

    cache.delete(&name("a")).await.unwrap();
    assert_eq!(listed(&cache).await, ["b", "c", "d"]);
    assert!(cache.known_item(&name("a")).unwrap().answer.is_none());
    assert_eq!(value(&cache, "a").await, None);
    assert_eq!(double.gets(), 0, "that it is gone is known");

    cache.recover(&name("a")).await.unwrap();
    cache.restore(&SecretBytes::new(b"e".to_vec())).await.unwrap();
    let mut now = listed(&cache).await;
    now.sort();
    assert_eq!(now, ["a", "b", "c", "d", "e"]);
    assert_eq!(value(&cache, "a").await.unwrap(), "1");
    assert_eq!(double.listings.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn own_changes_show_in_a_listing_that_is_still_growing() {
    let (double, cache) = cached(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    double.shut();
    let listing = tokio::spawn({
        let cache = cache.clone();
        async move { listed(&cache).await }
    });
    double.gate.add_permits(3); // two changes, and the first page
    cache.delete(&name("c")).await.unwrap();
    cache.set(&name("e"), text("5")).await.unwrap();
    double.gate.add_permits(10);
    assert_eq!(listing.await.unwrap(), ["a", "b", "d", "e"]);
    assert_eq!(listed(&cache).await, ["a", "b", "d", "e"]);
    assert_eq!(double.listings.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn own_versions_are_in_the_listing_of_versions() {
    let (double, cache) = cached(&[("a", "1")]);
    let versions = async || -> usize {
        cache.versions(&name("a")).map(|page| page.unwrap().len()).fold(0, |sum, len| async move { sum + len }).await
    };
    assert_eq!(versions().await, 1);
    cache.set(&name("a"), text("2")).await.unwrap();
    assert_eq!(versions().await, 2);
    assert_eq!(double.listings.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_when_bytes_differ_and_what_kind_it_is() {
    let (vault, cache, name) = slow();
    let mut changes = cache.changes();
    let first = cache.get(&name, None).await.unwrap().unwrap().version;
    let second = cache.set(&name, text("second")).await.unwrap().version;
    let kinds = |kind| Change { name: name.clone(), kind };
    assert_eq!(changes.try_recv().unwrap(), kinds(ChangeKind::Value { old: first, new: second }));
    cache.set(&name, text("second")).await.unwrap();
    assert_eq!(changes.try_recv().unwrap(), kinds(ChangeKind::Properties), "the same bytes are no rotation");

    sleep(Duration::from_secs(61)).await;
    vault.alter(name.as_str(), |properties| properties.tags = Some([("file-encoding".into(), "hex".into())].into()));
    read(&cache, &name).await;
    assert!(matches!(changes.try_recv().unwrap().kind, ChangeKind::Value { .. }), "the bytes that are meant differ");
    vault.trouble(Some(VaultErrorKind::Disabled));
    sleep(Duration::from_secs(61)).await;
    cache.get(&name, None).await.unwrap_err();
    assert_eq!(changes.try_recv().unwrap(), kinds(ChangeKind::Gone));
    assert!(changes.try_recv().is_err());
}

#[test]
fn a_runtime_that_shuts_down_leaves_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let (_, cache) = cached(&[("a", "1")]);
    drop(runtime);
    let _context = handle.enter();
    let error = cache.get(&name("a"), None).now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind, VaultErrorKind::Aborted);
    assert!(cache.get_now(&name("a"), None).now_or_never().unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn values_are_bounded_by_bytes_and_wiped_when_they_leave() {
    let vault = Simulated::of(0);
    for number in 0..4 {
        vault.put(numbered(number).as_str(), &"x".repeat(100));
    }
    let cache = Cached::new(vault, CacheSettings { bytes: 250, ..CacheSettings::default() });
    let mut held = Vec::new();
    for number in 0..3 {
        held.push(Arc::downgrade(&cache.get(&numbered(number), None).await.unwrap().unwrap()));
    }
    assert_eq!(cache.0.values.held(), (2, 200));
    assert!(held[0].upgrade().is_none() && held[1].upgrade().is_some());
    cache.0.values.sweep();
    assert_eq!(cache.0.values.held(), (2, 200), "what serves in an outage stays");
    sleep(Duration::from_secs(25 * 3600)).await;
    cache.0.values.sweep();
    assert_eq!(cache.0.values.held(), (0, 0));
    assert!(held[1].upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_was_asked_for_before_a_change_proves_nothing_after_it() {
    let (vault, cache, name) = slow();
    read(&cache, &name).await;
    let other = numbered(7);
    let early = tokio::spawn({
        let cache = cache.clone();
        async move { cache.secrets().next().await.unwrap().unwrap().len() }
    });
    sleep(Duration::from_millis(600)).await; // the vault has looked, and its page is on its way
    vault.latency(Duration::from_millis(100));
    for name in [&name, &other] {
        vault.trouble_with(name.as_str(), Some(VaultErrorKind::TimedOut));
        cache.set(name, text("second")).await.unwrap_err();
        vault.put(name.as_str(), "second"); // it was done all the same
        vault.trouble_with(name.as_str(), None);
    }
    let page = cache.secrets().next().await.unwrap().unwrap();
    assert_eq!(page.len(), 2, "whoever lists now does not join the old listing");
    assert_eq!(early.await.unwrap(), 1);
    assert!(cache.known(&name, None).is_none(), "the old page shows it as it was, and does not count");
    assert_eq!(read(&cache, &name).await, "second");
}
