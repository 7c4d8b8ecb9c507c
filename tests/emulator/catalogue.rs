//! The limits, and what each api-version changes.

use akvfs::emulator::{Emulator, NewSecret, Options};
use serde_json::{Value, json};

use crate::client::{Served, empty, serve};

async fn set(served: &Served, body: Value) -> String {
    served.client.send("PUT", "/secrets/a", Some(body)).await.verdict()
}

#[tokio::test]
async fn writes_are_held_to_the_limits() {
    let served = empty().await;
    let tags = |count: usize, length: usize| {
        let pairs = (0..count).map(|n| (format!("tag{n}"), json!("x".repeat(length))));
        Value::Object(pairs.collect())
    };
    let text = |length: usize| "x".repeat(length);
    for (body, verdict) in [
        (json!({"value": text(25_600)}), "200"),
        (json!({"value": text(25_601)}), "400 BadParameter"),
        (json!({"value": "", "contentType": text(255), "tags": tags(15, 512)}), "200"),
        (json!({"value": "", "contentType": text(256)}), "400 BadParameter"),
        (json!({"value": "", "tags": tags(16, 1)}), "400 BadParameter"),
        (json!({"value": "", "tags": tags(1, 513)}), "400 BadParameter"),
        (json!({"value": null}), "400 BadParameter"),
        (json!({}), "400 BadParameter"),
        (json!({"value": 1}), "400 BadParameter"),
        (json!([]), "400 BadParameter"),
        (json!({"value": "", "unknown": {"field": 1}, "attributes": {"created": 7}}), "200"),
    ] {
        assert_eq!(set(&served, body.clone()).await, verdict, "{body:.80}");
    }
    assert_eq!(served.client.send("PUT", "/secrets/a", None).await.verdict(), "400 BadParameter");
}

