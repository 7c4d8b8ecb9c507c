//! `WWW-Authenticate` as Key Vault sends it, and whether to believe it.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

use crate::auth::Scope;

/// Characters of a stranger's text that are shown.
const SHOWN: usize = 100;

/// What a 401 asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token for this scope.
    Scope(Scope),
    /// A token with these claims in it (continuous access evaluation), in JSON.
    Claims(String),
}

/// The challenge among the headers that a vault would send: one that asks for claims before others.
/// `None` if there is none, or none that can be read in one way only.
pub(super) fn read(headers: &HeaderMap) -> Option<Challenge> {
    if let Some(claims) = claims(headers) {
        return Some(Challenge::Claims(claims));
    }
    bearers(headers).iter().find_map(Parameters::scope).map(Challenge::Scope)
}

/// The claims that a token is asked to have.
pub(super) fn claims(headers: &HeaderMap) -> Option<String> {
    bearers(headers).iter().find_map(Parameters::claims)
}

fn bearers(headers: &HeaderMap) -> Vec<Parameters<'_>> {
    let texts = headers.get_all(WWW_AUTHENTICATE).into_iter().filter_map(|header| header.to_str().ok());
    let challenges = texts.filter_map(parse).flatten();
    challenges.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, parameters)| parameters).collect()
}

/// The parameters of one challenge, in order.
#[derive(Debug, Default)]
struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl Parameters<'_> {
    /// A parameter, if it is there once: what is there twice may be read in two ways.
    fn get(&self, names: &[&str]) -> Option<&str> {
        let mut fitting = self.0.iter().filter(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)));
        let (_, value) = fitting.next()?;
        fitting.next().is_none().then_some(*value)
    }

    /// `authorization="https://login…/TENANT", resource="https://vault.azure.net"`, with
    /// `authorization_uri` or `scope` in their places as other Azure services send them.
    fn scope(&self) -> Option<Scope> {
        let authority = self.get(&["authorization", "authorization_uri"])?.to_owned();
        let resource = match self.get(&["scope"]) {
            Some(scope) => scope.strip_suffix("/.default").unwrap_or(scope),
            None => self.get(&["resource"])?,
        };
        Some(Scope { authority, resource: resource.to_owned() })
    }

    fn claims(&self) -> Option<String> {
        const LENIENT: GeneralPurpose = GeneralPurpose::new(
            &STANDARD,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        if self.get(&["error"])? != "insufficient_claims" {
            return None;
        }
        let json = String::from_utf8(LENIENT.decode(self.get(&["claims"])?).ok()?).ok()?;
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&json).ok()?;
        Some(json)
    }
}

/// Reads a header into its challenges (RFC 9110 §11.6.1); `None` where it breaks off in the middle of
/// something. A value may lack its quotes, as some proxies leave them out.
fn parse(header: &str) -> Option<Vec<(&str, Parameters<'_>)>> {
    let mut challenges: Vec<(&str, Parameters<'_>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(challenges);
        }
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return None;
        }
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(value) => {
                let (value, after) = parse_value(value.trim_start_matches([' ', '\t']))?;
                challenges.last_mut()?.1.0.push((word, value));
                rest = after;
            }
            None => {
                challenges.push((word, Parameters::default()));
                rest = after;
            }
        }
    }
}

/// A value, and what follows it. One with a backslash in it is refused: no URL has one.
fn parse_value(text: &str) -> Option<(&str, &str)> {
    let value = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => Some(text.split_at(text.find([',', ' ', '\t', '"']).unwrap_or(text.len()))),
    };
    value.filter(|(value, _)| !value.contains('\\'))
}

/// Whether the vault's host is a proper subdomain of the resource, so that a stranger cannot ask for a
/// token that opens somebody else's vault. The error says what does not match.
pub(super) fn verify(scope: &Scope, vault: &Url) -> Result<(), String> {
    let refused = || {
        format!(
            "it asks for a token for {:?}, which is not a parent domain of {:?}; \
             if that is right, give --no-verify-challenge-resource",
            scope.resource.chars().take(SHOWN).collect::<String>(),
            vault.host_str().unwrap_or_default()
        )
    };
    let resource = plain_url(&scope.resource).ok_or_else(refused)?;
    let parent = resource.host_str().ok_or_else(refused)?;
    let is_below =
        |host: &str| host.strip_suffix(parent).is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('.'));
    let same_port = resource.port().is_none_or(|port| Some(port) == vault.port());
    match vault.domain() {
        Some(host) if is_below(host) && same_port => Ok(()),
        _ => Err(refused()),
    }
}

