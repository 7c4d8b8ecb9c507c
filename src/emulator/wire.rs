//! The JSON of the secrets API, both directions: key order and omission as recorded.
//! Absent fields are left out, never null; the one exception is `nextLink` on the last page.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::api_version::ApiVersion;
use super::errors::Refusal;
use super::model::{NewSecret, SecretValue, State};
use super::options::Options;
use super::origin::Origin;
use super::rules::{Found, Update};

/// The content types of a certificate's secret.
pub(super) const PFX: &str = "application/x-pkcs12";
pub(super) const PEM: &str = "application/x-pem-file";

/// What every answer depends on besides the secret.
pub(super) struct Context<'a> {
    pub(super) origin: &'a Origin,
    pub(super) api_version: ApiVersion,
    pub(super) options: &'a Options,
}

/// A secret's bundle, item, deleted bundle or deleted item: they differ by omission alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle<'a> {
    #[serde(flatten)]
    deletion: Option<Deletion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    id: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    managed: bool,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_version: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deletion {
    recovery_id: String,
    deleted_date: i64,
    scheduled_purge_date: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    created: i64,
    updated: i64,
    recovery_level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recoverable_days: Option<u32>,
}

/// A page of a list.
#[derive(Serialize)]
pub(super) struct List<'a> {
    pub(super) value: Vec<Bundle<'a>>,
    #[serde(rename = "nextLink")]
    pub(super) next_link: Option<String>,
}

impl<'a> Bundle<'a> {
    /// The answer of get and set: with the value.
    pub(super) fn with_value(found: Found<'a>, context: &Context<'_>) -> Self {
        let value = Some(found.version.content.value.expose());
        Bundle { value, ..Bundle::without_value(found, context) }
    }

    /// The same answer, the certificate turned into PEM.
    pub(super) fn in_pem(self, pem: &'a str) -> Self {
        Bundle { value: Some(pem), content_type: Some(PEM), ..self }
    }

    /// The answer of update, delete, recover, restore and get deleted.
    pub(super) fn without_value(found: Found<'a>, context: &Context<'_>) -> Self {
        let (secret, version) = (found.secret, found.version);
        let path = format!("{}/{}", secret.name.as_str(), version.id);
        let base = context.origin.id_base();
        let additions = context.api_version.has_certificate_additions();
        let managed = version.content.managed;
        Bundle {
            kid: managed.then(|| format!("{base}/keys/{path}")),
            previous_version: version.previous.filter(|_| additions).map(|id| id.to_string()),
            ..Bundle::item(found, format!("{base}/secrets/{path}"), context)
        }
    }

    /// A row of the versions list.
    pub(super) fn version_item(found: Found<'a>, context: &Context<'_>) -> Self {
        let (base, name) = (context.origin.id_base(), found.secret.name.as_str());
        Bundle::item(found, format!("{base}/secrets/{name}/{}", found.version.id), context)
    }

    /// A row of the two lists of secrets: its id names no version.
    pub(super) fn secret_item(found: Found<'a>, context: &Context<'_>) -> Self {
        let (base, name) = (context.origin.id_base(), found.secret.name.as_str());
        Bundle::item(found, format!("{base}/secrets/{name}"), context)
    }

    fn item(found: Found<'a>, id: String, context: &Context<'_>) -> Self {
        let content = &found.version.content;
        Bundle {
            deletion: Deletion::of(found, context),
            value: None,
            content_type: content.content_type.as_deref(),
            id,
            managed: content.managed,
            attributes: Attributes::of(found, context),
            tags: content.tags.as_ref(),
            kid: None,
            previous_version: None,
        }
    }
}

impl Deletion {
    fn of(found: Found<'_>, context: &Context<'_>) -> Option<Self> {
        let State::Deleted { at, purge, .. } = found.secret.state else {
            return None;
        };
        let (base, name) = (context.origin.id_base(), found.secret.name.as_str());
        Some(Deletion {
            recovery_id: format!("{base}/deletedsecrets/{name}"),
            deleted_date: at.seconds(),
            scheduled_purge_date: purge.seconds(),
        })
    }
}

impl Attributes {
    fn of(found: Found<'_>, context: &Context<'_>) -> Self {
        let (version, options) = (found.version, context.options);
        let with_days = context.api_version.has_recoverable_days();
        Attributes {
            enabled: version.content.enabled,
            nbf: version.content.not_before,
            exp: version.content.expires_on,
            created: version.created,
            updated: version.updated,
            recovery_level: options.recovery_level(),
            recoverable_days: with_days.then_some(options.recoverable_days()),
        }
    }
}

/// The answer of backup.
#[derive(Serialize)]
pub(super) struct Backup {
    pub(super) value: String,
}

/// The error body.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorDetail<'a>,
}

#[derive(Serialize)]
struct ErrorDetail<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(rename = "innererror", skip_serializing_if = "Option::is_none")]
    inner: Option<InnerError<'a>>,
}

#[derive(Serialize)]
struct InnerError<'a> {
    code: &'a str,
}

/// The JSON of a refusal.
pub(super) fn error_body(refusal: &Refusal) -> Vec<u8> {
    let inner = refusal.inner.map(|code| InnerError { code });
    let error = ErrorDetail { code: refusal.code, message: &refusal.message, inner };
    to_json(&ErrorBody { error })
}

/// Compact JSON. The shapes of this file, strings and numbers under string keys, all have one.
pub(super) fn to_json(shape: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(shape).unwrap_or_default()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetBody {
    value: Option<SecretValue>,
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    attributes: Option<AttributesBody>,
}

/// The body of Update Secret; a `value` in it is ignored, as are unknown fields everywhere.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateBody {
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    attributes: Option<AttributesBody>,
}

#[derive(Default, Deserialize)]
struct AttributesBody {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

#[derive(Deserialize)]
struct RestoreBody {
    value: Option<String>,
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(SecretValue::from)
    }
}

/// Reads the body of Set Secret.
pub(super) fn parse_set(body: &[u8]) -> Result<NewSecret, Refusal> {
    let body: SetBody = parse(body)?;
    let attributes = body.attributes.unwrap_or_default();
    Ok(NewSecret {
        value: body.value.ok_or_else(|| Refusal::invalid_value("value"))?,
        content_type: body.content_type,
        tags: body.tags,
        enabled: attributes.enabled.unwrap_or(true),
        not_before: attributes.nbf,
        expires_on: attributes.exp,
        managed: false,
    })
}

/// Reads the body of Update Secret.
pub(super) fn parse_update(body: &[u8]) -> Result<Update, Refusal> {
    let body: UpdateBody = parse(body)?;
    let attributes = body.attributes.unwrap_or_default();
    Ok(Update {
        content_type: body.content_type,
        tags: body.tags,
        enabled: attributes.enabled,
        not_before: attributes.nbf,
        expires_on: attributes.exp,
    })
}

/// Reads the body of Restore Secret: the backup blob, still in base64url.
pub(super) fn parse_restore(body: &[u8]) -> Result<String, Refusal> {
    let body: RestoreBody = parse(body)?;
    body.value.ok_or_else(|| Refusal::invalid_value("value"))
}

/// The parser's own message is dropped: it can quote the body.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::bad_parameter("Invalid JSON in request body."))
}
