//! `WWW-Authenticate` as Key Vault sends it, and whether to believe it.

use url::Url;

use crate::auth::Scope;

/// Reads `Bearer authorization="https://login…/TENANT", resource="https://vault.azure.net"`, with
/// `authorization_uri` or `scope` in their places as other Azure services send them. `None` if it is
/// another scheme or lacks one of the two.
pub(super) fn parse(header: &str) -> Option<Scope> {
    let (scheme, parameters) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut authority = None;
    let mut resource = None;
    for (key, value) in parameters.split(',').filter_map(|parameter| parameter.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "authorization" | "authorization_uri" => authority = Some(value),
            "resource" => resource = Some(value),
            "scope" => resource = Some(value.strip_suffix("/.default").unwrap_or(value)),
            _ => {}
        }
    }
    Some(Scope { authority: authority?.to_owned(), resource: resource?.to_owned() })
}

/// Whether the vault's host is a proper subdomain of the resource, so that a stranger cannot ask for a
/// token that opens somebody else's vault. The error says what does not match.
pub(super) fn verify(scope: &Scope, vault: &Url) -> Result<(), String> {
    let refused = || {
        format!(
            "it asks for a token for {:?}, which is not a parent domain of {:?}; \
             if that is right, give --no-verify-challenge-resource",
            scope.resource,
            vault.host_str().unwrap_or_default()
        )
    };
    // The url crate takes a backslash for a slash, which other parsers of the same text do not.
    if scope.resource.contains('\\') {
        return Err(refused());
    }
    let resource = Url::parse(&scope.resource).map_err(|_| refused())?;
    let parent = resource.host_str().filter(|_| resource.scheme() == "https").ok_or_else(refused)?;
    let is_below =
        |host: &str| host.strip_suffix(parent).is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('.'));
    let same_port = resource.port().is_none_or(|port| Some(port) == vault.port());
    match vault.domain() {
        Some(host) if is_below(host) && same_port => Ok(()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: &str = "https://login.microsoftonline.com/tenant";

    #[test]
    fn challenges_are_read_in_all_their_spellings() {
        let expected = Some(Scope { authority: AUTHORITY.to_owned(), resource: "https://vault.azure.net".to_owned() });
        for header in [
            format!(r#"Bearer authorization="{AUTHORITY}", resource="https://vault.azure.net""#),
            format!(r#"bearer resource="https://vault.azure.net",authorization_uri="{AUTHORITY}""#),
            format!(r#"Bearer authorization="{AUTHORITY}", scope="https://vault.azure.net/.default""#),
            format!("Bearer authorization={AUTHORITY}, resource=https://vault.azure.net"),
        ] {
            assert_eq!(parse(&header), expected, "{header}");
        }
    }

    #[test]
    fn what_is_no_challenge_of_key_vaults_is_not_taken_for_one() {
        for header in ["", "Bearer", "Basic realm=\"x\"", "Bearer realm=\"x\"", "Bearer resource=\"https://a.b\""] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    #[test]
    fn only_a_parent_domain_is_believed() {
        let check = |resource: &str, vault: &str| {
            let scope = Scope { authority: AUTHORITY.to_owned(), resource: resource.to_owned() };
            verify(&scope, &Url::parse(vault).unwrap()).is_ok()
        };
        assert!(check("https://vault.azure.net", "https://mine.vault.azure.net"));
        assert!(check("https://VAULT.azure.net/", "https://Mine.Vault.Azure.net"));
        assert!(check("https://vault.azure.net:443", "https://mine.vault.azure.net"));
        assert!(check("https://localhost:8443", "https://x.localhost:8443"));
        for (resource, vault) in [
            ("https://vault.azure.net", "https://vault.azure.net"),
            ("https://vault.azure.net", "https://minevault.azure.net"),
            ("https://vault.azure.net", "https://mine.vault.azure.net.evil"),
            ("https://vault.azure.net.evil", "https://mine.vault.azure.net"),
            ("https://localhost:8443", "https://x.localhost:9443"),
            ("http://vault.azure.net", "https://mine.vault.azure.net"),
            ("https://evil\\.vault.azure.net", "https://mine.vault.azure.net"),
            ("https://127.0.0.1", "https://127.0.0.1"),
            ("", "https://mine.vault.azure.net"),
        ] {
            assert!(!check(resource, vault), "{resource} for {vault}");
        }
    }
}
