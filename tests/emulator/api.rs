//! Get, set, lists and paging; the challenge; the demo vault.

use akvfs::emulator::{Emulator, NewSecret, Operation};
use serde_json::json;

use crate::client::{HOUR, empty, serve};

#[tokio::test]
async fn without_a_token_everything_is_challenged_first() {
    let served = empty().await;
    let stranger = served.client.with_token(None);
    for (method, path) in [("PUT", "/secrets/a"), ("GET", "/secrets/a?no-version"), ("PUT", "/secrets/"), ("GET", "/x")]
    {
        let reply = stranger.send(method, path, None).await;
        assert_eq!(reply.verdict(), "401 Unauthorized", "{method} {path}");
        assert!(
            reply.text.contains("AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token."),
            "{}",
            reply.text
        );
        let challenge = reply.headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer authorization=\"https://login.microsoftonline.com/"), "{challenge}");
        assert!(challenge.ends_with("\", resource=\"https://vault.localhost\""), "{challenge}");
    }
}

#[tokio::test]
async fn tokens_of_other_vaults_and_old_ones_are_refused() {
    let served = empty().await;
    let other = Emulator::in_memory("other-vault").issue_token(HOUR);
    let old = served.vault.issue_token(HOUR);
    served.vault.clock().advance(2 * HOUR);
    for (token, message) in [(other, "AKV10046"), (old, "[TokenExpired]"), ("x.y.z".into(), "AKV10046")] {
        let client = served.client.with_token(Some(token));
        let reply = client.get("/secrets/a").await;
        assert_eq!(reply.verdict(), "401 Unauthorized");
        assert!(reply.text.contains(message), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_secret_is_set_and_read_with_the_recorded_shape() {
    let served = empty().await;
    let body = json!({"value": "v", "contentType": "text", "tags": {"b": "1", "a": "2"}, "attributes": {"nbf": 1, "exp": 32503680000u64}});
    let set = served.client.send("PUT", "/secrets/Some-Name", Some(body)).await;
    let json = set.json();
    let (created, id) = (&json["attributes"]["created"], json["id"].as_str().unwrap());
    let version = id.strip_prefix("https://test-vault.vault.localhost/secrets/Some-Name/").unwrap();
    assert_eq!(version.len(), 32);
    assert_eq!(
        set.text,
        format!(
            "{{\"value\":\"v\",\"contentType\":\"text\",\"id\":\"{id}\",\"attributes\":{{\"enabled\":true,\"nbf\":1,\"exp\":32503680000,\"created\":{created},\"updated\":{created},\"recoveryLevel\":\"Recoverable+Purgeable\",\"recoverableDays\":90}},\"tags\":{{\"a\":\"2\",\"b\":\"1\"}}}}"
        )
    );
    for path in ["/secrets/some-name", "/secrets/SOME-NAME/", &format!("/SECRETS/Some-Name/{version}")] {
        assert_eq!(served.client.get(path).await.text, set.text, "{path}");
    }
    let old = served.client.get("/secrets/some-name?api%2Dversion=7.0").await;
    assert!(!old.text.contains("recoverableDays"));
}

#[tokio::test]
async fn every_answer_carries_the_services_headers() {
    let served = empty().await;
    let reply = served.client.get("/secrets").await;
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("x-content-type-options", "nosniff"),
        ("strict-transport-security", "max-age=31536000;includeSubDomains"),
        ("content-type", "application/json; charset=utf-8"),
    ] {
        assert_eq!(reply.headers[name], value);
    }
    assert_eq!(reply.headers["x-ms-request-id"].len(), 36);
    assert!(!reply.headers.contains_key("x-ms-keyvault-rbac-cache"));
    assert_eq!(reply.text, "{\"value\":[],\"nextLink\":null}");
}

#[tokio::test]
async fn secrets_are_listed_by_upper_cased_name_in_pages() {
    let served = empty().await;
    for name in ["b-2", "B-1", "a", "C", "b-10"] {
        served.vault.put(name, name.into()).unwrap();
    }
    let pages = served.client.pages("/secrets?api-version=7.6&maxresults=2").await;
    assert_eq!(pages.iter().map(|page| page["value"].as_array().unwrap().len()).collect::<Vec<_>>(), [2, 2, 1]);
    let next = pages[0]["nextLink"].as_str().unwrap();
    assert!(next.starts_with("http://test-vault.vault.localhost:80/secrets?api-version=7.6&$skiptoken="), "{next}");
    assert!(next.ends_with("&maxresults=2"), "{next}");
    assert!(pages[2].as_object().unwrap()["nextLink"].is_null());
    let ids = served.client.ids("/secrets?api-version=7.6&maxresults=2").await;
    assert_eq!(ids, ["a", "B-1", "b-10", "b-2", "C"]);
}

#[tokio::test]
async fn versions_are_listed_by_identifier_and_25_to_a_page() {
    let served = empty().await;
    for n in 0..60 {
        served.vault.put("many", n.to_string().as_str().into()).unwrap();
    }
    let pages = served.client.pages("/secrets/many/versions").await;
    assert_eq!(pages.iter().map(|page| page["value"].as_array().unwrap().len()).collect::<Vec<_>>(), [25, 25, 10]);
    let ids = served.client.ids("/secrets/many/versions").await;
    assert!(ids.is_sorted());
    assert_eq!(ids.len(), 60);
    assert_eq!(served.client.get("/secrets/nobody/versions").await.text, "{\"value\":[],\"nextLink\":null}");
    for size in ["0", "26", "x"] {
        let reply = served.client.get(&format!("/secrets?api-version=7.6&maxresults={size}")).await;
        assert_eq!(reply.verdict(), "400 BadParameter");
    }
}

#[tokio::test]
async fn requests_are_recorded_with_their_outcome() {
    let served = empty().await;
    served.client.put("/secrets/a", "1").await;
    served.client.get("/secrets/b/").await;
    let seen: Vec<_> = served.vault.requests().into_iter().map(|r| (r.operation, r.name, r.status)).collect();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(seen, [(Operation::SetSecret, name("a"), Some(200)), (Operation::GetSecret, name("b"), Some(404))]);
    served.vault.clear_requests();
    assert!(served.vault.requests().is_empty());
}

#[tokio::test]
async fn the_demo_shows_everything() {
    let vault = Emulator::in_memory("demo");
    vault.seed_demo().unwrap();
    let served = serve(vault).await;
    let pages = served.client.pages("/secrets").await;
    let rows: Vec<_> = pages.iter().flat_map(|page| page["value"].as_array().unwrap().clone()).collect();
    assert_eq!(rows.len(), 18);
    assert_eq!(rows.iter().filter(|row| row["managed"] == true).count(), 2);
    assert_eq!(rows.iter().filter(|row| row["attributes"]["enabled"] == false).count(), 1);
    let value = async |name: &str| served.client.get(&format!("/secrets/{name}")).await.json()["value"].clone();
    assert_eq!(value("longest").await.as_str().unwrap().len(), 25_600);
    assert!(value("binary-base64").await.as_str().unwrap().ends_with("=\n"));
    assert!(value("web-certificate-pem").await.as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let pfx = served.client.get("/secrets/web-certificate-pfx").await.json();
    assert_eq!(pfx["contentType"], "application/x-pkcs12");
    assert_eq!(pfx["kid"], pfx["id"].as_str().unwrap().replace("/secrets/", "/keys/"));
}

#[tokio::test]
async fn managed_secrets_are_not_written_by_clients() {
    let served = empty().await;
    served.vault.put("cert", NewSecret { managed: true, .."pem".into() }).unwrap();
    for (method, path) in [
        ("PUT", "/secrets/cert"),
        ("PATCH", "/secrets/cert"),
        ("DELETE", "/secrets/cert"),
        ("POST", "/secrets/cert/backup"),
    ] {
        let reply = served.client.send(method, path, Some(json!({"value": "x"}))).await;
        assert_eq!(reply.verdict(), "403 Forbidden SecretManagedByKeyVault", "{method}");
    }
}