/// An `https` URL that can be read in one way only. The url crate forgives what other readers of the same text
/// take for another host: backslashes, tabs, escapes, a missing or a third slash.
fn plain_url(text: &str) -> Option<Url> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:/".contains(&byte);
    let (scheme, rest) = text.split_once("://")?;
    let is_plain = scheme.eq_ignore_ascii_case("https") && !rest.starts_with('/') && rest.bytes().all(legal);
    Url::parse(text).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    const AUTHORITY: &str = "https://login.microsoftonline.com/tenant";

    fn read_text(headers: &[&str]) -> Option<Challenge> {
        let values = headers.iter().filter_map(|text| HeaderValue::from_str(text).ok());
        read(&values.map(|value| (WWW_AUTHENTICATE, value)).collect())
    }

    fn ordinary() -> Option<Challenge> {
        let resource = "https://vault.azure.net".to_owned();
        Some(Challenge::Scope(Scope { authority: AUTHORITY.to_owned(), resource }))
    }

    #[test]
    fn challenges_are_read_in_all_their_spellings() {
        for header in [
            format!(r#"Bearer authorization="{AUTHORITY}", resource="https://vault.azure.net""#),
            format!(r#"bearer resource="https://vault.azure.net",authorization_uri="{AUTHORITY}""#),
            format!(r#"Bearer authorization="{AUTHORITY}", scope="https://vault.azure.net/.default""#),
            format!(r#"BEARER Authorization = "{AUTHORITY}" , RESOURCE="https://vault.azure.net","#),
            format!("Bearer authorization={AUTHORITY}, resource=https://vault.azure.net"),
            format!(r#"Basic realm="x, y", Bearer authorization="{AUTHORITY}", resource="https://vault.azure.net""#),
            format!(r#"Bearer authorization="{AUTHORITY}", resource="https://vault.azure.net", Negotiate"#),
            format!(r#"PoP a=b, Bearer resource="https://vault.azure.net", authorization="{AUTHORITY}""#),
        ] {
            assert_eq!(read_text(&[&header]), ordinary(), "{header}");
        }
        let own = format!(r#"Bearer authorization="{AUTHORITY}", resource="https://vault.azure.net""#);
        assert_eq!(read_text(&["Basic realm=\"x\"", &own]), ordinary());
    }

    #[test]
    fn what_is_no_challenge_of_key_vaults_is_not_taken_for_one() {
        for header in [
            "",
            "Bearer",
            "Basic realm=\"x\"",
            "Bearer realm=\"x\"",
            "Bearer resource=\"https://a.b\"",
            "resource=\"https://a.b\", authorization=\"https://c.d\"",
            "Bearer authorization=\"https://c.d\", resource=\"https://a.b",
            "Bearer authorization=\"https://c.d\\\", resource=\"https://a.b\"",
            "Bearer authorization=\"https://c.d\", resource=\"https://a.b\", resource=\"https://e.f\"",
            "Bearer authorization=\"https://c.d\", authorization_uri=\"https://e.f\", resource=\"https://a.b\"",
            "Bearer authorization=\"https://c.d\", =\"https://a.b\"",
        ] {
            assert_eq!(read_text(&[header]), None, "{header}");
        }
    }

    #[test]
    fn a_claims_challenge_goes_before_others() {
        let json = r#"{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}"#;
        for encoded in [
            base64::engine::general_purpose::STANDARD.encode(json),
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(json),
        ] {
            let own = format!(r#"Bearer authorization="{AUTHORITY}", resource="https://vault.azure.net""#);
            let claims = format!(
                r#"Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", error="insufficient_claims", claims="{encoded}""#
            );
            let expected = Some(Challenge::Claims(json.to_owned()));
            assert_eq!(read_text(&[&claims]), expected);
            assert_eq!(read_text(&[&own, &claims]), expected);
            assert_eq!(read_text(&[&format!("{own}, {claims}")]), expected);
        }
        for wrong in [
            "claims=\"e30\"",
            "error=\"insufficient_claims\", claims=\"!\"",
            "error=\"insufficient_claims\", claims=\"W10=\"",
        ] {
            assert_eq!(read_text(&[&format!("Bearer {wrong}")]), None, "{wrong}");
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
        assert!(check("https://vault.azure.net", "https://mine.vault.azure.net:443"));
        assert!(check("https://localhost:8443", "https://x.localhost:8443"));
        for (resource, vault) in [
            ("https://vault.azure.net", "https://vault.azure.net"),
            ("https://vault.azure.net", "https://minevault.azure.net"),
            ("https://vault.azure.net", "https://evilvault.azure.net"),
            ("https://vault.azure.net", "https://mine.vault.azure.net.evil"),
            ("https://vault.azure.net.evil", "https://mine.vault.azure.net"),
            ("https://azure.net.evil", "https://mine.vault.azure.net"),
            ("https://localhost:8443", "https://x.localhost:9443"),
            ("http://vault.azure.net", "https://mine.vault.azure.net"),
            ("https://evil\\.vault.azure.net", "https://mine.vault.azure.net"),
            ("https://evil.example\\@vault.azure.net", "https://mine.vault.azure.net"),
            ("https://user@vault.azure.net", "https://mine.vault.azure.net"),
            ("https://[::1]", "https://[::1]:8443"),
            ("https://127.0.0.1", "https://127.0.0.1"),
            ("https://0.0.1", "https://127.0.0.1"),
            ("https:vault.azure.net", "https://mine.vault.azure.net"),
            ("https:///vault.azure.net", "https://mine.vault.azure.net"),
            ("https://vault.azure%2enet", "https://mine.vault.azure.net"),
            ("https://vault.\tazure.net", "https://mine.vault.azure.net"),
            ("vault.azure.net", "https://mine.vault.azure.net"),
            ("", "https://mine.vault.azure.net"),
        ] {
            assert!(!check(resource, vault), "{resource} for {vault}");
        }
    }

    /// Header, vault, and whether a token is sent.
    #[test]
    fn whole_headers_are_believed_or_not() {
        const MINE: &str = "https://mine.vault.azure.net";
        let asking = |resource: &str| format!(r#"Bearer authorization="{AUTHORITY}", resource="{resource}""#);
        let usual = asking("https://vault.azure.net");
        for (header, vault, is_believed) in [
            (usual.clone(), MINE, true),
            (usual.to_uppercase(), MINE, true),
            (usual.clone(), "https://MINE.VAULT.AZURE.NET", true),
            (usual.replace('"', ""), MINE, true),
            (format!(r#"Basic realm="x", {usual}"#), MINE, true),
            (format!("{usual}, Negotiate"), MINE, true),
            (asking("https://vault.azure.net:443"), MINE, true),
            (usual.clone(), "https://mine.vault.azure.net:443", true),
            // The first of two is taken, and has to be right.
            (format!("{}, {usual}", asking("https://evil.example")), MINE, false),
            (usual.replacen('"', "", 1), MINE, false),
            (usual.trim_end_matches('"').to_owned(), MINE, false),
            (usual.replace("login.", "evil\\login."), MINE, false),
            (usual.replace("login.", "evil\\login.").replace('"', ""), MINE, false),
            (asking("https://evil.example\\.vault.azure.net"), MINE, false),
            (asking("https://vault.azure.net.evil"), MINE, false),
            (asking("https://evil.example@vault.azure.net"), MINE, false),
            (usual.clone(), "https://mine.vault.azure.net.evil", false),
            (usual.clone(), "https://evilvault.azure.net", false),
            (usual.clone(), "https://[::1]:8443", false),
            (asking("https://[::1]:8443"), "https://[::1]:8443", false),
            (asking("https://vault.azure.net:8443"), MINE, false),
        ] {
            let vault = Url::parse(vault).unwrap();
            let believed = match read_text(&[&header]) {
                Some(Challenge::Scope(scope)) => verify(&scope, &vault).is_ok(),
                Some(Challenge::Claims(_)) | None => false,
            };
            assert_eq!(believed, is_believed, "{header} from {vault}");
        }
    }

    proptest! {
        /// Whatever a stranger sends, reading it ends, and only what is below the vault's own parent
        /// is believed.
        #[test]
        fn any_header_is_read_or_refused(header in "[ -~]{0,200}") {
            if let Some(Challenge::Scope(scope)) = read_text(&[&header]) {
                prop_assert!(header.contains(&scope.resource) && header.contains(&scope.authority));
            }
        }

        #[test]
        fn anything_around_an_ordinary_challenge_changes_no_scope(before in "[a-z]{1,8} [a-z]{1,8}=[a-z0-9]{0,8}", after in "[A-Za-z]{1,8}") {
            prop_assume!(!before.starts_with("bearer ") && !after.eq_ignore_ascii_case("bearer"));
            let header = format!(r#"{before}, Bearer authorization="{AUTHORITY}", resource="https://vault.azure.net", {after}"#);
            prop_assert_eq!(read_text(&[&header]), ordinary());
        }

        #[test]
        fn no_resource_but_the_parent_domain_is_believed(host in "[a-z.]{0,24}") {
            let scope = Scope { authority: AUTHORITY.to_owned(), resource: format!("https://{host}") };
            let vault = Url::parse("https://mine.vault.azure.net").unwrap();
            let is_parent = "mine.vault.azure.net".strip_suffix(&host).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
            prop_assert_eq!(verify(&scope, &vault).is_ok(), is_parent && !host.is_empty());
        }
    }
}
