//! The cache over a double and over a simulated vault, in paused time.

mod changes;
mod freshness;
mod listings;
mod load;
mod outage;
mod simulated;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::{advance, pause};

use super::{CacheSettings, Cached};
use crate::vault::double::{Double, name};
use crate::vault::{NewSecret, SecretBytes, Vault, VaultError, VaultErrorKind};

const TTL: Duration = Duration::from_secs(60);
const NEGATIVE_TTL: Duration = Duration::from_secs(5);

fn cached(secrets: &[(&str, &str)]) -> (Double, Cached<Double>) {
    cached_for(TTL, secrets)
}

fn cached_for(ttl: Duration, secrets: &[(&str, &str)]) -> (Double, Cached<Double>) {
    let double = Double::with(secrets);
    let settings = CacheSettings { ttl, negative_ttl: NEGATIVE_TTL, entries: 2, ..CacheSettings::default() };
    (double.clone(), Cached::new(double, settings))
}

async fn value(cache: &Cached<Double>, of: &str) -> Option<String> {
    let secret = cache.get(&name(of), None).await.unwrap()?;
    Some(String::from_utf8(secret.value.expose().to_vec()).unwrap())
}

async fn listed(cache: &Cached<Double>) -> Vec<String> {
    let pages = cache.secrets().map(Result::unwrap).collect::<Vec<_>>().await;
    pages.iter().flat_map(|page| page.iter()).map(|item| item.name.to_string()).collect()
}

#[tokio::test]
async fn a_value_is_served_for_its_ttl_and_asked_for_after_it() {
    pause();
    let (double, cache) = cached(&[("db", "old")]);
    assert_eq!(value(&cache, "db").await.unwrap(), "old");
    double.put("db", "new");
    advance(TTL - Duration::from_secs(1)).await;
    assert_eq!(value(&cache, "DB").await.unwrap(), "old");
    assert_eq!(cache.known(&name("db"), None).unwrap().fresh_for, Duration::from_secs(1));
    advance(Duration::from_secs(1)).await;
    assert!(cache.known(&name("db"), None).is_none());
    assert_eq!(value(&cache, "db").await.unwrap(), "new");
    assert_eq!(double.gets(), 2);
}

#[tokio::test]
async fn the_newest_version_is_known_by_its_number_too() {
    let (double, cache) = cached(&[("db", "x")]);
    let secret = cache.get(&name("db"), None).await.unwrap().unwrap();
    assert!(cache.get(&name("db"), Some(secret.version)).await.unwrap().is_some());
    assert_eq!(double.gets(), 1);
}

#[tokio::test]
async fn concurrent_readers_share_one_request_and_it_outlives_them() {
    let (double, cache) = cached(&[("db", "x")]);
    double.shut();
    let readers: Vec<_> = (0..1000).map(|_| value(&cache, "db").boxed()).collect();
    let mut readers = futures_util::future::join_all(readers);
    assert!((&mut readers).now_or_never().is_none());
    drop(readers);
    double.gate.add_permits(1);
    assert_eq!(value(&cache, "db").await.unwrap(), "x");
    assert_eq!(double.gets(), 1);
}

#[tokio::test]
async fn absence_and_refusal_are_remembered_for_a_moment_and_an_outage_is_not() {
    pause();
    let (double, cache) = cached(&[]);
    for _ in 0..3 {
        assert_eq!(value(&cache, "absent").await, None);
    }
    assert_eq!(double.gets(), 1);
    double.put("absent", "here");
    advance(NEGATIVE_TTL).await;
    assert_eq!(value(&cache, "absent").await.unwrap(), "here");

    for (kind, asked) in [(VaultErrorKind::Disabled, 1), (VaultErrorKind::Server(503), 3)] {
        let (double, cache) = cached(&[("db", "x")]);
        *double.error.lock() = Some(VaultError::of(kind.clone()));
        for _ in 0..3 {
            assert_eq!(cache.get(&name("db"), None).await.unwrap_err().kind, kind);
        }
        assert_eq!(double.gets(), asked, "{kind:?}");
    }
}

#[tokio::test]
async fn the_least_recently_used_value_leaves_first_and_is_dropped() {
    let (double, cache) = cached(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let first = Arc::downgrade(&cache.get(&name("a"), None).await.unwrap().unwrap());
    value(&cache, "b").await;
    assert!(first.upgrade().is_some());
    value(&cache, "c").await;
    assert!(first.upgrade().is_none(), "its value has been wiped");
    value(&cache, "b").await;
    assert_eq!(double.gets(), 3);
}

#[tokio::test]
async fn a_listing_is_shared_while_it_grows_and_for_its_ttl_after() {
    pause();
    let (double, cache) = cached(&[("a", "1"), ("b", "2"), ("c", "3")]);
    double.shut();
    let mut early = cache.secrets();
    assert!(early.next().now_or_never().is_none());
    double.gate.add_permits(1);
    assert_eq!(early.next().await.unwrap().unwrap().len(), 2);
    assert!(cache.known_item(&name("A")).unwrap().answer.is_some());
    assert!(cache.known_item(&name("absent")).is_none(), "the listing has not ended");
    double.gate.add_permits(10);
    assert_eq!(listed(&cache).await, ["a", "b", "c"]);
    assert_eq!(early.next().await.unwrap().unwrap().len(), 1);
    assert!(early.next().await.is_none());
    assert!(cache.known_item(&name("absent")).unwrap().answer.is_none());
    assert_eq!(double.listings.load(Ordering::SeqCst), 1);

    advance(NEGATIVE_TTL).await;
    assert!(cache.known_item(&name("absent")).is_none(), "it may have been made since");
    assert!(cache.known_item(&name("a")).is_some());
    advance(TTL).await;
    assert!(cache.known_item(&name("a")).is_none());
    double.put("d", "4");
    assert_eq!(listed(&cache).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_listing_that_fails_is_an_error_to_all_its_readers_and_then_begun_anew() {
    let (double, cache) = cached(&[("a", "1")]);
    *double.error.lock() = Some(VaultError::of(VaultErrorKind::Server(500)));
    for _ in 0..2 {
        let pages: Vec<_> = cache.secrets().collect().await;
        assert_eq!(pages.len(), 1, "an error is the last thing a listing says");
        assert!(pages[0].is_err());
    }
    *double.error.lock() = None;
    assert_eq!(listed(&cache).await, ["a"]);
}

#[tokio::test]
async fn what_was_set_is_known_at_once() {
    let (double, cache) = cached(&[("a", "1")]);
    listed(&cache).await;
    value(&cache, "a").await;
    for (secret, new) in [("a", "2"), ("b", "3")] {
        cache.set(&name(secret), NewSecret::of(SecretBytes::new(new.as_bytes().to_vec()))).await.unwrap();
        assert_eq!(value(&cache, secret).await.unwrap(), new);
    }
    assert_eq!(double.gets(), 1);
    assert_eq!(listed(&cache).await, ["a", "b"]);
}
