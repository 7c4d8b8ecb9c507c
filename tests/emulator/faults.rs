//! Faults befall the requests they name, as often as they say.

use std::time::{Duration, Instant};

use akvfs::emulator::{Fault, Operation, RetryAfter};
use reqwest::Method;

use crate::client::empty;

#[tokio::test]
async fn a_hanging_request_is_answered_when_released() {
    let served = empty().await;
    served.vault.put("a", "1".into()).unwrap();
    served.vault.faults().queue(Fault::Hang.on(Operation::GetSecret));
    let client = served.client.clone();
    let asked = tokio::spawn(async move { client.get("/secrets/a").await });
    served.vault.faults().until_hanging(1).await;
    assert_eq!(served.vault.requests()[0].status, None);
    served.vault.faults().release();
    assert_eq!(asked.await.unwrap().status, 200);
}

#[tokio::test]
async fn latency_delays_and_changes_nothing() {
    let served = empty().await;
    let span = Duration::from_millis(120);
    served.vault.faults().queue(Fault::Latency(span));
    let start = Instant::now();
    assert_eq!(served.client.get("/secrets").await.status, 200);
    assert!(start.elapsed() >= span);
}

#[tokio::test]
async fn statuses_come_as_asked_and_nothing_is_carried_out() {
    let served = empty().await;
    let faults = served.vault.faults();
    faults.queue(Fault::Status { status: 503, body: String::new() }.on(Operation::SetSecret).times(2));
    assert_eq!(served.client.put("/secrets/a", "1").await.verdict(), "503 Injected");
    assert_eq!(served.client.put("/secrets/a", "1").await.status, 503);
    assert_eq!(served.client.get("/secrets/a").await.status, 404);
    faults.queue(Fault::Throttled(None));
    let throttled = served.client.get("/secrets").await;
    assert_eq!(throttled.verdict(), "429 Throttled");
    assert!(!throttled.headers.contains_key("retry-after"));
    faults.queue(Fault::Throttled(Some(RetryAfter::Seconds(7))));
    assert_eq!(served.client.get("/secrets").await.headers["retry-after"], "7");
}

#[tokio::test]
async fn a_write_can_happen_and_its_answer_be_lost() {
    let served = empty().await;
    served.vault.faults().queue(Fault::Reset.on(Operation::SetSecret).after_effect());
    let body = serde_json::json!({"value": "1"});
    let lost = served.client.try_send(Method::PUT, "/secrets/a?api-version=7.6", Some(&body)).await;
    assert!(lost.is_err());
    assert_eq!(served.client.get("/secrets/a").await.json()["value"], "1");
}

#[tokio::test]
async fn answers_are_cut_garbled_and_bloated() {
    let served = empty().await;
    served.vault.put("a", "1".into()).unwrap();
    let faults = served.vault.faults();
    for fault in [Fault::Reset, Fault::TruncatedBody] {
        faults.queue(fault.clone());
        let cut = served.client.try_send(Method::GET, "/secrets/a?api-version=7.6", None).await;
        assert!(cut.is_err(), "{fault:?}");
    }
    faults.queue(Fault::BadJson);
    let garbled = served.client.get("/secrets/a").await;
    assert!(garbled.status == 200 && garbled.json().is_null());
    faults.queue(Fault::Html);
    assert!(served.client.get("/secrets/a").await.text.starts_with("<!DOCTYPE"));
    faults.queue(Fault::Oversize(1 << 20));
    assert!(served.client.get("/secrets/a").await.text.len() > 1 << 20);
    assert_eq!(served.client.get("/secrets/a").await.json()["value"], "1");
}

#[tokio::test]
async fn lists_hold_empty_and_short_pages() {
    let served = empty().await;
    for name in ["a", "b", "c"] {
        served.vault.put(name, name.into()).unwrap();
    }
    served.vault.faults().queue(Fault::EmptyPages(120).times(u32::MAX));
    let pages = served.client.pages("/secrets").await;
    assert_eq!(pages.len(), 121);
    assert!(pages[..120].iter().all(|page| page["value"] == serde_json::json!([])));
    served.vault.faults().clear();
    served.vault.faults().queue(Fault::ShortPages(1).times(u32::MAX));
    assert_eq!(served.client.pages("/secrets").await.len(), 3);
    assert_eq!(served.client.ids("/secrets").await, ["a", "b", "c"]);
}
