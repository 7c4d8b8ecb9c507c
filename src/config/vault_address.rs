//! Which vault is meant.

use std::fmt;

use url::Url;

use super::UsageError;
use crate::cli::Cloud;

const MANAGED_HSM: &str = "managedhsm";

/// A vault, as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VaultAddress {
    /// A vault behind https: scheme, host and port.
    Remote(Url),
    /// The embedded vault, in memory and full of examples.
    Demo,
    /// The embedded vault of this name, kept on disk.
    Local(String),
}

/// Name of the vault behind a bare `local:`.
const LOCAL_NAME: &str = "local";

impl VaultAddress {
    /// Reads `NAME`, `NAME.vault.azure.net`, `https://HOST[:PORT]`, `local:[NAME]` or `demo:`.
    pub(super) fn parse(given: &str, cloud: Cloud) -> Result<VaultAddress, UsageError> {
        let wrong = |why| UsageError::Vault { given: given.to_owned(), why };
        if given == "demo:" {
            return Ok(VaultAddress::Demo);
        }
        if let Some(name) = given.strip_prefix("local:") {
            return match name {
                "" => Ok(VaultAddress::Local(LOCAL_NAME.to_owned())),
                name if is_vault_name(name) => Ok(VaultAddress::Local(name.to_owned())),
                _ => Err(wrong(NO_NAME)),
            };
        }
        let url = if given.contains("://") {
            given.to_owned()
        } else if given.contains('.') {
            format!("https://{given}")
        } else if is_vault_name(given) {
            format!("https://{given}.{}", suffix(cloud))
        } else {
            return Err(wrong(NO_NAME));
        };
        remote(&url).map_err(wrong)
    }
}

/// Where a cloud's vaults are.
fn suffix(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "vault.azure.net",
        Cloud::China => "vault.azure.cn",
        Cloud::Usgov => "vault.usgovcloudapi.net",
    }
}

const NO_NAME: &str = "a vault's name has 3 to 24 letters, digits and dashes, and begins with a letter";

fn is_vault_name(given: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (3..=24).contains(&given.len())
        && given.bytes().all(legal)
        && given.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
}

fn remote(url: &str) -> Result<VaultAddress, &'static str> {
    // The url crate takes a backslash for a slash; people who type one mean neither.
    if url.contains('\\') {
        return Err("a backslash has no place in a host");
    }
    let url = Url::parse(url)
        .map_err(|_| "give a name, NAME.vault.azure.net, https://HOST[:PORT], local:[NAME], or demo:")?;
    if url.scheme() != "https" {
        return Err("only https:// is spoken: a token must not cross a network in the clear");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("leave out user and password: --auth says how to sign in");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("give scheme, host and port alone, without a path");
    }
    match url.host_str() {
        Some(host) if host.split('.').any(|label| label == MANAGED_HSM) => {
            Err("a Managed HSM holds keys and no secrets: give a Key Vault")
        }
        Some(_) => Ok(VaultAddress::Remote(url)),
        None => Err("the host is missing"),
    }
}

/// As `findmnt` shows it.
impl fmt::Display for VaultAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VaultAddress::Remote(url) => f.write_str(url.as_str().trim_end_matches('/')),
            VaultAddress::Demo => f.write_str("demo:"),
            VaultAddress::Local(name) if name == LOCAL_NAME => f.write_str("local:"),
            VaultAddress::Local(name) => write!(f, "local:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_names_one_vault() {
        for (given, shown) in [
            ("demo:", "demo:"),
            ("local:", "local:"),
            ("local:local", "local:"),
            ("local:Work-1", "local:Work-1"),
            ("my-vault", "https://my-vault.vault.azure.net"),
            ("my-vault.vault.azure.net", "https://my-vault.vault.azure.net"),
            ("https://My-Vault.vault.azure.net/", "https://my-vault.vault.azure.net"),
            ("https://MY-VAULT.vault.azure.net:443", "https://my-vault.vault.azure.net"),
            ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(VaultAddress::parse(given, Cloud::Public).unwrap().to_string(), shown, "{given}");
        }
    }

    #[test]
    fn a_name_alone_belongs_to_the_cloud_that_is_named() {
        let shown = |given, cloud| VaultAddress::parse(given, cloud).unwrap().to_string();
        assert_eq!(shown("my-vault", Cloud::China), "https://my-vault.vault.azure.cn");
        assert_eq!(shown("my-vault", Cloud::Usgov), "https://my-vault.vault.usgovcloudapi.net");
        assert_eq!(shown("my-vault.vault.azure.net", Cloud::China), "https://my-vault.vault.azure.net");
    }

    #[test]
    fn what_is_no_vault_is_named_in_the_error() {
        for given in [
            "",
            "ab",
            "1vault",
            "a_vault",
            "local:../x",
            "http://my-vault.vault.azure.net",
            "https://user:pw@my-vault.vault.azure.net",
            "https://my-vault.vault.azure.net/secrets/x",
            "https://hsm.managedhsm.azure.net",
            "https://evil\\.vault.azure.net",
            "ftp://x",
        ] {
            let error = VaultAddress::parse(given, Cloud::Public).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{given:?} is no vault: ")), "{error}");
        }
    }
}
