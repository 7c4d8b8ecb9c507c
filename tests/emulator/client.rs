//! A client of the vault that adds nothing: what is sent and what comes back, in JSON.

use std::time::Duration;

use akvfs::emulator::{Emulator, Serving};
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Outlasts what tests do to the clock.
const LIFE: Duration = Duration::from_secs(100 * 365 * 86_400);

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    async fn read(response: reqwest::Response) -> reqwest::Result<Reply> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, text: response.text().await? })
    }

    /// The body as JSON, null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// `status code innererror`, as much as there is.
    pub(crate) fn verdict(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str().unwrap_or_default();
        let inner = json["error"]["innererror"]["code"].as_str().unwrap_or_default();
        format!("{} {code} {inner}", self.status).trim_end().to_owned()
    }
}

/// A client with a token, or without.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of whatever listens on a socket, without a token.
    pub(crate) fn over(path: &std::path::Path, base: &str) -> Client {
        let http = reqwest::Client::builder().unix_socket(path).build().unwrap();
        Client { http, base: base.to_owned(), token: None }
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: Option<String>) -> Client {
        Client { token, ..self.clone() }
    }

    pub(crate) async fn try_send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Reply> {
        let path = path.strip_prefix(&self.base).unwrap_or(path);
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Reply::read(request.send().await?).await
    }

    pub(crate) async fn post_form(&self, path: &str, form: &str) -> Reply {
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        Reply::read(request.send().await.unwrap()).await.unwrap()
    }

    /// A POST that says it means another method.
    pub(crate) async fn send_as(&self, method: &str, path: &str) -> Reply {
        let request = self.http.post(format!("{}{path}", self.base)).header("x-http-method", method);
        let response = request.bearer_auth(self.token.as_deref().unwrap()).send().await.unwrap();
        Reply::read(response).await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = if path.contains('?') { path.to_owned() } else { format!("{path}?api-version=7.6") };
        self.try_send(method, &path, body.as_ref()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    pub(crate) async fn put(&self, path: &str, value: &str) -> Reply {
        self.send("PUT", path, Some(serde_json::json!({ "value": value }))).await
    }

    /// Every page of a list.
    pub(crate) async fn pages(&self, path: &str) -> Vec<Value> {
        let mut pages = vec![self.get(path).await.json()];
        while let Some(next) = pages.last().unwrap()["nextLink"].as_str() {
            let (_, path) = next.split_once("://").unwrap().1.split_once('/').unwrap();
            pages.push(self.get(&format!("/{path}")).await.json());
        }
        pages
    }

    /// The ids of a whole list, without the address before `/secrets/`.
    pub(crate) async fn ids(&self, path: &str) -> Vec<String> {
        let pages = self.pages(path).await;
        let rows = pages.iter().flat_map(|page| page["value"].as_array().unwrap());
        rows.map(|row| row["id"].as_str().unwrap().split_once("/secrets/").unwrap().1.to_owned()).collect()
    }
}

/// A vault on a socket of its own, and a client of it.
pub(crate) struct Served {
    pub(crate) vault: Emulator,
    pub(crate) client: Client,
    pub(crate) path: std::path::PathBuf,
    pub(crate) serving: Serving,
    _directory: tempfile::TempDir,
}

pub(crate) async fn serve(vault: Emulator) -> Served {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vault.sock");
    let serving = vault.serve_unix(&path).await.unwrap();
    let client = Client::over(&path, serving.url()).with_token(Some(vault.issue_token(LIFE)));
    Served { vault, client, path, serving, _directory: directory }
}

pub(crate) async fn empty() -> Served {
    serve(Emulator::in_memory("test-vault")).await
}

/// A client of a vault served over TLS.
pub(crate) fn tls_client(vault: &Emulator, serving: &Serving) -> Client {
    let ca = reqwest::Certificate::from_pem(serving.ca_pem().unwrap().as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    Client { http, base: serving.url().to_owned(), token: Some(vault.issue_token(HOUR)) }
}
