//! The one type that holds secret bytes, and their one exit.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use zeroize::Zeroize;

/// Bytes that nobody may see by accident: a secret's value, or a token.
///
/// There is no `Clone` (share it by `Arc`), no `Display`, no `Serialize` and no comparison; `Debug`
/// shows nothing of it. The memory is overwritten when it is dropped. [`expose`](Self::expose) is the
/// only way out, so that a search for that word is the audit.
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes the bytes over; the given buffer is wiped, spare capacity included.
    pub fn new(mut bytes: Vec<u8>) -> SecretBytes {
        // A boxed slice of a larger Vec would be reallocated by libc, and the old copy left behind.
        let exact = bytes.as_slice().into();
        bytes.zeroize();
        SecretBytes(exact)
    }

    /// The bytes themselves. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes: the empty value is a legal one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(redacted)")
    }
}

/// Reads a JSON string straight into wiped memory.
impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretBytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<SecretBytes, E> {
                Ok(SecretBytes(text.as_bytes().into()))
            }

            fn visit_string<E>(self, text: String) -> Result<SecretBytes, E> {
                Ok(SecretBytes::new(text.into_bytes()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_the_bytes_nor_their_number() {
        let shown = format!("{:?}", SecretBytes::new(b"hunter2".to_vec()));
        assert_eq!(shown, "SecretBytes(redacted)");
    }

    #[test]
    fn a_json_string_is_read_with_its_escapes() {
        let value: SecretBytes = serde_json::from_str(r#""a\n\u20ac\"""#).unwrap();
        assert_eq!(value.expose(), "a\n€\"".as_bytes());
    }
}
