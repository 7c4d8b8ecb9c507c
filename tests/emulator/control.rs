//! The control socket does what the Rust API does.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::client::{Client, empty};

async fn control(client: &Client, method: &str, path: &str, body: Value) -> Value {
    let reply = client.send(method, path, Some(body)).await;
    assert!(matches!(reply.status, 200 | 204), "{method} {path}: {}", reply.text);
    reply.json()
}

#[tokio::test]
async fn a_running_vault_is_controlled_over_its_own_socket() {
    let served = empty().await;
    let path = served.path.with_file_name("control.sock");
    let _serving = served.vault.serve_control(&path).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let client = Client::over(&path, "http://control.localhost").with_token(None);

    control(&client, "POST", "/clock", json!({"stop_at": 1_000_000_000})).await;
    control(&client, "POST", "/clock", json!({"advance": 5})).await;
    assert_eq!(control(&client, "GET", "/clock", json!(null)).await["now"], 1_000_000_005);
    control(&client, "POST", "/clock", json!("run")).await;

    let secret = json!({"value": "v", "content_type": "application/x-pem-file", "managed": true});
    let version = control(&client, "POST", "/secrets/cert", secret).await["version"].clone();
    let token = control(&client, "POST", "/tokens", json!({"lifetime": 60, "permissions": ["get"]})).await;
    let holder = served.client.with_token(token["token"].as_str().map(str::to_owned));
    let read = holder.get("/secrets/cert").await.json();
    assert!(read["id"].as_str().unwrap().ends_with(version.as_str().unwrap()));
    assert_eq!(read["managed"], true);

    for (fault, status) in [
        (json!({"status": {"status": 503}}), 503),
        (json!({"throttled": {"seconds": 3}}), 429),
        (json!({"latency": 1}), 200),
    ] {
        let rule = json!({"fault": fault, "operation": "GetSecret", "name": "CERT", "times": 1});
        control(&client, "POST", "/faults", rule).await;
        assert_eq!(holder.get("/secrets/cert").await.status, status, "{fault}");
    }
    control(&client, "POST", "/faults", json!({"fault": "firewall"})).await;
    control(&client, "DELETE", "/faults", json!(null)).await;
    control(&client, "POST", "/faults/release", json!(null)).await;
    assert_eq!(holder.get("/secrets/cert").await.status, 200);

    let seen = control(&client, "GET", "/requests", json!(null)).await;
    let statuses: Vec<_> = seen.as_array().unwrap().iter().map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, [200, 503, 429, 200, 200]);
    control(&client, "DELETE", "/requests", json!(null)).await;
    assert_eq!(control(&client, "GET", "/requests", json!(null)).await, json!([]));
    assert_eq!(client.send("POST", "/faults", Some(json!({"fault": "none"}))).await.status, 400);
}
