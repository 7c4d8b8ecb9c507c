//! The same requests made by hand: the least that a client of the REST API can do.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::world::{World, micros};

const API_VERSION: &str = "api-version=2025-07-01";

pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    runtime: Runtime,
}

impl Client {
    pub fn of(world: &World) -> Client {
        let ca = reqwest::Certificate::from_pem(world.ca.as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let url = world.url().trim_end_matches('/').to_owned();
        Client { http, url, token: world.token.clone(), runtime }
    }

    async fn json(&self, url: &str) -> Value {
        let answer = self.http.get(url).bearer_auth(&self.token).send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn value(&self, name: &str) -> String {
        let answer = self.json(&format!("{}/secrets/{name}?{API_VERSION}", self.url)).await;
        answer["value"].as_str().unwrap().to_owned()
    }

    /// One value, in microseconds.
    pub fn get(&self, name: &str) -> f64 {
        self.runtime.block_on(async {
            let start = Instant::now();
            self.value(name).await;
            micros(start)
        })
    }

    /// Values, so many at a time, in microseconds.
    pub fn get_all(&self, names: Vec<String>, at_a_time: usize) -> f64 {
        self.runtime.block_on(async {
            let start = Instant::now();
            let gets = stream::iter(names).map(|name| async move { self.value(&name).await.len() });
            gets.buffer_unordered(at_a_time).count().await;
            micros(start)
        })
    }

    /// All pages of the secrets, one after the other, in microseconds; and how many pages and secrets.
    pub fn list(&self) -> (f64, usize, usize) {
        self.runtime.block_on(async {
            let start = Instant::now();
            let mut next = Some(format!("{}/secrets?{API_VERSION}", self.url));
            let (mut pages, mut secrets) = (0, 0);
            while let Some(url) = next {
                let page = self.json(&url).await;
                pages += 1;
                secrets += page["value"].as_array().unwrap().len();
                next = page["nextLink"].as_str().map(str::to_owned);
            }
            (micros(start), pages, secrets)
        })
    }
}
