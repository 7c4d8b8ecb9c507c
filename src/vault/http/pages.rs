//! A listing, followed from page to page.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use url::Url;

use super::failure::{self, not_key_vault};
use super::operation::Operation;
use super::pipeline::Pipeline;
use super::transport::{Call, Transport};
use super::wire::{self, ListItem};
use crate::vault::{Page, Pages, VaultError};

/// The service has been seen to send 120 empty pages in a row; ten times that is a loop.
const EMPTY_IN_A_ROW: u32 = 1_200;
/// 2.5 million secrets: more would not fit into memory anyhow.
const PAGES: u32 = 100_000;
/// From one page with something in it to the next, tries and waits for the vault's limits included.
const BETWEEN_PAGES: Duration = Duration::from_secs(300);

/// A listing under way.
struct Listing {
    pipeline: Arc<Pipeline>,
    pages: u32,
    skipped: bool,
}

/// The pages that hold something, from `first` on. Empty ones in between are normal.
///
/// A listing that goes on for more than 1,200 empty pages in a row, 100,000 pages, or five minutes
/// without a page, ends with an error: that is no answer of Key Vault's.
pub(super) fn pages<T: ListItem>(pipeline: Arc<Pipeline>, first: Url) -> Pages<T> {
    let listing = Listing { pipeline, pages: 0, skipped: false };
    stream::unfold((listing, Some(first)), |(mut listing, next)| async move {
        let at = next?;
        let limit = Instant::now() + BETWEEN_PAGES;
        let page = timeout_at(limit, listing.next_full(at)).await;
        let page = page.unwrap_or_else(|_| Err(not_key_vault("a listing that does not get on".to_owned())));
        match page {
            Ok((page, None)) if page.is_empty() => None,
            Ok((page, next)) => Some((Ok(page), (listing, next))),
            Err(error) => Some((Err(error), (listing, None))),
        }
    })
    .boxed()
}

impl Listing {
    /// The next page with something in it, or the last one, and where it goes on.
    async fn next_full<T: ListItem>(&mut self, mut at: Url) -> Result<(Page<T>, Option<Url>), VaultError> {
        for _ in 0..=EMPTY_IN_A_ROW {
            self.pages += 1;
            if self.pages > PAGES {
                return Err(not_key_vault(format!("a listing of more than {PAGES} pages")));
            }
            match self.page(at).await? {
                (page, Some(next)) if page.is_empty() => at = next,
                page => return Ok(page),
            }
        }
        Err(not_key_vault(format!("more than {EMPTY_IN_A_ROW} empty pages in a row")))
    }

    async fn page<T: ListItem>(&mut self, url: Url) -> Result<(Page<T>, Option<Url>), VaultError> {
        let call = Call { operation: Operation::List, method: Method::GET, url, body: None };
        let answer = failure::checked(self.pipeline.exchange(&call).await?)?;
        let page = wire::page::<T>(&answer)?;
        if page.skipped > 0 && !std::mem::replace(&mut self.skipped, true) {
            warn!(entries = page.skipped, "left out of a listing: entries that are not as Key Vault writes them");
        }
        let next = page.next_link.map(|link| following(self.pipeline.transport(), &call.url, &link)).transpose()?;
        Ok((page.items.into(), next))
    }
}

/// Where the next page is: the link's path and query, at the place where this page was. The token
/// therefore cannot follow a link to another host, even if the check before it were wrong.
pub(super) fn following(transport: &Transport, current: &Url, link: &str) -> Result<Url, VaultError> {
    // The url crate takes a backslash for a slash, which other parsers of the same text do not.
    let link = Url::parse(link).ok().filter(|_| !link.contains('\\'));
    let link = link.ok_or_else(|| not_key_vault("a nextLink that is no URL".to_owned()))?;
    if !transport.is_ours(&link) {
        return Err(not_key_vault("a nextLink to another host".to_owned()));
    }
    let mut next = current.clone();
    next.set_path(link.path());
    next.set_query(link.query());
    transport.stamp(&mut next);
    if next == *current {
        return Err(not_key_vault("a nextLink to the same page".to_owned()));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::super::HttpSettings;
    use super::*;

    fn next(base: &str, link: &str) -> Result<String, VaultError> {
        let base = Url::parse(base).unwrap();
        let transport = Transport::new(&HttpSettings::of(base)).unwrap();
        following(&transport, &transport.route(&["secrets"]), link).map(|url| url.to_string())
    }

    #[test]
    fn a_link_leads_on_within_the_vault_and_nowhere_else() {
        let vault = "https://mine.vault.azure.net";
        let token = "$skiptoken=eyJOZXh0TWFya2VyIjoiMiJ9&maxresults=2";
        let expected = "https://mine.vault.azure.net/secrets?api-version=2025-07-01&%24skiptoken=eyJOZXh0TWFya2VyIjoiMiJ9&maxresults=2";
        for link in [
            format!("https://mine.vault.azure.net:443/secrets?api-version=7.0&{token}"),
            format!("https://MINE.vault.azure.net/secrets?{token}"),
        ] {
            assert_eq!(next(vault, &link).unwrap(), expected, "{link}");
        }
        assert!(next("https://[::1]:8443", "https://[::1]:8443/secrets?$skiptoken=a").is_ok());
        for link in [
            "https://mine.vault.azure.net.evil/secrets?$skiptoken=a",
            "https://evilmine.vault.azure.net/secrets?$skiptoken=a",
            "https://mine.vault.azure.net:8443/secrets?$skiptoken=a",
            "https://evil.example\\@mine.vault.azure.net/secrets?$skiptoken=a",
            "https://user@mine.vault.azure.net/secrets?$skiptoken=a",
            "ftp://mine.vault.azure.net/secrets?$skiptoken=a",
            "//mine.vault.azure.net/secrets?$skiptoken=a",
            "/secrets?$skiptoken=a",
            "https://mine.vault.azure.net/secrets",
            "",
        ] {
            assert!(next(vault, link).is_err(), "{link}");
        }
    }
}
