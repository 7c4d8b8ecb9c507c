//! Values that are not what they are stored as: the tag `file-encoding`, a convention of the Azure CLI's.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::FsError;
use crate::vault::{Secret, SecretBytes};

/// The tag that says how a file has become text.
pub(super) const TAG: &str = "file-encoding";
/// The longest value: the service speaks of characters, and is written where one is a UTF-16 unit.
pub(super) const UNITS_MAX: usize = 25_600;

type Tags = BTreeMap<String, String>;

/// How bytes are kept as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    /// As they are.
    Text,
    Base64,
    Hex,
}

impl Encoding {
    /// What the tags say. Text encodings of other names are the CLI's business with its own files: the
    /// value is text.
    pub(super) fn of(tags: Option<&Tags>) -> Encoding {
        match tags.and_then(|tags| tags.get(TAG)).map(String::as_str) {
            Some("base64") => Encoding::Base64,
            Some("hex") => Encoding::Hex,
            _ => Encoding::Text,
        }
    }

    /// The bytes behind a stored text; `None` if it is none of this encoding.
    fn decode(self, text: &[u8]) -> Option<SecretBytes> {
        let digits =
            || Zeroizing::new(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>());
        match self {
            Encoding::Text => None,
            Encoding::Base64 => STANDARD.decode(&*digits()).ok().map(SecretBytes::new),
            Encoding::Hex => from_hex(&digits()).map(SecretBytes::new),
        }
    }

    /// The text to store for bytes.
    ///
    /// # Errors
    /// Text that is no UTF-8, and more than a vault can hold.
    pub(super) fn encode(self, bytes: &[u8]) -> Result<SecretBytes, FsError> {
        let text = match self {
            Encoding::Text => {
                std::str::from_utf8(bytes).map_err(|_| FsError::NotText)?;
                bytes.to_vec()
            }
            Encoding::Base64 => STANDARD.encode(bytes).into_bytes(),
            Encoding::Hex => to_hex(bytes),
        };
        if units(&text) > UNITS_MAX { Err(too_large()) } else { Ok(SecretBytes::new(text)) }
    }
}

/// What a file shows of a secret: `None` for the stored text itself.
pub(super) fn decoded(secret: &Secret) -> Option<Arc<SecretBytes>> {
    let encoding = Encoding::of(secret.properties.tags.as_ref());
    encoding.decode(secret.value.expose()).map(Arc::new)
}

/// Number of bytes that a file shows of a secret.
pub(super) fn shown_len(secret: &Secret) -> u64 {
    decoded(secret).map_or(secret.value.len(), |bytes| bytes.len()) as u64
}

/// Why a file shows the stored text although the tag says otherwise.
pub(super) fn complaint(secret: &Secret) -> Option<String> {
    let encoding = Encoding::of(secret.properties.tags.as_ref());
    (encoding != Encoding::Text && encoding.decode(secret.value.expose()).is_none()).then(|| {
        let tag = secret.properties.tags.as_ref().and_then(|tags| tags.get(TAG)).map_or("", String::as_str);
        format!(
            "the tag {TAG} says {tag}, but the value is none: shown as it stands; write it again, or remove the tag"
        )
    })
}

/// UTF-16 units of a text, of which the last character may be cut in two.
pub(super) fn units(text: &[u8]) -> usize {
    let unit = |byte: &u8| match byte {
        0x80..=0xBF => 0,
        0xF0..=0xFF => 2,
        _ => 1,
    };
    text.iter().map(unit).sum()
}

pub(super) fn too_large() -> FsError {
    FsError::TooLarge("a secret holds at most 25,600 characters: keep it elsewhere, or split it".into())
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

fn to_hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(b'0', |digit| digit as u8);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(encoding: &str) -> Encoding {
        Encoding::of(Some(&[(TAG.to_owned(), encoding.to_owned())].into()))
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let all: Vec<u8> = (0..=255).collect();
        for encoding in [Encoding::Base64, Encoding::Hex] {
            let text = encoding.encode(&all).unwrap();
            assert_eq!(encoding.decode(text.expose()).unwrap().expose(), all);
        }
    }

    #[test]
    fn the_clis_line_breaks_are_no_obstacle_and_other_text_is() {
        assert_eq!(tagged("base64").decode(b"aGVs\nbG8=\n").unwrap().expose(), b"hello");
        assert_eq!(tagged("hex").decode(b"68656C6c6f").unwrap().expose(), b"hello");
        for (encoding, text) in [("base64", &b"*"[..]), ("hex", b"6"), ("hex", b"zz"), ("utf-8", b"aGVsbG8=")] {
            assert!(tagged(encoding).decode(text).is_none(), "{encoding}");
        }
    }

    #[test]
    fn the_limit_is_in_utf_16_units() {
        let text = Encoding::Text;
        for (longest, more) in [("a", "a"), ("€", "€")] {
            assert!(text.encode(longest.repeat(UNITS_MAX).as_bytes()).is_ok());
            let error = text.encode([longest.repeat(UNITS_MAX), more.to_owned()].concat().as_bytes()).unwrap_err();
            assert_eq!(error.errno(), libc::EFBIG);
        }
        assert_eq!(text.encode("🔑".repeat(12_801).as_bytes()).unwrap_err().errno(), libc::EFBIG);
        assert_eq!(text.encode(b"\xff").unwrap_err().errno(), libc::EILSEQ);
    }
}
