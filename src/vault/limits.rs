//! What a vault can hold, checked before anything is sent: the service refuses it anyhow, and says
//! less clearly why.

use std::collections::BTreeMap;

use super::{Changes, Invalid, NewSecret, VaultError, VaultErrorKind};

/// The service's own text speaks of characters; what it does beyond ASCII is not published.
const VALUE_CHARACTERS: usize = 25_600;
const CONTENT_TYPE_CHARACTERS: usize = 255;
const TAGS: usize = 15;
const TAG_CHARACTERS: usize = 512;
/// The last second of the year 9999.
const LAST_DATE: i64 = 253_402_300_799;

impl NewSecret {
    /// Whether a vault can hold it.
    ///
    /// # Errors
    /// The first limit that it goes beyond, as [`VaultErrorKind::Invalid`].
    pub fn check(&self) -> Result<(), VaultError> {
        let value = std::str::from_utf8(self.value.expose()).map_err(|_| invalid(Invalid::NotUtf8))?;
        // Bytes first: counting characters of something huge is not worth it.
        if value.len() > VALUE_CHARACTERS && value.chars().count() > VALUE_CHARACTERS {
            return Err(invalid(Invalid::ValueTooLong));
        }
        check_properties(self.content_type.as_deref(), self.tags.as_ref(), [self.not_before, self.expires_on])
    }
}

impl Changes {
    /// Whether a vault can hold them.
    ///
    /// # Errors
    /// The first limit that they go beyond, as [`VaultErrorKind::Invalid`].
    pub fn check(&self) -> Result<(), VaultError> {
        check_properties(self.content_type.as_deref(), self.tags.as_ref(), [self.not_before, self.expires_on])
    }
}

fn check_properties(
    content_type: Option<&str>,
    tags: Option<&BTreeMap<String, String>>,
    dates: [Option<i64>; 2],
) -> Result<(), VaultError> {
    if content_type.is_some_and(|text| text.chars().count() > CONTENT_TYPE_CHARACTERS) {
        return Err(invalid(Invalid::ContentTypeTooLong));
    }
    let tags = tags.into_iter().flatten();
    if tags.clone().count() > TAGS {
        return Err(invalid(Invalid::TooManyTags));
    }
    let short = |text: &str| text.chars().count() <= TAG_CHARACTERS;
    if tags.into_iter().any(|(name, value)| name.is_empty() || !short(name) || !short(value)) {
        return Err(invalid(Invalid::TagLength));
    }
    if dates.into_iter().flatten().any(|date| !(0..=LAST_DATE).contains(&date)) {
        return Err(invalid(Invalid::Date));
    }
    Ok(())
}

fn invalid(what: Invalid) -> VaultError {
    VaultError::of(VaultErrorKind::Invalid(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::SecretBytes;

    fn verdict(edit: impl FnOnce(&mut NewSecret)) -> Option<Invalid> {
        let mut new = NewSecret::of(SecretBytes::new(b"value".to_vec()));
        edit(&mut new);
        match new.check() {
            Ok(()) => None,
            Err(VaultError { kind: VaultErrorKind::Invalid(what), .. }) => Some(what),
            Err(other) => panic!("{other}"),
        }
    }

    fn tags(names: impl IntoIterator<Item = String>) -> Option<BTreeMap<String, String>> {
        Some(names.into_iter().map(|name| (name, String::new())).collect())
    }

    #[test]
    fn the_largest_of_everything_passes_and_one_more_does_not() {
        let value = |text: String| move |new: &mut NewSecret| new.value = SecretBytes::new(text.into_bytes());
        assert_eq!(verdict(value("€".repeat(25_600))), None);
        assert_eq!(verdict(value("€".repeat(25_601))), Some(Invalid::ValueTooLong));
        assert_eq!(verdict(|new| new.value = SecretBytes::new(vec![0xFF])), Some(Invalid::NotUtf8));
        assert_eq!(verdict(|new| new.content_type = Some("€".repeat(255))), None);
        assert_eq!(verdict(|new| new.content_type = Some("x".repeat(256))), Some(Invalid::ContentTypeTooLong));
        assert_eq!(verdict(|new| new.tags = tags((0..15).map(|at| at.to_string()))), None);
        assert_eq!(verdict(|new| new.tags = tags((0..16).map(|at| at.to_string()))), Some(Invalid::TooManyTags));
        assert_eq!(verdict(|new| new.tags = tags(["x".repeat(512)])), None);
        assert_eq!(verdict(|new| new.tags = tags(["x".repeat(513)])), Some(Invalid::TagLength));
        assert_eq!(verdict(|new| new.tags = tags([String::new()])), Some(Invalid::TagLength));
        assert_eq!(verdict(|new| new.expires_on = Some(LAST_DATE)), None);
        assert_eq!(verdict(|new| new.expires_on = Some(LAST_DATE + 1)), Some(Invalid::Date));
        assert_eq!(verdict(|new| new.not_before = Some(-1)), Some(Invalid::Date));
    }
}
