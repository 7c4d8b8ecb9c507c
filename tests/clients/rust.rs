//! Microsoft's `azure_security_keyvault_secrets`, over https with a transport that trusts the emulator.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorResponse;
use azure_core::http::pager::{Page, Pager};
use azure_core::http::{ClientOptions, RequestContent, Transport};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::{
    DeletedSecret, RestoreSecretParameters, Secret, SecretAttributes, SecretClientGetSecretOptions,
    SecretClientListDeletedSecretPropertiesOptions, SecretClientListSecretPropertiesOptions,
    SecretClientListSecretPropertiesVersionsOptions, SecretClientUpdateSecretPropertiesOptions, SecretProperties,
    SetSecretParameters, UpdateSecretPropertiesParameters,
};
use azure_security_keyvault_secrets::{ResourceExt, SecretClient, SecretClientOptions};
use futures_util::{TryStreamExt, future};
use serde::de::DeserializeOwned;

use crate::support::PATIENCE;
use crate::vault::{Kind, Vault};

const UNICODE: &str = "grün \u{1f511} \u{202e}\u{301}\r\n\t\"\\";
const BETWEEN_POLLS: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct FromFile(PathBuf);

#[async_trait::async_trait]
impl TokenCredential for FromFile {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let token = fs::read_to_string(&self.0)?;
        Ok(AccessToken::new(token, OffsetDateTime::now_utc() + Duration::from_secs(3600)))
    }
}

/// The client, and what the vault puts in its way.
struct Scenario {
    client: SecretClient,
    empty_pages: u64,
}

/// A transport that trusts the emulator's authority.
pub(crate) fn trusting(vault: &Vault) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(&fs::read(vault.text("ca")).unwrap()).unwrap();
    reqwest::Client::builder().tls_certs_only([ca]).build().unwrap()
}

pub(crate) fn client_of(vault: &Vault, credential: Arc<dyn TokenCredential>) -> SecretClient {
    let transport = Some(Transport::new(Arc::new(trusting(vault))));
    let client_options = ClientOptions { transport, ..Default::default() };
    let options = SecretClientOptions { client_options, verify_challenge_resource: Some(false), ..Default::default() };
    SecretClient::new(vault.text("url"), credential, Some(options)).unwrap()
}

/// Content type, tags, dates and whether it is enabled.
#[derive(Clone, Debug, Default, PartialEq)]
struct Description {
    content_type: Option<String>,
    tags: Option<HashMap<String, String>>,
    not_before: Option<OffsetDateTime>,
    expires: Option<OffsetDateTime>,
    enabled: Option<bool>,
}

impl Description {
    fn full() -> Description {
        Description {
            content_type: Some("text/plain".to_owned()),
            tags: Some(tags(&[("a", "b"), ("ключ", "värde")])),
            not_before: Some(date(1_577_934_245)),
            expires: Some(date(2_145_830_400)),
            enabled: Some(true),
        }
    }

    fn of(secret: &Secret) -> Description {
        let attributes = secret.attributes.as_ref().unwrap();
        Description {
            content_type: secret.content_type.clone(),
            tags: secret.tags.clone(),
            not_before: attributes.not_before,
            expires: attributes.expires,
            enabled: attributes.enabled,
        }
    }

    fn attributes(&self) -> SecretAttributes {
        let (not_before, expires, enabled) = (self.not_before, self.expires, self.enabled);
        SecretAttributes { not_before, expires, enabled, ..Default::default() }
    }
}

