//! Signing in, and what a token allows.

use std::net::SocketAddr;

use akvfs::emulator::{
    AccessModel, AppCredential, Application, Emulator, Fault, ManagedIdentity, Options, Permission, TokenSpec,
};
use serde_json::{Value, json};

use crate::client::{Client, Served, empty, serve, tls_client};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn holder(served: &Served, spec: &TokenSpec) -> Client {
    served.client.with_token(Some(served.vault.issue_token_for(spec)))
}

#[tokio::test]
async fn each_operation_needs_its_permission() {
    let served = empty().await;
    served.vault.put("a", "1".into()).unwrap();
    for (method, path, needed) in [
        ("GET", "/secrets/a", Permission::Get),
        ("GET", "/secrets", Permission::List),
        ("GET", "/secrets/a/versions", Permission::List),
        ("PUT", "/secrets/a", Permission::Set),
        ("PATCH", "/secrets/a", Permission::Set),
        ("POST", "/secrets/a/backup", Permission::Backup),
        ("POST", "/secrets/restore", Permission::Restore),
        ("DELETE", "/secrets/a", Permission::Delete),
        ("GET", "/deletedsecrets", Permission::List),
        ("GET", "/deletedsecrets/a", Permission::Get),
        ("POST", "/deletedsecrets/a/recover", Permission::Recover),
        ("DELETE", "/deletedsecrets/a", Permission::Purge),
    ] {
        let others = Permission::ALL.into_iter().filter(|permission| *permission != needed).collect();
        let without = holder(&served, &TokenSpec { permissions: others, ..TokenSpec::default() });
        let reply = without.send(method, path, Some(json!({"value": ""}))).await;
        assert_eq!(reply.verdict(), "403 Forbidden ForbiddenByPolicy", "{method} {path}");
        let with = holder(&served, &TokenSpec { permissions: vec![needed], ..TokenSpec::default() });
        assert_ne!(with.send(method, path, Some(json!({"value": ""}))).await.status, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn a_vault_under_rbac_names_the_action() {
    let options = Options { access: AccessModel::Rbac, ..Options::default() };
    let served = serve(Emulator::with_options("guarded", options)).await;
    let reply = holder(&served, &TokenSpec { permissions: vec![], ..TokenSpec::default() }).get("/secrets/a").await;
    assert_eq!(reply.verdict(), "403 Forbidden ForbiddenByRbac");
    assert!(reply.text.contains("Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'"), "{}", reply.text);
    assert!(reply.text.contains("/vaults/guarded/secrets/a'"), "{}", reply.text);
    // Answers by role assignments say so; challenges come before them.
    let stranger = served.client.with_token(None).get("/secrets/a").await;
    for (reply, is_cached) in [(reply, true), (served.client.get("/secrets/a").await, true), (stranger, false)] {
        assert_eq!(reply.headers.contains_key("x-ms-keyvault-rbac-cache"), is_cached, "{}", reply.status);
    }
}

#[tokio::test]
async fn tokens_for_others_or_of_others_are_refused() {
    let served = empty().await;
    let audience = |audience: &str| TokenSpec { audience: audience.into(), ..TokenSpec::default() };
    let tenant = TokenSpec { tenant: Some("11111111-1111-1111-1111-111111111111".into()), ..TokenSpec::default() };
    for (spec, outcome) in [
        (
            audience("https://management.azure.com/"),
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com/.",
        ),
        (tenant, "AKV10032: Invalid issuer."),
        (audience("https://vault.azure.net"), "nextLink"),
        (audience("https://vault.azure.net/"), "nextLink"),
        (audience("https://vault.localhost"), "nextLink"),
    ] {
        let reply = holder(&served, &spec).get("/secrets").await;
        assert!(reply.text.contains(outcome), "{}", reply.text);
        assert_eq!(reply.status == 401, reply.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn refusals_of_the_network_and_claims_challenges_come_on_demand() {
    let served = empty().await;
    served.vault.faults().queue(Fault::Firewall);
    assert_eq!(served.client.get("/secrets").await.verdict(), "403 Forbidden ForbiddenByFirewall");
    served.vault.faults().queue(Fault::PrivateLink);
    assert_eq!(served.client.get("/secrets").await.verdict(), "403 Forbidden ForbiddenByConnection");
    served.vault.faults().queue(Fault::ClaimsChallenge("{\"access_token\":{}}".into()));
    let challenged = served.client.get("/secrets").await;
    assert_eq!(challenged.status, 401);
    let header = challenged.headers["www-authenticate"].to_str().unwrap();
    assert!(header.ends_with("error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\""), "{header}");
    for (fault, message) in [(Fault::ExpiredToken, "[TokenExpired]"), (Fault::UnresolvedKey, "AKV10046")] {
        served.vault.faults().queue(fault);
        let refused = served.client.get("/secrets").await;
        assert!(refused.status == 401 && refused.text.contains(message), "{}", refused.text);
    }
}

/// A vault over TLS at which two applications can sign in.
async fn with_applications() -> (Emulator, akvfs::emulator::Serving, Client) {
    let vault = Emulator::in_memory("test-vault");
    let application = |client_id: &str, credential| Application {
        client_id: client_id.into(),
        credentials: vec![credential],
        permissions: vec![Permission::List],
    };
    vault.register(application("by-secret", AppCredential::Secret("s3cret&=".to_owned().into())));
    vault.register(application("by-assertion", AppCredential::Assertion("ey.J.x".to_owned().into())));
    let serving = vault.serve_tls(LOOPBACK).await.unwrap();
    let client = tls_client(&vault, &serving);
    (vault, serving, client)
}

#[tokio::test]
async fn applications_sign_in_by_secret_and_by_assertion() {
    let (vault, _serving, client) = with_applications().await;
    let grant = "grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default";
    for proof in ["client_id=by-secret&client_secret=s3cret%26%3D", "client_id=by-assertion&client_assertion=ey.J.x"] {
        let path = format!("/{}/oauth2/v2.0/token", vault.tenant());
        let token = client.post_form(&path, &format!("{grant}&{proof}")).await.json();
        assert_eq!(token["token_type"], "Bearer");
        let signed_in = client.with_token(token["access_token"].as_str().map(str::to_owned));
        assert_eq!(signed_in.get("/secrets").await.status, 200);
        assert_eq!(signed_in.get("/secrets/a").await.verdict(), "403 Forbidden ForbiddenByPolicy");
    }
}

#[tokio::test]
async fn a_wrong_sign_in_is_refused_as_entra_does() {
    let (vault, _serving, client) = with_applications().await;
    let scope = "scope=https://vault.azure.net/.default";
    for (tenant, form, status, code) in [
        (
            vault.tenant(),
            format!("grant_type=client_credentials&{scope}&client_id=by-secret&client_secret=x"),
            401,
            7000215,
        ),
        (
            vault.tenant(),
            format!("grant_type=client_credentials&{scope}&client_id=by-assertion&client_assertion=x"),
            401,
            700213,
        ),
        (vault.tenant(), format!("grant_type=client_credentials&{scope}&client_id=nobody"), 400, 700016),
        (vault.tenant(), format!("grant_type=password&{scope}"), 400, 70003),
        (
            vault.tenant(),
            "grant_type=client_credentials&client_id=by-secret&client_secret=s3cret%26%3D&scope=x".into(),
            400,
            1002012,
        ),
        ("elsewhere".into(), String::new(), 400, 90002),
    ] {
        let reply = client.post_form(&format!("/{tenant}/oauth2/v2.0/token"), &form).await;
        assert_eq!((reply.status, reply.json()["error_codes"][0].clone()), (status, json!(code)), "{form}");
    }
}

#[tokio::test]
async fn nobody_signs_in_over_a_plain_socket() {
    let served = empty().await;
    let path = format!("/{}/oauth2/v2.0/token", served.vault.tenant());
    assert_eq!(served.client.with_token(None).post_form(&path, "x=1").await.status, 401);
}

#[tokio::test]
async fn managed_identities_come_in_both_styles() {
    let vault = Emulator::in_memory("test-vault");
    let identity = |imds| ManagedIdentity {
        client_id: "identity".into(),
        permissions: Permission::ALL.to_vec(),
        identity_header: Some("header-secret".to_owned().into()),
        imds,
    };
    let serving = vault.serve_managed_identity(LOOPBACK, identity(true)).await.unwrap();
    let ask = async |path: &str, header: Option<(&str, &str)>| {
        let mut request = reqwest::Client::new().get(format!("{}{path}", serving.url()));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap())
    };
    let query = "api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
    let (app_service, imds) = (format!("/msi/token?{query}"), format!("/metadata/identity/oauth2/token?{query}"));
    assert_eq!(ask(&app_service, None).await.0, 401);
    assert_eq!(ask(&app_service, Some(("x-identity-header", "guess"))).await.0, 401);
    assert_eq!(ask(&imds, None).await.0, 400);
    for (path, header) in [(&app_service, ("x-identity-header", "header-secret")), (&imds, ("metadata", "true"))] {
        let (status, token) = ask(path, Some(header)).await;
        assert_eq!((status, &token["resource"]), (200, &json!("https://vault.azure.net")));
        assert!(token["expires_on"].as_str().unwrap().parse::<i64>().unwrap() > vault.clock().now().seconds());
        let served = serve(vault.clone()).await;
        let client = served.client.with_token(token["access_token"].as_str().map(str::to_owned));
        assert_eq!(client.get("/secrets").await.status, 200);
    }
    let strict = vault.serve_managed_identity(LOOPBACK, identity(false)).await.unwrap();
    let response =
        reqwest::Client::new().get(format!("{}{imds}", strict.url())).header("metadata", "true").send().await;
    assert_eq!(response.unwrap().status().as_u16(), 404);
}
