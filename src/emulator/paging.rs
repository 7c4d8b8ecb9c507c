//! Pages of lists: size, where the next one starts, and the `$skiptoken` that says so.
//! The token has the service's shape, an Azure Table continuation; clients treat it as opaque.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::errors::Refusal;

/// Default and largest page.
pub(super) const PAGE_SIZE: usize = 25;

/// Reads `maxresults`, 1–25.
pub(super) fn page_size(maxresults: &str) -> Result<usize, Refusal> {
    let size = maxresults.parse().ok().filter(|size| (1..=PAGE_SIZE).contains(size));
    size.ok_or_else(|| Refusal::bad_parameter(format!("maxresults must be between 1 and {PAGE_SIZE}.")))
}

/// Where a page starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The first row: an upper-cased name, for versions followed by `/` and the identifier.
    pub(super) row: String,
    /// Empty pages still to be shown first; `None` where nobody asked for any.
    pub(super) empty_pages: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "NextMarker")]
    next_marker: String,
    #[serde(rename = "TargetLocation")]
    target_location: u32,
    #[serde(rename = "EmptyPages", default, skip_serializing_if = "Option::is_none")]
    empty_pages: Option<u32>,
}

impl Cursor {
    /// The value of `$skiptoken`.
    pub(super) fn encode(&self) -> String {
        let row = format!("secret/{}", self.row);
        let marker = format!("{:06}!{row}!000028!9999-12-31T23:59:59.9999999Z!", row.len());
        let marker = STANDARD.encode(marker).replace('=', "-").replace('/', "_");
        let token = Token {
            next_marker: format!("2!{}!{marker}", marker.len()),
            target_location: 0,
            empty_pages: self.empty_pages,
        };
        // A struct of strings and numbers always has a JSON form.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a `$skiptoken`; anything not made by `encode` is refused.
    pub(super) fn decode(token: &str) -> Result<Self, Refusal> {
        Self::try_decode(token).ok_or_else(|| Refusal::invalid_value("$skiptoken"))
    }

    fn try_decode(token: &str) -> Option<Self> {
        let token: Token = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let marker = token.next_marker.splitn(3, '!').nth(2)?;
        let marker = STANDARD.decode(marker.replace('-', "=").replace('_', "/")).ok()?;
        let marker = String::from_utf8(marker).ok()?;
        let row = marker.split('!').nth(1)?.strip_prefix("secret/")?;
        Some(Cursor { row: row.to_owned(), empty_pages: token.empty_pages })
    }
}

/// One page: its rows, and the row the next one starts with.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    pub(super) next: Option<T>,
}

impl<T> Page<T> {
    pub(super) fn take(mut rows: impl Iterator<Item = T>, size: usize) -> Self {
        let page = rows.by_ref().take(size).collect();
        Page { rows: page, next: rows.next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_row() {
        for row in ["A", "A-NAME/EA4FCBAE4A9F4408A5C18A8F1C5EDDD6", &"N".repeat(127)] {
            for empty_pages in [None, Some(0), Some(120)] {
                let cursor = Cursor { row: row.to_owned(), empty_pages };
                assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
            }
        }
    }

    #[test]
    fn a_token_looks_as_recorded() {
        // The marker is an Azure Table continuation; lengths are those of the texts behind them.
        let token = Cursor { row: "MERGECERTIFICATENAME".into(), empty_pages: None }.encode();
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
        assert_eq!(
            json,
            "{\"NextMarker\":\"2!96!MDAwMDI3IXNlY3JldC9NRVJHRUNFUlRJRklDQVRFTkFNRSEwMDAwMjghOTk5OS0xMi0zMVQyMzo1OTo1OS45OTk5OTk5WiE-\",\"TargetLocation\":0}"
        );
    }

    #[test]
    fn foreign_tokens_and_sizes_are_refused() {
        for token in ["", "x", "e30", "eyJOZXh0TWFya2VyIjoiMiIsIlRhcmdldExvY2F0aW9uIjowfQ"] {
            assert!(Cursor::decode(token).is_err(), "{token}");
        }
        for size in ["0", "26", "-1", "x", ""] {
            assert!(page_size(size).is_err(), "{size}");
        }
        assert_eq!(page_size("25"), Ok(25));
    }
}
