//! Names that Key Vault can hold, and no others.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest secret name, in characters.
const NAME_MAX: usize = 127;

/// A secret's name: 1–127 of `[0-9A-Za-z-]`, compared without regard to case, as the vault does.
/// It keeps the case it was given.
#[derive(Clone, Debug)]
pub struct SecretName(Arc<str>);

impl SecretName {
    /// The name, if a vault could hold it.
    pub fn parse(text: &str) -> Option<SecretName> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let fits = (1..=NAME_MAX).contains(&text.len());
        (fits && text.bytes().all(legal)).then(|| SecretName(text.into()))
    }

    /// The name in the case it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the other is spelled the same, case included.
    pub fn is_spelled(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq for SecretName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for SecretName {}

impl Hash for SecretName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // In one piece: hashers are slow byte by byte, and every request hashes names.
        let mut folded = [0xFF; NAME_MAX + 1]; // no name holds 0xFF: a terminator, as `str` has
        let folded = &mut folded[..=self.0.len()];
        folded[..self.0.len()].copy_from_slice(self.0.as_bytes());
        folded.make_ascii_lowercase();
        state.write(folded);
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version's identifier: 32 lower-case hexadecimal digits, chosen by the vault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct VersionId(u128);

impl VersionId {
    /// The identifier, if the text is exactly 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<VersionId> {
        let legal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(legal) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(VersionId)
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_outside_the_vaults_alphabet_are_refused() {
        let longest = "a".repeat(127);
        for good in ["a", "-", "7", "Db-Password", &longest] {
            assert!(SecretName::parse(good).is_some(), "{good}");
        }
        let too_long = "a".repeat(128);
        for bad in ["", ".", "..", "a_b", "a.b", "a/b", "ä", "a\n", "a b", &too_long] {
            assert!(SecretName::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn names_compare_and_hash_without_regard_to_case() {
        let upper = SecretName::parse("DB-Password").unwrap();
        let lower = SecretName::parse("db-password").unwrap();
        assert_eq!(upper, lower);
        assert_eq!(HashSet::from([upper.clone(), lower]).len(), 1);
        assert_eq!(upper.to_string(), "DB-Password");
    }

    #[test]
    fn a_version_is_32_lower_case_hex_digits() {
        let text = "0f3c00000000000000000000000000aa";
        assert_eq!(VersionId::parse(text).unwrap().to_string(), text);
        for bad in ["", "0f3c", "0F3C00000000000000000000000000AA", &format!("+{}", &text[1..])] {
            assert_eq!(VersionId::parse(bad), None, "{bad}");
        }
    }
}
