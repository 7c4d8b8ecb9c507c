//! `properties.json`: the properties as the REST API gives them, without the value.

use serde_json::{Map, Value, json};

use crate::vault::Properties;

/// The text of the file: the API's field names and omissions, indented for people, with a final
/// newline.
pub(super) fn rendered(properties: &Properties) -> String {
    format!("{:#}\n", Value::Object(bundle(properties)))
}

/// The fields of it.
pub(super) fn bundle(properties: &Properties) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut attribute = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            attributes.insert(key.to_owned(), value);
        }
    };
    attribute("enabled", Some(json!(properties.enabled)));
    attribute("nbf", properties.not_before.map(Into::into));
    attribute("exp", properties.expires_on.map(Into::into));
    attribute("created", Some(json!(properties.created_on)));
    attribute("updated", Some(json!(properties.updated_on)));
    attribute("recoveryLevel", properties.recovery_level.as_deref().map(Into::into));
    attribute("recoverableDays", properties.recoverable_days.map(Into::into));

    let mut bundle = Map::new();
    let mut field = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            bundle.insert(key.to_owned(), value);
        }
    };
    field("contentType", properties.content_type.as_deref().map(Into::into));
    field("id", Some(json!(properties.id)));
    field("kid", properties.key_id.as_deref().map(Into::into));
    field("managed", properties.managed.then_some(Value::Bool(true)));
    field("attributes", Some(Value::Object(attributes)));
    field("tags", properties.tags.as_ref().map(|tags| json!(tags)));
    field("previousVersion", properties.previous_version.as_deref().map(Into::into));
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_left_out_and_empty_tags_are_not() {
        let properties = Properties {
            id: "https://v.vault.azure.net/secrets/a/0".into(),
            content_type: None,
            enabled: true,
            not_before: None,
            expires_on: Some(32_503_680_000),
            created_on: 1,
            updated_on: 2,
            recovery_level: None,
            recoverable_days: None,
            tags: Some([].into()),
            managed: false,
            key_id: None,
            previous_version: None,
        };
        let shown: Value = serde_json::from_str(&rendered(&properties)).unwrap();
        assert_eq!(
            shown,
            json!({
                "id": "https://v.vault.azure.net/secrets/a/0",
                "attributes": {"enabled": true, "exp": 32_503_680_000_i64, "created": 1, "updated": 2},
                "tags": {},
            })
        );
    }
}
