//! Listings that are renewed, refused, or slow.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::{advance, sleep};

use super::{NEGATIVE_TTL, TTL, cached, cached_for, listed};
use crate::vault::double::name;
use crate::vault::{Denial, Permission, Vault, VaultError, VaultErrorKind};

#[tokio::test(start_paused = true)]
async fn the_old_listing_is_served_until_the_new_one_is_complete() {
    let (double, cache) = cached(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(listed(&cache).await, ["a", "b", "c"]);
    advance(TTL).await;
    double.put("d", "4");
    double.shut();
    double.gate.add_permits(1); // the first of two pages
    assert_eq!(listed(&cache).await, ["a", "b", "c"]);
    assert_eq!(listed(&cache).await, ["a", "b", "c"], "the request goes on, and nobody sends another");
    assert_eq!(double.listings.load(Ordering::SeqCst), 2);
    double.gate.add_permits(1);
    assert_eq!(listed(&cache).await, ["a", "b", "c", "d"]);
    assert!(cache.known_item(&name("d")).unwrap().answer.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refused_listing_is_remembered_for_a_moment() {
    let (double, cache) = cached(&[("a", "1")]);
    *double.error.lock() = Some(VaultError::of(VaultErrorKind::Denied(Denial::Role(Permission::Get))));
    for _ in 0..3 {
        assert!(cache.secrets().next().await.unwrap().is_err());
        assert!(cache.versions(&name("a")).next().await.unwrap().is_err());
    }
    assert_eq!(double.listings.load(Ordering::SeqCst), 2);
    *double.error.lock() = None;
    advance(NEGATIVE_TTL).await;
    assert_eq!(listed(&cache).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows_the_old_listing_and_a_refusal_does_not() {
    let (double, cache) = cached(&[("a", "1"), ("b", "2")]);
    listed(&cache).await;
    advance(TTL).await;
    *double.error.lock() = Some(VaultError::of(VaultErrorKind::Unreachable("test".into())));
    for _ in 0..3 {
        assert_eq!(listed(&cache).await, ["a", "b"]);
    }
    assert_eq!(double.listings.load(Ordering::SeqCst), 2, "one request finds out");
    assert_eq!(cache.age_of_listing().unwrap().as_secs(), TTL.as_secs());
    assert!(cache.known_item(&name("a")).unwrap().answer.is_some(), "and its names are known");

    *double.error.lock() = Some(VaultError::of(VaultErrorKind::Denied(Denial::Role(Permission::Get))));
    advance(TTL).await;
    assert!(cache.secrets().next().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_listing_whose_reader_gives_up_comes_to_its_end() {
    let (double, cache) = cached(&[("a", "1"), ("b", "2"), ("c", "3")]);
    double.shut();
    assert!(cache.secrets().next().now_or_never().is_none());
    double.gate.add_permits(10);
    sleep(Duration::from_millis(1)).await;
    assert!(cache.known_item(&name("c")).unwrap().answer.is_some());
}

#[test]
fn pages_can_be_taken_outside_of_the_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_, cache) = {
        let _context = runtime.enter();
        cached_for(Duration::ZERO, &[("a", "1")])
    };
    runtime.block_on(listed(&cache));
    let mut pages = {
        let _context = runtime.enter();
        cache.secrets()
    };
    let page = loop {
        // As the thread does that serves the kernel.
        if let Some(page) = pages.next().now_or_never() {
            break page;
        }
        std::thread::yield_now();
    };
    assert_eq!(page.unwrap().unwrap().len(), 1);
}