#[tokio::test]
async fn names_are_held_to_the_limits_on_every_route() {
    let served = empty().await;
    let longest = "n".repeat(127);
    assert_eq!(served.client.put(&format!("/secrets/{longest}"), "").await.status, 200);
    for name in [format!("{longest}n"), "a_b".into(), "a.b".into(), "%C3%A4".into(), "%20".into()] {
        for (method, path) in
            [("PUT", "/secrets/"), ("GET", "/secrets/"), ("GET", "/deletedsecrets/"), ("DELETE", "/secrets/")]
        {
            let reply = served.client.send(method, &format!("{path}{name}"), Some(json!({"value": ""}))).await;
            assert_eq!(reply.verdict(), "400 BadParameter", "{method} {path}{name}");
            assert!(reply.text.contains("The request URI contains an invalid name: "), "{}", reply.text);
        }
    }
    let html = served.client.get("/secrets/a%3Ab").await;
    assert_eq!(html.status, 400);
    assert!(html.headers["content-type"].to_str().unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn api_versions_are_demanded_and_checked() {
    let served = empty().await;
    for (query, message) in [
        ("x=1", "api-version must be specified"),
        (
            "api-version=7.7",
            "The specified version (7.7) is not recognized. Consider using the latest supported version (2026-04-01).",
        ),
    ] {
        let reply = served.client.get(&format!("/secrets?{query}")).await;
        assert_eq!(reply.verdict(), "400 BadParameter");
        assert_eq!(reply.json()["error"]["message"], message);
    }
    for version in ["2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"] {
        assert_eq!(served.client.get(&format!("/secrets?api-version={version}")).await.status, 200, "{version}");
    }
}

#[tokio::test]
async fn certificates_differ_by_api_version() {
    let served = empty().await;
    let certificate = |content_type: &str| NewSecret {
        content_type: Some(content_type.into()),
        managed: true,
        .."certificate".into()
    };
    let first = served.vault.put("pem", certificate("application/x-pem-file")).unwrap();
    served.vault.put("pem", certificate("application/x-pem-file")).unwrap();
    let get = async |query: &str| served.client.get(&format!("/secrets/{query}")).await;
    assert_eq!(get("pem?api-version=7.6").await.json()["previousVersion"], Value::Null);
    assert_eq!(get("pem?api-version=2025-07-01").await.json()["previousVersion"], json!(first));
    served.vault.put("text", "plain".into()).unwrap();
    let asked = "outContentType=application/x-pem-file";
    assert_eq!(get(&format!("text?api-version=7.6&{asked}")).await.status, 200);
    assert_eq!(get(&format!("pem?api-version=2026-04-01&{asked}")).await.status, 200);
    let refused = get(&format!("text?api-version=2026-04-01&{asked}")).await;
    assert_eq!(refused.verdict(), "400 BadParameter");
    assert!(refused.text.contains("The 'Unsupported' to 'PEM' transformation is not supported."), "{}", refused.text);
}

#[cfg(not(feature = "pfx"))]
#[tokio::test]
async fn a_vault_built_without_pfx_to_pem_says_so() {
    let served = empty().await;
    let content_type = Some("application/x-pkcs12".to_owned());
    served.vault.put("pfx", NewSecret { managed: true, content_type, ..NewSecret::from("any") }).unwrap();
    let asked = "api-version=2025-07-01&outContentType=application/x-pem-file";
    let refused = served.client.get(&format!("/secrets/pfx?{asked}")).await;
    assert_eq!(refused.verdict(), "400 BadParameter");
    assert!(refused.text.contains("feature `pfx`"), "{}", refused.text);
}

#[tokio::test]
async fn an_update_merges_attributes_and_replaces_tags() {
    let served = empty().await;
    served.vault.clock().stop_at(served.vault.clock().now());
    let body = json!({"value": "v", "contentType": "t", "tags": {"a": "1"}, "attributes": {"nbf": 1, "exp": 2}});
    let first = served.client.send("PUT", "/secrets/a", Some(body)).await.json();
    served.vault.clock().advance(std::time::Duration::from_secs(5));
    let patch = async |body: Value| served.client.send("PATCH", "/secrets/a/", Some(body)).await.json();
    let updated = patch(json!({"attributes": {"exp": 9}})).await;
    assert_eq!(updated["id"], first["id"]);
    assert_eq!(updated["value"], Value::Null);
    let times = |json: &Value, field: &str| json["attributes"][field].as_i64().unwrap();
    assert_eq!(times(&updated, "updated") - times(&first, "created"), 5);
    assert_eq!((times(&updated, "nbf"), times(&updated, "exp")), (1, 9));
    assert_eq!((&updated["tags"], &updated["contentType"]), (&json!({"a": "1"}), &json!("t")));
    let cleared = patch(json!({"tags": {}, "contentType": ""})).await;
    assert_eq!((&cleared["tags"], &cleared["contentType"]), (&json!({}), &json!("")));
    let second = served.client.put("/secrets/a", "w").await.json();
    assert_eq!((&second["tags"], &second["contentType"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn versions_are_read_disabled_and_missed_one_by_one() {
    let served = empty().await;
    let old = served.vault.put("a", "old".into()).unwrap();
    let latest = served.vault.put("a", NewSecret { enabled: false, .."new".into() }).unwrap();
    let get = async |version: &str| served.client.get(&format!("/secrets/a/{version}")).await;
    assert_eq!(get("").await.verdict(), "403 Forbidden SecretDisabled");
    assert_eq!(get(&latest).await.verdict(), "403 Forbidden SecretDisabled");
    assert_eq!(get(&old).await.json()["value"], "old");
    for missing in ["0".repeat(32), "latest".into(), old.to_uppercase() + "0"] {
        assert_eq!(get(&missing).await.verdict(), "404 SecretNotFound");
    }
    let patch = served.client.send("PATCH", &format!("/secrets/a/{}", "0".repeat(32)), Some(json!({}))).await;
    assert_eq!(patch.verdict(), "404 SecretNotFound");
}

#[tokio::test]
async fn purge_protection_leaves_only_time() {
    let options = Options { retention_days: Some(7), purge_protection: true, ..Options::default() };
    let served = serve(Emulator::with_options("protected", options)).await;
    served.client.put("/secrets/a", "1").await;
    let deleted = served.client.send("DELETE", "/secrets/a", None).await.json();
    assert_eq!(deleted["attributes"]["recoveryLevel"], "CustomizedRecoverable");
    assert_eq!(served.client.send("DELETE", "/deletedsecrets/a", None).await.verdict(), "403 Forbidden");
    served.vault.clock().advance(std::time::Duration::from_secs(7 * 86_400));
    assert_eq!(served.client.get("/deletedsecrets/a").await.verdict(), "404 SecretNotFound");
    assert_eq!(served.client.put("/secrets/A", "2").await.status, 200);
    assert_eq!(served.client.ids("/secrets").await, ["A"]);
}

#[tokio::test]
async fn a_restored_secret_is_the_one_backed_up() {
    let served = empty().await;
    for value in ["1", "2", "3"] {
        served.client.put("/secrets/Kept", value).await;
    }
    let list = served.client.get("/secrets/kept/versions").await.text;
    let latest = served.client.get("/secrets/kept").await.text;
    let blob = served.client.send("POST", "/secrets/kept/backup", None).await.json();
    served.vault.clock().advance(std::time::Duration::from_secs(60));
    let restore = async || served.client.send("POST", "/secrets/restore", Some(blob.clone())).await;
    assert_eq!(restore().await.verdict(), "409 Conflict");
    served.client.send("DELETE", "/secrets/kept", None).await;
    assert_eq!(restore().await.verdict(), "409 Conflict");
    assert_eq!(served.client.send("DELETE", "/deletedsecrets/kept", None).await.status, 204);
    assert_eq!(restore().await.status, 200);
    assert_eq!(served.client.get("/secrets/kept/versions").await.text, list);
    assert_eq!(served.client.get("/secrets/kept").await.text, latest);
}

#[tokio::test]
async fn more_than_500_versions_cannot_be_backed_up() {
    let served = empty().await;
    let backup = async || served.client.send("POST", "/secrets/many/backup", None).await;
    for _ in 0..500 {
        served.vault.put("many", "v".into()).unwrap();
    }
    assert_eq!(backup().await.status, 200);
    served.vault.put("many", "v".into()).unwrap();
    assert_eq!(backup().await.verdict(), "400 BadParameter");
}

#[tokio::test]
async fn a_post_can_stand_in_for_another_method() {
    let served = empty().await;
    served.vault.put("a", "1".into()).unwrap();
    let reply = served.client.send_as("DELETE", "/secrets/a?api-version=7.6").await;
    assert_eq!(reply.json()["recoveryId"], "https://test-vault.vault.localhost/deletedsecrets/a");
}
