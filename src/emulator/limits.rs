//! The service's limits on what a client may write. Pure checks; each names the property at fault.

use std::collections::BTreeMap;

use super::errors::Refusal;
use super::model::{NewSecret, Tags};

/// Longest value. The service speaks of characters and is written in .NET, where one is a UTF-16
/// unit; nobody published what it does beyond ASCII.
const VALUE_UNITS: usize = 25_600;
const CONTENT_TYPE_CHARS: usize = 255;
const TAGS: usize = 15;
const TAG_CHARS: usize = 512;

pub(super) fn check_new(new: &NewSecret) -> Result<(), Refusal> {
    if new.value.expose().encode_utf16().count() > VALUE_UNITS {
        return Err(Refusal::bad_parameter(format!(
            "Property value has invalid value. The maximum length of a secret is {VALUE_UNITS} \
             characters.\r\n"
        )));
    }
    check_content_type(new.content_type.as_deref())?;
    check_tags(&new.tags)
}

pub(super) fn check_content_type(content_type: Option<&str>) -> Result<(), Refusal> {
    match content_type {
        Some(text) if text.chars().count() > CONTENT_TYPE_CHARS => Err(Refusal::invalid_value("contentType")),
        _ => Ok(()),
    }
}

pub(super) fn check_tags(tags: &Tags) -> Result<(), Refusal> {
    match tags {
        Some(tags) if !are_legal(tags) => Err(Refusal::invalid_value("tags")),
        _ => Ok(()),
    }
}

fn are_legal(tags: &BTreeMap<String, String>) -> bool {
    let short = |text: &String| text.chars().count() <= TAG_CHARS;
    tags.len() <= TAGS && tags.iter().all(|(name, value)| short(name) && short(value))
}
