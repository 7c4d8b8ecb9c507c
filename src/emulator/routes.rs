//! The path table of the secrets API: method and path to operation. Pure; the words of a path and
//! names match without regard to case, and a trailing slash names the latest version.

use serde::{Deserialize, Serialize};

use super::errors::Refusal;

/// One operation of the secrets REST API, by its name there.
#[allow(missing_docs)] // The REST reference documents them under these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    SetSecret,
    GetSecret,
    UpdateSecret,
    DeleteSecret,
    GetSecrets,
    GetSecretVersions,
    GetDeletedSecrets,
    GetDeletedSecret,
    PurgeDeletedSecret,
    RecoverDeletedSecret,
    BackupSecret,
    RestoreSecret,
}

impl Operation {
    /// Whether the answer is a list, in pages.
    pub fn is_list(self) -> bool {
        use Operation::{GetDeletedSecrets, GetSecretVersions, GetSecrets};
        matches!(self, GetSecrets | GetSecretVersions | GetDeletedSecrets)
    }

    /// Whether it changes the vault.
    pub fn is_write(self) -> bool {
        use Operation::{BackupSecret, GetDeletedSecret, GetSecret};
        !self.is_list() && !matches!(self, GetSecret | GetDeletedSecret | BackupSecret)
    }
}

/// What a request asks for. Name and version are as the client wrote them, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) operation: Operation,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
}

impl Target {
    /// Reads a method and a path, percent-encoding and all.
    pub(super) fn parse(method: &str, path: &str) -> Result<Self, Refusal> {
        let mut segments: Vec<String> = path.split('/').skip(1).map(percent_decoded).collect();
        while segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        let mut segments = segments.into_iter();
        let root = segments.next().unwrap_or_default().to_ascii_lowercase();
        let rest: Vec<String> = segments.collect();
        match root.as_str() {
            "secrets" => secrets(method, &rest),
            "deletedsecrets" => deleted_secrets(method, &rest),
            _ => Err(Refusal::no_such_resource()),
        }
    }

    fn new(operation: Operation, name: Option<&String>, version: Option<&String>) -> Self {
        Target { operation, name: name.cloned(), version: version.cloned() }
    }
}

fn secrets(method: &str, rest: &[String]) -> Result<Target, Refusal> {
    let is = |text: &String, word: &str| text.eq_ignore_ascii_case(word);
    let not_allowed = || Err(Refusal::method_not_allowed(method));
    let (operation, name, version) = match (method, rest) {
        ("GET", []) => (Operation::GetSecrets, None, None),
        ("POST", [word]) if is(word, "restore") => (Operation::RestoreSecret, None, None),
        ("GET", [name]) => (Operation::GetSecret, Some(name), None),
        ("PUT", [name]) => (Operation::SetSecret, Some(name), None),
        ("PATCH", [name]) => (Operation::UpdateSecret, Some(name), None),
        ("DELETE", [name]) => (Operation::DeleteSecret, Some(name), None),
        ("GET", [name, word]) if is(word, "versions") => (Operation::GetSecretVersions, Some(name), None),
        ("POST", [name, word]) if is(word, "backup") => (Operation::BackupSecret, Some(name), None),
        ("GET", [name, version]) => (Operation::GetSecret, Some(name), Some(version)),
        ("PATCH", [name, version]) => (Operation::UpdateSecret, Some(name), Some(version)),
        (_, [] | [_] | [_, _]) => return not_allowed(),
        _ => return Err(Refusal::no_such_resource()),
    };
    Ok(Target::new(operation, name, version))
}

fn deleted_secrets(method: &str, rest: &[String]) -> Result<Target, Refusal> {
    let (operation, name) = match (method, rest) {
        ("GET", []) => (Operation::GetDeletedSecrets, None),
        ("GET", [name]) => (Operation::GetDeletedSecret, Some(name)),
        ("DELETE", [name]) => (Operation::PurgeDeletedSecret, Some(name)),
        (_, [name, word]) if word.eq_ignore_ascii_case("recover") => {
            if method != "POST" {
                return Err(Refusal::method_not_allowed(method));
            }
            (Operation::RecoverDeletedSecret, Some(name))
        }
        (_, [] | [_]) => return Err(Refusal::method_not_allowed(method)),
        _ => return Err(Refusal::no_such_resource()),
    };
    Ok(Target::new(operation, name, None))
}

/// The pairs of a query string. The official JavaScript client encodes the keys as well.
pub(super) fn parse_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(&key.replace('+', " ")), percent_decoded(&value.replace('+', " ")))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let pair = tail.first_chunk::<2>().and_then(|pair| hex_pair(*pair)).filter(|_| first == b'%');
        bytes.push(pair.unwrap_or(first));
        rest = if pair.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_pair([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_operations() {
        use Operation::*;
        for (method, path, operation, name, version) in [
            ("GET", "/secrets", GetSecrets, None, None),
            ("GET", "/secrets/", GetSecrets, None, None),
            ("GET", "/SECRETS/a", GetSecret, Some("a"), None),
            ("GET", "/secrets/a/", GetSecret, Some("a"), None),
            ("GET", "/secrets/a/0f", GetSecret, Some("a"), Some("0f")),
            ("PATCH", "/secrets/a/", UpdateSecret, Some("a"), None),
            ("PATCH", "/secrets/a/0f", UpdateSecret, Some("a"), Some("0f")),
            ("PUT", "/secrets/a%2Db", SetSecret, Some("a-b"), None),
            ("GET", "/secrets/a/Versions", GetSecretVersions, Some("a"), None),
            ("POST", "/secrets/restore", RestoreSecret, None, None),
            ("GET", "/secrets/restore", GetSecret, Some("restore"), None),
            ("POST", "/secrets/a/backup", BackupSecret, Some("a"), None),
            ("GET", "/deletedSecrets", GetDeletedSecrets, None, None),
            ("GET", "/deletedSecrets/a", GetDeletedSecret, Some("a"), None),
            ("DELETE", "/deletedsecrets/a", PurgeDeletedSecret, Some("a"), None),
            ("POST", "/deletedsecrets/a/Recover", RecoverDeletedSecret, Some("a"), None),
        ] {
            let target = Target::parse(method, path).unwrap();
            assert_eq!(target.operation, operation, "{method} {path}");
            assert_eq!((target.name.as_deref(), target.version.as_deref()), (name, version));
        }
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        for (method, path, status) in [
            ("PUT", "/secrets/", 405),
            ("POST", "/secrets/a", 405),
            ("PUT", "/secrets/a/0f", 405),
            ("GET", "/deletedsecrets/a/recover", 405),
            ("GET", "/secrets/a/b/c", 404),
            ("GET", "/", 404),
            ("GET", "/keys", 404),
        ] {
            assert_eq!(Target::parse(method, path).unwrap_err().status, status, "{method} {path}");
        }
    }

    #[test]
    fn query_keys_are_percent_decoded() {
        let query = parse_query("api%2Dversion=7.4&%24skiptoken=a%3D&x&y=%zz");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(query, [pair("api-version", "7.4"), pair("$skiptoken", "a="), pair("x", ""), pair("y", "%zz")]);
    }
}
