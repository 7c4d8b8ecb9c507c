//! While the vault cannot be asked, and when it says no.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{advance, sleep};

use super::simulated::{Simulated, numbered};
use crate::cache::{CacheSettings, Cached};
use crate::vault::{Denial, Permission, Secret, SecretName, TokenRefusal, Vault, VaultErrorKind};

const TTL: Duration = Duration::from_secs(60);

fn cached(secrets: usize, settings: CacheSettings) -> (Simulated, Cached<Simulated>) {
    let vault = Simulated::of(secrets);
    (vault.clone(), Cached::new(vault, settings))
}

async fn read(cache: &Cached<Simulated>, name: &SecretName) -> Result<Option<String>, VaultErrorKind> {
    let text = |secret: std::sync::Arc<Secret>| String::from_utf8(secret.value.expose().to_vec()).unwrap();
    cache.get(name, None).await.map(|found| found.map(text)).map_err(|error| error.kind)
}

fn outages() -> Vec<VaultErrorKind> {
    vec![
        VaultErrorKind::Unauthenticated(TokenRefusal::Unsaid),
        VaultErrorKind::NoToken("test".into()),
        VaultErrorKind::Denied(Denial::Firewall),
        VaultErrorKind::Throttled(None),
        VaultErrorKind::Server(503),
        VaultErrorKind::Unreachable("test".into()),
        VaultErrorKind::TimedOut,
        VaultErrorKind::NotKeyVault("test".into()),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_answer_and_the_value_is_served_with_its_age() {
    for outage in outages() {
        let (vault, cache) = cached(1, CacheSettings::default());
        let name = numbered(0);
        assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "first");
        vault.trouble(Some(outage.clone()));
        sleep(Duration::from_secs(3600)).await;
        assert!(cache.known(&name, None).is_none(), "the vault is to be asked");
        assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "first", "{outage:?}");
        assert!(cache.known(&name, None).unwrap().answer.is_ok(), "and not again at once: {outage:?}");
        assert_eq!(cache.age(&name, None).unwrap().as_secs(), 3600, "{outage:?}");
        assert!(cache.counts().stale >= 2, "{outage:?}");

        vault.put(name.as_str(), "second");
        vault.trouble(None);
        sleep(TTL).await;
        assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "second", "{outage:?}");
        assert_eq!(cache.age(&name, None).unwrap().as_secs(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_definite_no_ends_it_at_once() {
    for no in [VaultErrorKind::Disabled, VaultErrorKind::Denied(Denial::Role(Permission::Get))] {
        let (vault, cache) = cached(1, CacheSettings::default());
        let name = numbered(0);
        let held = std::sync::Arc::downgrade(&cache.get(&name, None).await.unwrap().unwrap());
        vault.trouble(Some(no.clone()));
        sleep(TTL).await;
        assert_eq!(read(&cache, &name).await, Err(no.clone()));
        assert!(held.upgrade().is_none(), "it has been wiped");
        vault.trouble(Some(VaultErrorKind::Server(500)));
        sleep(TTL).await;
        assert_eq!(read(&cache, &name).await, Err(VaultErrorKind::Server(500)), "nothing is left to serve");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_believed_to_be_gone_when_the_vault_says_so_twice() {
    let (vault, cache) = cached(1, CacheSettings::default());
    let name = numbered(0);
    read(&cache, &name).await.unwrap();
    vault.remove(name.as_str());
    sleep(TTL).await;
    vault.asked();
    assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "first");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "first");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(read(&cache, &name).await, Ok(None));
    assert_eq!(vault.asked().gets, 2, "the second get needs no reader");

    // An answer in between takes the first one back.
    vault.put(name.as_str(), "again");
    sleep(TTL).await;
    read(&cache, &name).await.unwrap();
    vault.remove(name.as_str());
    sleep(TTL).await;
    read(&cache, &name).await.unwrap();
    vault.put(name.as_str(), "third");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "third");
}

#[tokio::test(start_paused = true)]
async fn a_limit_to_the_age_is_kept_and_none_is_none() {
    let hour = Duration::from_secs(3600);
    for (stale_if_error, after, served) in [
        (hour, hour, true),
        (hour, hour + TTL, false),
        (Duration::ZERO, TTL, false),
        (CacheSettings::FOREVER, 9000 * hour, true),
    ] {
        let (vault, cache) = cached(1, CacheSettings { stale_if_error, ..CacheSettings::default() });
        read(&cache, &numbered(0)).await.unwrap();
        vault.trouble(Some(VaultErrorKind::Server(500)));
        sleep(after + Duration::from_secs(1)).await;
        assert_eq!(read(&cache, &numbered(0)).await.is_ok(), served, "{stale_if_error:?} {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_strict_mount_believes_the_first_absence() {
    let (vault, cache) = cached(1, CacheSettings { stale_if_error: Duration::ZERO, ..CacheSettings::default() });
    read(&cache, &numbered(0)).await.unwrap();
    vault.remove(numbered(0).as_str());
    sleep(TTL).await;
    assert_eq!(read(&cache, &numbered(0)).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_hangs_keeps_readers_two_seconds_and_the_next_ones_not() {
    let (vault, cache) = cached(1, CacheSettings::default());
    let name = numbered(0);
    read(&cache, &name).await.unwrap();
    sleep(TTL).await;
    vault.latency(Duration::from_secs(10));
    let began = tokio::time::Instant::now();
    assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "first");
    assert_eq!(began.elapsed().as_secs(), 2);
    assert!(read(&cache, &name).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn one_broken_secret_does_not_keep_the_others_from_being_asked_for() {
    let (vault, cache) = cached(3, CacheSettings::default());
    for number in 0..3 {
        read(&cache, &numbered(number)).await.unwrap();
    }
    vault.trouble_with(numbered(0).as_str(), Some(VaultErrorKind::Server(500)));
    sleep(TTL).await;
    vault.put(numbered(1).as_str(), "second");
    assert_eq!(read(&cache, &numbered(0)).await.unwrap().unwrap(), "first");
    assert_eq!(read(&cache, &numbered(1)).await.unwrap().unwrap(), "second");
    assert_eq!(read(&cache, &numbered(0)).await.unwrap().unwrap(), "first");
}

#[tokio::test(start_paused = true)]
async fn a_forced_get_asks_and_a_thousand_at_once_ask_twice() {
    let (vault, cache) = cached(1, CacheSettings::default());
    let name = numbered(0);
    read(&cache, &name).await.unwrap();
    vault.put(name.as_str(), "second");
    vault.asked();
    let forced = async || cache.get_now(&name, None).await.unwrap().unwrap().value.expose().to_vec();
    assert_eq!(forced().await, b"second");
    assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "second", "and what it brings is remembered");
    assert_eq!(vault.asked().gets, 1);

    let all = join_all((0..1000).map(|_| forced())).await;
    assert!(all.iter().all(|value| value == b"second"));
    assert_eq!(vault.asked().gets, 2, "the first, and one for all that came while it was under way");
    vault.trouble(Some(VaultErrorKind::Server(500)));
    assert!(cache.get_now(&name, None).await.is_err(), "an outage is told");
    assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "second", "and costs nothing that is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_forced_get_does_not_settle_for_one_that_was_sent_before() {
    let (vault, cache) = cached(1, CacheSettings::default());
    let name = numbered(0);
    vault.latency(Duration::from_millis(100));
    let early = tokio::spawn({
        let (cache, name) = (cache.clone(), name.clone());
        async move { cache.get_now(&name, None).await.unwrap().unwrap().value.expose().to_vec() }
    });
    sleep(Duration::from_millis(60)).await; // the vault has looked
    vault.put(name.as_str(), "second");
    assert_eq!(cache.get_now(&name, None).await.unwrap().unwrap().value.expose(), b"second");
    assert_eq!(early.await.unwrap(), b"first");
    advance(Duration::from_millis(1)).await;
    assert_eq!(read(&cache, &name).await.unwrap().unwrap(), "second");
}
