//! Changes of single tags: the API knows only how to replace them all.

use std::collections::BTreeMap;

use futures_util::StreamExt;

use super::{Changes, Item, Properties, SecretName, Vault, VaultError, VaultErrorKind, VersionId};

/// Reads a version's tags, lets them be edited, and writes them back; the newest version's if none is
/// given. `None`: there is no such secret or version.
///
/// The API has no way to notice a change in between by somebody else: theirs would be lost.
///
/// # Errors
/// What the vault says to either half.
pub async fn edit_tags<V: Vault>(
    vault: &V,
    name: &SecretName,
    version: Option<VersionId>,
    edit: impl FnOnce(&mut BTreeMap<String, String>) + Send,
) -> Result<Option<Item>, VaultError> {
    let Some((version, properties)) = described(vault, name, version).await? else { return Ok(None) };
    let mut tags = properties.tags.unwrap_or_default();
    edit(&mut tags);
    vault.update(name, version, Changes { tags: Some(tags), ..Changes::default() }).await
}

/// A version and its properties. A disabled one is not shown by a get, but by the listings.
async fn described<V: Vault>(
    vault: &V,
    name: &SecretName,
    version: Option<VersionId>,
) -> Result<Option<(Option<VersionId>, Properties)>, VaultError> {
    let mut pages = match vault.get(name, version).await {
        Ok(found) => {
            return Ok(found.map(|secret| (Some(secret.version), secret.properties.clone())));
        }
        Err(VaultError { kind: VaultErrorKind::Disabled, .. }) if version.is_some() => vault.versions(name),
        Err(VaultError { kind: VaultErrorKind::Disabled, .. }) => vault.secrets(),
        Err(error) => return Err(error),
    };
    while let Some(page) = pages.next().await {
        if let Some(item) = page?.iter().find(|item| item.name == *name && item.version == version) {
            return Ok(Some((version, item.properties.clone())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::double::{Double, name};

    #[tokio::test]
    async fn one_tag_changes_and_the_others_stay() {
        let vault = Double::with(&[("a", "x")]);
        let tag =
            |key: &'static str| move |tags: &mut BTreeMap<String, String>| drop(tags.insert(key.into(), "1".into()));
        edit_tags(&vault, &name("a"), None, tag("one")).await.unwrap();
        let item = edit_tags(&vault, &name("a"), None, tag("two")).await.unwrap().unwrap();
        let expected: BTreeMap<_, _> =
            [("one", "1"), ("two", "1")].map(|(key, value)| (key.into(), value.into())).into();
        assert_eq!(item.properties.tags, Some(expected));
        assert!(edit_tags(&vault, &name("b"), None, tag("one")).await.unwrap().is_none());
    }
}
