//! The API's JSON, as it is on the wire. Unknown fields are ignored: new api-versions add some.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::failure::not_key_vault;
use super::transport::Answer;
use crate::sys::SecretBytes;
use crate::vault::{
    Changes, DeletedItem, Invalid, Item, NewSecret, Properties, Secret, SecretName, VaultError, VaultErrorKind,
    VersionId,
};

/// SecretBundle, SecretItem and their deleted forms in one: an item is a bundle without a value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle {
    value: Option<SecretBytes>,
    id: Box<str>,
    content_type: Option<Box<str>>,
    #[serde(default)]
    attributes: Attributes,
    tags: Option<BTreeMap<String, String>>,
    kid: Option<Box<str>>,
    managed: Option<bool>,
    previous_version: Option<Box<str>>,
    recovery_id: Option<Box<str>>,
    deleted_date: Option<i64>,
    scheduled_purge_date: Option<i64>,
}

/// Times are 64 bits wide, whatever the specification says: the year 3000 is a common expiry.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    updated: i64,
    recovery_level: Option<Box<str>>,
    recoverable_days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListPage<E> {
    value: Vec<E>,
    next_link: Option<String>,
}

/// An entry of a listing. One that is not as it should be must not take the others with it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Bundle(Box<Bundle>),
    Other(IgnoredAny),
}

impl Entry {
    fn bundle(self) -> Option<Bundle> {
        match self {
            Entry::Bundle(bundle) => Some(*bundle),
            Entry::Other(IgnoredAny) => None,
        }
    }
}

/// A page of a listing.
pub(super) struct Listed<T> {
    pub(super) items: Vec<T>,
    /// So many entries could not be read.
    pub(super) skipped: usize,
    pub(super) next_link: Option<String>,
}

/// A backup blob, in base64url without padding.
#[derive(Serialize, Deserialize)]
struct Blob<T> {
    value: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WriteBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
    attributes: WriteAttributes,
}

#[derive(Serialize)]
struct WriteAttributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

/// A secret with its value, out of a 200.
pub(super) fn secret(answer: Answer) -> Result<Secret, VaultError> {
    let mut bundle: Bundle = parsed(&answer)?;
    let value = bundle.value.take().ok_or_else(|| malformed("a secret without a value"))?;
    let item = item(bundle)?;
    let version = item.version.ok_or_else(|| malformed("a secret without a version in its id"))?;
    Ok(Secret { name: item.name, version, properties: item.properties, value })
}

/// A secret without its value, out of a 200.
pub(super) fn properties(answer: &Answer) -> Result<Item, VaultError> {
    item(parsed(answer)?)
}

/// A soft-deleted secret, out of a 200.
pub(super) fn deleted(answer: &Answer) -> Result<DeletedItem, VaultError> {
    deleted_item(parsed(answer)?)
}

/// The items of a list page, and the link to the next one.
pub(super) fn page<T: ListItem>(answer: &Answer) -> Result<Listed<T>, VaultError> {
    // To try what an entry may be takes a copy of it, which a page without a wrong one can do without.
    match parsed::<ListPage<Bundle>>(answer) {
        Ok(page) => Ok(listed(page.value.into_iter().map(Some), page.next_link)),
        Err(_) => {
            let page: ListPage<Entry> = parsed(answer)?;
            Ok(listed(page.value.into_iter().map(Entry::bundle), page.next_link))
        }
    }
}

fn listed<T: ListItem>(bundles: impl ExactSizeIterator<Item = Option<Bundle>>, next_link: Option<String>) -> Listed<T> {
    let entries = bundles.len();
    let items: Vec<T> = bundles.flatten().filter_map(|bundle| T::of(bundle).ok()).collect();
    Listed { skipped: entries - items.len(), items, next_link }
}

/// What a list page can be made of.
pub(super) trait ListItem: Sized + Send + Sync + 'static {
    fn of(bundle: Bundle) -> Result<Self, VaultError>;
}

impl ListItem for Item {
    fn of(bundle: Bundle) -> Result<Item, VaultError> {
        item(bundle)
    }
}

