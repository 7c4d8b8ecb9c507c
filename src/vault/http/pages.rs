//! A listing, followed from page to page.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use url::Url;

use super::failure::{self, not_key_vault};
use super::transport::{Call, Transport};
use super::wire::{self, ListItem};
use crate::vault::{Page, Pages, VaultError};

/// The pages that hold something, from `first` on. Empty ones in between are normal: the service has
/// been seen to send 120 of them in a row.
pub(super) fn pages<T: ListItem>(transport: Arc<Transport>, first: Url) -> Pages<T> {
    stream::unfold((transport, Some(first)), |(transport, next)| async move {
        let mut at = next?;
        loop {
            match one_page(&transport, at).await {
                Ok((page, Some(next))) if page.is_empty() => at = next,
                Ok((page, None)) if page.is_empty() => return None,
                Ok((page, next)) => return Some((Ok(page), (transport, next))),
                Err(error) => return Some((Err(error), (transport, None))),
            }
        }
    })
    .boxed()
}

async fn one_page<T: ListItem>(transport: &Transport, url: Url) -> Result<(Page<T>, Option<Url>), VaultError> {
    let call = Call { method: Method::GET, url: url.clone(), body: None };
    let answer = failure::checked(transport.exchange(call).await?)?;
    let (items, link) = wire::page(&answer)?;
    let next = link.map(|link| following(transport, &url, &link)).transpose()?;
    Ok((items.into(), next))
}

/// Where the next page is: the link's path and query, at the place where this page was. The token
/// therefore cannot follow a link to another host, even if the check before it were wrong.
fn following(transport: &Transport, current: &Url, link: &str) -> Result<Url, VaultError> {
    let link = Url::parse(link).map_err(|_| not_key_vault("a nextLink that is no URL".to_owned()))?;
    if !transport.is_ours(&link) {
        return Err(not_key_vault("a nextLink to another host".to_owned()));
    }
    let mut next = current.clone();
    next.set_path(link.path());
    next.set_query(link.query());
    if next == *current {
        return Err(not_key_vault("a nextLink to the same page".to_owned()));
    }
    Ok(next)
}
