//! What the background keeps fresh, and how it finds out what has changed.

use std::time::Duration;

use tokio::time::sleep;

use super::simulated::{Simulated, numbered};
use crate::cache::{CacheSettings, Cached};
use crate::vault::{Denial, Permission, SecretName, Vault, VaultErrorKind};

const TTL: Duration = Duration::from_secs(60);

/// A vault, a mount that keeps it fresh, and some secrets read once.
async fn kept_fresh(secrets: usize, hot: usize) -> (Simulated, Cached<Simulated>) {
    let vault = Simulated::of(secrets);
    let cache = Cached::new(vault.clone(), CacheSettings::default());
    tokio::spawn(cache.clone().keep_fresh());
    read_all(&cache, hot).await;
    (vault, cache)
}

async fn read(cache: &Cached<Simulated>, name: &SecretName) -> Option<String> {
    let secret = cache.get(name, None).await.unwrap()?;
    Some(String::from_utf8(secret.value.expose().to_vec()).unwrap())
}

async fn read_all(cache: &Cached<Simulated>, hot: usize) {
    for number in 0..hot {
        read(cache, &numbered(number)).await;
    }
}

/// Reads some secrets once a second, for so long.
async fn reading(cache: &Cached<Simulated>, hot: usize, seconds: u64) {
    for _ in 0..seconds {
        sleep(Duration::from_secs(1)).await;
        read_all(cache, hot).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_stays_fresh_and_what_is_not_costs_nothing() {
    let (vault, cache) = kept_fresh(10, 2).await;
    reading(&cache, 1, 300).await;
    let misses = cache.counts().misses;
    assert_eq!(misses, 2, "no reader has waited since the first reads");
    assert!(cache.known(&numbered(0), None).is_some());
    assert!(cache.known(&numbered(1), None).is_none());
    sleep(TTL * 2).await;
    vault.asked();
    sleep(TTL * 10).await;
    assert_eq!(vault.asked().requests(), 0, "nobody reads");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_once_is_kept_fresh_for_as_long_as_that_is_wanted() {
    let vault = Simulated::of(10);
    let settings = CacheSettings { keep_fresh: TTL * 10, ..CacheSettings::default() };
    let cache = Cached::new(vault.clone(), settings);
    tokio::spawn(cache.clone().keep_fresh());
    cache.get(&numbered(1), None).await.unwrap();
    sleep(TTL * 9).await;
    vault.put(numbered(1).as_str(), "second");
    let mut changes = cache.changes();
    sleep(TTL).await;
    assert_eq!(changes.try_recv().unwrap().name, numbered(1));
    sleep(TTL * 2).await;
    vault.asked();
    sleep(TTL * 10).await;
    assert_eq!(vault.asked().requests(), 0, "nobody has read it for longer than that");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_noticed_within_the_ttl() {
    for (secrets, hot) in [(200, 3), (200, 50)] {
        let (vault, cache) = kept_fresh(secrets, hot).await;
        reading(&cache, hot, 90).await;
        vault.put(numbered(1).as_str(), "second");
        let mut changes = cache.changes();
        reading(&cache, hot, 61).await;
        assert_eq!(cache.known(&numbered(1), None).unwrap().answer.unwrap().unwrap().value.expose(), b"second");
        assert_eq!(changes.try_recv().unwrap().name, numbered(1));
        assert!(changes.try_recv().is_err(), "once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_made_where_gets_would_cost_more_and_not_where_it_would() {
    let (vault, cache) = kept_fresh(200, 50).await;
    reading(&cache, 50, 240).await;
    vault.asked();
    reading(&cache, 50, 600).await;
    let asked = vault.asked();
    assert!(asked.pages >= 8 * 10 && asked.gets <= 12, "{asked:?}");

    let (vault, cache) = kept_fresh(200, 5).await;
    reading(&cache, 5, 240).await;
    vault.asked();
    reading(&cache, 5, 600).await;
    let asked = vault.asked();
    assert!(asked.pages == 0 && asked.gets <= 5 * 12, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_unknown_length_is_given_up_when_it_costs_more_than_gets() {
    let (vault, cache) = kept_fresh(2000, 5).await;
    vault.asked();
    reading(&cache, 5, 60).await;
    assert_eq!(vault.asked().pages, 4, "as many as the other hot values");
    reading(&cache, 5, 600).await;
    assert_eq!(vault.asked().pages, 0, "that is remembered");
}

#[tokio::test(start_paused = true)]
async fn two_sets_within_one_second_are_not_missed() {
    let (vault, cache) = kept_fresh(100, 50).await;
    reading(&cache, 50, 90).await;
    // The listing shows the first of them, the get brings it, and the other one has the same `updated`.
    let name = numbered(7);
    vault.alter(name.as_str(), |properties| {
        (properties.updated_on, properties.created_on) = (4_000_000_000, 4_000_000_000)
    });
    vault.put(name.as_str(), "second");
    vault.alter(name.as_str(), |properties| {
        (properties.updated_on, properties.created_on) = (4_000_000_000, 4_000_000_000)
    });
    let mut noticed = false;
    for _ in 0..61 {
        reading(&cache, 50, 1).await;
        if !noticed && read(&cache, &name).await.unwrap() == "second" {
            noticed = true;
            vault.put(name.as_str(), "third");
            vault.alter(name.as_str(), |properties| {
                (properties.updated_on, properties.created_on) = (4_000_000_000, 4_000_000_000);
            });
        }
    }
    assert!(noticed);
    reading(&cache, 50, 61).await;
    assert_eq!(read(&cache, &name).await.unwrap(), "third");
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_taken_away_is_noticed_within_the_ttl_though_listings_are_not() {
    let (vault, cache) = kept_fresh(100, 50).await;
    reading(&cache, 50, 90).await;
    for number in 0..100 {
        vault.trouble_with(numbered(number).as_str(), Some(VaultErrorKind::Denied(Denial::Role(Permission::Get))));
    }
    for _ in 0..61 {
        sleep(Duration::from_secs(1)).await;
        for number in 0..50 {
            let _ = cache.get(&numbered(number), None).await;
        }
    }
    for number in 0..50 {
        assert!(cache.get(&numbered(number), None).await.is_err(), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_listings_are_refused_each_value_is_got() {
    let (vault, cache) = kept_fresh(100, 30).await;
    vault.trouble_with_listings(VaultErrorKind::Denied(Denial::Role(Permission::Get)));
    reading(&cache, 30, 90).await;
    vault.asked();
    reading(&cache, 30, 300).await;
    let asked = vault.asked();
    assert_eq!(asked.pages, 0, "that is remembered");
    assert!((30 * 5..=30 * 6).contains(&asked.gets), "{asked:?}");
    assert_eq!(cache.counts().misses, 30);
}

#[tokio::test(start_paused = true)]
async fn an_own_change_is_not_undone_by_a_listing_that_was_begun_before() {
    let (vault, cache) = kept_fresh(100, 50).await;
    vault.latency(Duration::from_secs(2));
    vault.asked();
    for second in 0.. {
        sleep(Duration::from_secs(1)).await;
        if vault.asked().pages > 0 {
            break; // the first page has been seen, and has no such secret
        }
        assert!(second < 120);
    }
    let first = crate::vault::double::name("aaa");
    let new = crate::vault::NewSecret::of(crate::vault::SecretBytes::new(b"new".to_vec()));
    cache.set(&first, new).await.unwrap();
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        assert!(cache.known_item(&first).is_none_or(|known| known.answer.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_expires_is_asked_for_again_when_it_does() {
    let vault = Simulated::of(1);
    let cache = Cached::new(vault.clone(), CacheSettings::default());
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    vault.alter(numbered(0).as_str(), |properties| properties.expires_on = Some(now + 20));
    read(&cache, &numbered(0)).await;
    let fresh_for = cache.known(&numbered(0), None).unwrap().fresh_for.as_secs();
    assert!((15..=20).contains(&fresh_for), "{fresh_for}");
}