impl ListItem for DeletedItem {
    fn of(bundle: Bundle) -> Result<DeletedItem, VaultError> {
        deleted_item(bundle)
    }
}

/// The bytes of a backup, out of a 200.
pub(super) fn blob(answer: &Answer) -> Result<SecretBytes, VaultError> {
    let blob: Blob<SecretBytes> = parsed(answer)?;
    let bytes = URL_SAFE_NO_PAD.decode(blob.value.expose());
    bytes.map(SecretBytes::new).map_err(|_| malformed("a backup that is not base64url"))
}

/// The body of a restore.
pub(super) fn restore_body(blob: &SecretBytes) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let value = Zeroizing::new(URL_SAFE_NO_PAD.encode(blob.expose()));
    json(&Blob { value: value.as_str() })
}

/// The body of a PUT.
pub(super) fn set_body(new: &NewSecret) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    new.check()?;
    let not_utf8 = |_| VaultError::of(VaultErrorKind::Invalid(Invalid::NotUtf8));
    let value = std::str::from_utf8(new.value.expose()).map_err(not_utf8)?;
    json(&WriteBody {
        value: Some(value),
        content_type: new.content_type.as_deref(),
        tags: new.tags.as_ref(),
        attributes: WriteAttributes { enabled: new.enabled, nbf: new.not_before, exp: new.expires_on },
    })
}

/// The body of a PATCH.
pub(super) fn update_body(changes: &Changes) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    changes.check()?;
    json(&WriteBody {
        value: None,
        content_type: changes.content_type.as_deref(),
        tags: changes.tags.as_ref(),
        attributes: WriteAttributes { enabled: changes.enabled, nbf: changes.not_before, exp: changes.expires_on },
    })
}

fn json(body: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    serde_json::to_vec(body).map(Zeroizing::new).map_err(|_| VaultError::of(VaultErrorKind::Aborted))
}

fn deleted_item(mut bundle: Bundle) -> Result<DeletedItem, VaultError> {
    let recovery_id = bundle.recovery_id.take();
    let (deleted_on, scheduled_purge_on) = (bundle.deleted_date, bundle.scheduled_purge_date);
    Ok(DeletedItem { item: item(bundle)?, recovery_id, deleted_on, scheduled_purge_on })
}

fn item(bundle: Bundle) -> Result<Item, VaultError> {
    let (name, version) = identity(&bundle.id).ok_or_else(|| malformed("an id that names no secret"))?;
    let attributes = bundle.attributes;
    let properties = Properties {
        id: bundle.id,
        content_type: bundle.content_type,
        enabled: attributes.enabled.unwrap_or(true),
        not_before: attributes.nbf,
        expires_on: attributes.exp,
        created_on: attributes.created,
        updated_on: attributes.updated,
        recovery_level: attributes.recovery_level,
        recoverable_days: attributes.recoverable_days,
        tags: bundle.tags,
        managed: bundle.managed.unwrap_or(false),
        key_id: bundle.kid,
        previous_version: bundle.previous_version,
    };
    Ok(Item { name, version, properties })
}

/// Name and version out of `https://HOST/secrets/NAME[/VERSION]`.
fn identity(id: &str) -> Option<(SecretName, Option<VersionId>)> {
    let url = Url::parse(id).ok()?;
    let mut segments = url.path_segments()?;
    if !segments.next()?.eq_ignore_ascii_case("secrets") {
        return None;
    }
    let name = SecretName::parse(segments.next()?)?;
    match segments.next() {
        None | Some("") => Some((name, None)),
        Some(version) => Some((name, Some(VersionId::parse(version)?))),
    }
}

/// serde's own message would quote what it stumbled over, which may be a value.
fn parsed<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Result<T, VaultError> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let kind = if error.is_eof() { "JSON that ends too early" } else { "no JSON of Key Vault's" };
        malformed(kind)
    })
}