fn date(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn tags(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn version(secret: &Secret) -> String {
    secret.resource_id().unwrap().version.unwrap()
}

fn name(item: &impl ResourceExt) -> String {
    item.resource_id().unwrap().name
}

type Times = (Option<String>, Option<OffsetDateTime>, Option<OffsetDateTime>);

fn times(id: &Option<String>, attributes: &Option<SecretAttributes>) -> Times {
    let attributes = attributes.as_ref().unwrap();
    (id.clone(), attributes.created, attributes.updated)
}

fn times_of(secret: &Secret) -> Times {
    times(&secret.id, &secret.attributes)
}

fn times_of_item(item: &SecretProperties) -> Times {
    times(&item.id, &item.attributes)
}

/// Status and innermost code of a refusal.
pub(crate) fn refusal<T>(answer: azure_core::Result<T>) -> (u16, String) {
    let error = answer.err().expect("a refusal");
    let status = error.http_status().expect("an answer of the vault").into();
    let detail = ErrorResponse::try_from(error).unwrap().error.unwrap();
    let inner = detail.inner_error.and_then(|inner| inner.code);
    (status, inner.or(detail.code).unwrap())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Asks until the answer is another one than this.
async fn until_not<T>(status: u16, ask: impl AsyncFn() -> azure_core::Result<T>) -> azure_core::Result<T> {
    let is_still = |answer: &azure_core::Result<T>| {
        answer.as_ref().is_err_and(|error| error.http_status().is_some_and(|other| other == status))
    };
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if !is_still(&answer) {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "it stays missing");
        tokio::time::sleep(BETWEEN_POLLS).await;
    }
}

/// The calls of the client, in short.
impl Scenario {
    async fn set(&self, name: &str, value: &str) -> azure_core::Result<Secret> {
        self.set_with(name, value, &Description::default()).await
    }

    async fn set_with(&self, name: &str, value: &str, like: &Description) -> azure_core::Result<Secret> {
        let parameters = SetSecretParameters {
            value: Some(value.to_owned()),
            content_type: like.content_type.clone(),
            tags: like.tags.clone(),
            secret_attributes: Some(like.attributes()),
        };
        self.client.set_secret(name, parameters.try_into()?, None).await?.into_model()
    }

    async fn get(&self, name: &str) -> azure_core::Result<Secret> {
        self.client.get_secret(name, None).await?.into_model()
    }

    async fn get_version(&self, name: &str, version: &str) -> azure_core::Result<Secret> {
        let options = SecretClientGetSecretOptions { secret_version: Some(version.to_owned()), ..Default::default() };
        self.client.get_secret(name, Some(options)).await?.into_model()
    }

    async fn get_deleted(&self, name: &str) -> azure_core::Result<DeletedSecret> {
        self.client.get_deleted_secret(name, None).await?.into_model()
    }

    async fn update(&self, name: &str, version: Option<String>, to: &Description) -> azure_core::Result<Secret> {
        let parameters = UpdateSecretPropertiesParameters {
            content_type: to.content_type.clone(),
            tags: to.tags.clone(),
            secret_attributes: Some(to.attributes()),
        };
        let options = SecretClientUpdateSecretPropertiesOptions { secret_version: version, ..Default::default() };
        self.client.update_secret_properties(name, parameters.try_into()?, Some(options)).await?.into_model()
    }

    async fn restore(&self, backup: &[u8]) -> azure_core::Result<Secret> {
        let parameters = RestoreSecretParameters { secret_backup: Some(backup.to_vec()) };
        let content: RequestContent<_> = parameters.try_into()?;
        self.client.restore_secret(content, None).await?.into_model()
    }

    /// The client has no poller: deleted is what shows among the deleted, or may not be shown.
    async fn delete(&self, name: &str) -> DeletedSecret {
        let deleted = self.client.delete_secret(name, None).await.unwrap().into_model().unwrap();
        match until_not(404, async || self.get_deleted(name).await).await {
            Ok(shown) => assert_eq!(shown.recovery_id, deleted.recovery_id),
            disabled => assert_eq!(refusal(disabled), refused(403, "SecretDisabled")),
        }
        deleted
    }

    async fn versions(&self, name: &str) -> Vec<SecretProperties> {
        self.client.list_secret_properties_versions(name, None).unwrap().try_collect().await.unwrap()
    }
}

/// The steps.
impl Scenario {
    async fn set_and_get(&self) {
        let first = self.set("plain", "first").await.unwrap();
        self.set("plain", "second").await.unwrap();
        let third = self.set("plain", "third").await.unwrap();
        assert_eq!(third.value.as_deref(), Some("third"));
        assert_eq!(Description::of(&third), Description { enabled: Some(true), ..Default::default() });
        assert_eq!(
            third.attributes.as_ref().unwrap().recovery_level.as_ref().unwrap().as_ref(),
            "Recoverable+Purgeable"
        );
        let latest = self.get("plain").await.unwrap();
        assert_eq!((latest.value, latest.id), (third.value, third.id));
        assert_eq!(self.get_version("PLAIN", &version(&first)).await.unwrap().value.as_deref(), Some("first"));
        self.set_with("full", "value", &Description::full()).await.unwrap();
        let full = self.get("full").await.unwrap();
        assert_eq!((full.value.as_deref(), Description::of(&full)), (Some("value"), Description::full()));
    }

    async fn values(&self) {
        let longest = "x".repeat(25_600);
        for (name, value) in [("empty", ""), ("longest", &longest), ("unicode", UNICODE)] {
            assert_eq!(self.set(name, value).await.unwrap().value.as_deref(), Some(value));
            assert_eq!(self.get(name).await.unwrap().value.as_deref(), Some(value));
        }
        assert_eq!(refusal(self.set("longest", &format!("{longest}x")).await), refused(400, "BadParameter"));
    }

    async fn updates(&self) {
        let before = self.get("full").await.unwrap();
        let change = Description {
            content_type: Some("new".to_owned()),
            tags: Some(tags(&[("c", "d")])),
            enabled: Some(false),
            ..Default::default()
        };
        let after = self.update("full", None, &change).await.unwrap();
        let full = Description::full();
        let expected = Description { not_before: full.not_before, expires: full.expires, ..change };
        assert_eq!((version(&after), Description::of(&after)), (version(&before), expected.clone()));
        assert_eq!(times_of(&after).1, times_of(&before).1);
        assert!(times_of(&after).2 >= times_of(&before).2);
        assert_eq!(refusal(self.get("full").await), refused(403, "SecretDisabled"));
        let enable = Description { enabled: Some(true), ..Default::default() };
        self.update("full", Some(version(&before)), &enable).await.unwrap();
        let enabled = self.get("full").await.unwrap();
        assert_eq!(Description::of(&enabled), Description { enabled: Some(true), ..expected });
    }

    async fn refusals(&self) {
        let disabled = Description { enabled: Some(false), ..Default::default() };
        let secret = self.set_with("disabled", "hidden", &disabled).await.unwrap();
        assert_eq!((secret.value.as_deref(), Description::of(&secret)), (Some("hidden"), disabled.clone()));
        assert_eq!(refusal(self.get("disabled").await), refused(403, "SecretDisabled"));
        let missing = refused(404, "SecretNotFound");
        assert_eq!(refusal(self.get("unknown").await), missing);
        assert_eq!(refusal(self.get_version("plain", &"0".repeat(32)).await), missing);
        assert_eq!(refusal(self.get_deleted("plain").await), missing);
        assert_eq!(refusal(self.update("unknown", None, &disabled).await), missing);
        assert_eq!(refusal(self.restore(b"garbage").await), refused(400, "Malformed backup blob"));
    }

    /// The list as a whole, and by pages of two with so many empty ones before each.
    async fn listed<P, T>(
        &self,
        expected: &[String],
        list: impl Fn(Option<i32>) -> azure_core::Result<Pager<P>>,
        shown: fn(&T) -> String,
    ) where
        P: Page<Item = T> + DeserializeOwned + Send + 'static,
    {
        let whole: Vec<T> = list(None).unwrap().try_collect().await.unwrap();
        assert_eq!(whole.iter().map(shown).collect::<Vec<_>>(), expected);
        let pages: Vec<_> = list(Some(2)).unwrap().into_pages().try_collect().await.unwrap();
        let pages = future::join_all(pages.into_iter().map(Page::into_items)).await;
        let pages = pages.into_iter().map(|page| page.unwrap().map(|item| shown(&item)).collect::<Vec<_>>());
        let (full, empty): (Vec<_>, Vec<_>) = pages.partition(|page| !page.is_empty());
        assert_eq!(full, expected.chunks(2).map(<[_]>::to_vec).collect::<Vec<_>>());
        assert_eq!(empty.len() as u64, full.len() as u64 * self.empty_pages);
    }

    async fn lists(&self) {
        let secrets = |maxresults| {
            let options = SecretClientListSecretPropertiesOptions { maxresults, ..Default::default() };
            self.client.list_secret_properties(Some(options))
        };
        let names = ["disabled", "empty", "full", "longest", "plain", "unicode"].map(str::to_owned);
        self.listed(&names, secrets, name).await;
        let versions = |maxresults| {
            let options = SecretClientListSecretPropertiesVersionsOptions { maxresults, ..Default::default() };
            self.client.list_secret_properties_versions("plain", Some(options))
        };
        let mut ids: Vec<_> = self.versions("plain").await.into_iter().filter_map(|item| item.id).collect();
        assert_eq!(ids.len(), 3);
        ids.sort();
        self.listed(&ids, versions, |item| item.id.clone().unwrap()).await;
        assert!(self.versions("unknown").await.is_empty());
    }

    async fn deletes(&self) {
        let names = ["plain", "full", "disabled"];
        let deleted = future::join_all(names.map(|name| self.delete(name))).await;
        assert_eq!(deleted.iter().map(name).collect::<Vec<_>>(), names);
        let kept = deleted.iter().map(|secret| secret.scheduled_purge_date.unwrap() - secret.deleted_date.unwrap());
        assert!(kept.into_iter().all(|kept| kept.whole_days() == 90));
        assert_eq!(refusal(self.get("plain").await), refused(404, "SecretNotFound"));
        let conflict = refused(409, "ObjectIsDeletedButRecoverable");
        assert_eq!(refusal(self.set("plain", "fourth").await), conflict);
        let deleted = |maxresults| {
            let options = SecretClientListDeletedSecretPropertiesOptions { maxresults, ..Default::default() };
            self.client.list_deleted_secret_properties(Some(options))
        };
        let names = ["disabled", "full", "plain"].map(str::to_owned);
        self.listed(&names, deleted, name).await;
    }

    async fn purges(&self) {
        for name in ["plain", "disabled"] {
            self.client.purge_deleted_secret(name, None).await.unwrap();
            assert_eq!(refusal(self.get_deleted(name).await), refused(404, "SecretNotFound"));
        }
        assert_eq!(
            until_not(409, async || self.set("disabled", "reborn").await).await.unwrap().value.as_deref(),
            Some("reborn")
        );
        assert_eq!(self.versions("disabled").await.len(), 1);
    }

    async fn recovers(&self, before: &Secret) {
        let recovered = self.client.recover_deleted_secret("full", None).await.unwrap().into_model().unwrap();
        assert_eq!(recovered.id, before.id);
        let after = until_not(404, async || self.get("full").await).await.unwrap();
        assert_eq!((&after.value, Description::of(&after)), (&before.value, Description::of(before)));
        assert_eq!(times_of(&after), times_of(before));
    }

    async fn passes(&self) {
        self.set_and_get().await;
        self.values().await;
        self.updates().await;
        self.refusals().await;
        self.lists().await;
        let (full, latest) = (self.get("full").await.unwrap(), self.get("plain").await.unwrap());
        let versions = self.versions("plain").await;
        let backup = self.client.backup_secret("plain", None).await.unwrap().into_model().unwrap().value.unwrap();
        assert_eq!(refusal(self.restore(&backup).await), refused(409, "Conflict"));
        self.deletes().await;
        self.purges().await;
        assert_eq!(times_of(&until_not(409, async || self.restore(&backup).await).await.unwrap()), times_of(&latest));
        self.recovers(&full).await;
        let restored = until_not(404, async || self.get("plain").await).await.unwrap();
        assert_eq!((restored.value.as_deref(), times_of(&restored)), (Some("third"), times_of(&latest)));
        let again = self.versions("plain").await;
        assert!(again.iter().map(times_of_item).eq(versions.iter().map(times_of_item)));
    }
}

pub(crate) fn scenario(kind: Kind) {
    let vault = Vault::over_https(kind);
    let empty_pages = vault.line()["empty_pages"].as_u64().unwrap();
    let credential = Arc::new(FromFile(vault.text("token_file").into()));
    let scenario = Scenario { client: client_of(&vault, credential), empty_pages };
    tokio::runtime::Runtime::new().unwrap().block_on(scenario.passes());
}

#[test]
fn the_rust_client_finds_a_vault() {
    scenario(Kind::Prompt);
}

#[test]
fn the_rust_client_passes_over_empty_pages() {
    scenario(Kind::Sparse);
}
