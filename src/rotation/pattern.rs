//! Patterns of secrets' names.

use crate::vault::SecretName;

/// A name in which `*` stands for any number of characters. Case does not count, as in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// The pattern, if some name could match it.
    pub fn parse(text: &str) -> Option<Pattern> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '*';
        (!text.is_empty() && text.chars().all(legal))
            .then(|| Pattern(text.to_ascii_lowercase().split('*').map(str::to_owned).collect()))
    }

    /// Whether the name matches.
    pub fn matches(&self, name: &SecretName) -> bool {
        let name = name.as_str().to_ascii_lowercase();
        let [first, middle @ .., last] = self.0.as_slice() else { return self.0.first() == Some(&name) };
        let Some(mut rest) = name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        // The earliest place of each part leaves the most for the next.
        middle.iter().all(|part| match rest.split_once(part.as_str()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::double::name;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, matching, other) in [
            ("db", "DB", "db2"),
            ("db-*", "db-", "db"),
            ("*-key", "tls-key", "tls-keys"),
            ("a*b*c", "a-b-b-c", "a-c"),
            ("*", "x", ""),
            ("web*web", "webweb", "web"),
            ("*b*", "abc", "acd"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert!(pattern.matches(&name(matching)), "{pattern:?}");
            assert!(other.is_empty() || !pattern.matches(&name(other)), "{pattern:?}");
        }
    }

    #[test]
    fn what_no_name_could_match_is_no_pattern() {
        for text in ["", "a_b", "a/b", "db?", "[ab]"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