fn malformed(how: &str) -> VaultError {
    not_key_vault(format!("HTTP 200 with {how}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderMap;

    use super::super::operation::Operation;
    use super::*;

    fn answer(body: &str) -> Answer {
        let body = Zeroizing::new(body.as_bytes().to_vec());
        Answer { operation: Operation::Get, status: 200, headers: HeaderMap::new(), body, repeated: false }
    }

    // The sample of the REST reference's "Get Secret" page.
    const SAMPLE: &str = r#"{"value":"mysecretvalue","id":"https://kv-sdk-test.vault.azure.net/secrets/mysecretname/4387e9f3d6e14c459867679a90fd0f79","attributes":{"enabled":true,"created":1493938410,"updated":1493938410,"recoveryLevel":"Recoverable+Purgeable"}}"#;

    #[test]
    fn the_reference_pages_sample_is_read() {
        let secret = secret(answer(SAMPLE)).unwrap();
        assert_eq!(secret.name.as_str(), "mysecretname");
        assert_eq!(secret.version.to_string(), "4387e9f3d6e14c459867679a90fd0f79");
        assert_eq!(secret.value.expose(), b"mysecretvalue");
        assert_eq!(secret.properties.created_on, 1_493_938_410);
        assert_eq!(secret.properties.tags, None);
    }

    #[test]
    fn the_year_3000_and_unknown_fields_are_no_obstacle() {
        let body = SAMPLE.replace(r#""enabled":true"#, r#""enabled":true,"exp":32503680000,"fresh":{"a":[1]}"#);
        assert_eq!(secret(answer(&body)).unwrap().properties.expires_on, Some(32_503_680_000));
    }

    #[test]
    fn an_empty_page_with_a_null_link_is_the_end() {
        let page = page::<Item>(&answer(r#"{"value":[],"nextLink":null}"#)).unwrap();
        assert!(page.items.is_empty() && page.skipped == 0 && page.next_link.is_none());
    }

    #[test]
    fn one_entry_that_makes_no_sense_does_not_take_the_others_with_it() {
        let good = r#"{"id":"https://v.vault.azure.net/secrets/good","attributes":{"enabled":true}}"#;
        for bad in [
            "1",
            "null",
            "[]",
            "{}",
            r#"{"id":7}"#,
            r#"{"id":"https://v.vault.azure.net/keys/k"}"#,
            r#"{"id":"https://v.vault.azure.net/secrets/a_b"}"#,
            r#"{"id":"https://v.vault.azure.net/secrets/a","attributes":{"enabled":"yes"}}"#,
            r#"{"id":"https://v.vault.azure.net/secrets/a","tags":{"a":1}}"#,
        ] {
            let page = page::<Item>(&answer(&format!(r#"{{"value":[{good},{bad},{good}]}}"#))).unwrap();
            assert_eq!((page.items.len(), page.skipped), (2, 1), "{bad}");
        }
        assert!(page::<Item>(&answer("{}")).is_err(), "no list at all is no empty list");
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in "[ -~]{0,200}") {
            let _ = secret(answer(&body));
            let _ = page::<DeletedItem>(&answer(&body));
            let _ = blob(&answer(&body));
        }

        /// A body that breaks off anywhere is refused, and not taken for a shorter one.
        #[test]
        fn no_cut_body_passes_for_a_whole_one(at in 0..SAMPLE.len()) {
            prop_assert!(secret(answer(&SAMPLE[..at])).is_err());
        }

        #[test]
        fn ids_name_secrets_or_nothing(path in "[a-zA-Z0-9/_.%-]{0,60}") {
            if let Some((name, _)) = identity(&format!("https://v.vault.azure.net/{path}")) {
                prop_assert!(path.contains(name.as_str()));
            }
        }
    }

    #[test]
    fn errors_about_a_body_do_not_quote_it() {
        for body in
            ["canary", r#"{"id":"canary","value":"canary"}"#, r#"{"value":{"canary":1}}"#, r#"{"value":"canary"#]
        {
            let error = secret(answer(body)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{body}");
        }
    }

    #[test]
    fn a_set_says_no_more_than_was_given() {
        let body = set_body(&NewSecret::of(SecretBytes::new(b"a\"b".to_vec()))).unwrap();
        assert_eq!(std::str::from_utf8(&body).unwrap(), r#"{"value":"a\"b","attributes":{}}"#);
    }
}
