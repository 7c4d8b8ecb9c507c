//! Where the client reached us, by its Host header: what ids, next links and the challenge name.

/// Whether the connection is encrypted. Next links have to lead back over the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// The audience every vault of the public cloud shares.
pub(super) const PUBLIC_RESOURCE: &str = "https://vault.azure.net";

/// Scheme, host and port as the client wrote them.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    scheme: Scheme,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads a Host header; `None` where it is not `host` or `host:port`.
    pub(super) fn parse(scheme: Scheme, authority: &str) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (authority, None),
        };
        let port = port.filter(|&port| port != scheme.default_port());
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        let legal = !host.is_empty() && host.bytes().all(legal);
        legal.then(|| Origin { scheme, host: host.to_ascii_lowercase(), port })
    }

    fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The address an id starts with. Ids are https even where the socket is plain.
    pub(super) fn id_base(&self) -> String {
        format!("https://{}", self.authority())
    }

    /// The address a next link starts with: same scheme, port always written.
    pub(super) fn link_base(&self) -> String {
        let port = self.port.unwrap_or(self.scheme.default_port());
        format!("{}://{}:{port}", self.scheme.as_str(), self.host)
    }

    /// The resource a challenge advertises: the parent domain, so that clients which demand the
    /// vault's host to lie beneath the resource's are content; the public one where there is no
    /// parent.
    pub(super) fn resource(&self) -> String {
        let numeric = self.host.starts_with('[') || self.host.parse::<std::net::IpAddr>().is_ok();
        match self.host.split_once('.') {
            Some((_, parent)) if !numeric => match self.port {
                Some(port) => format!("https://{parent}:{port}"),
                None => format!("https://{parent}"),
            },
            _ => PUBLIC_RESOURCE.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_decides_ids_links_and_resource() {
        for (scheme, host, id, link, resource) in [
            (
                Scheme::Https,
                "x.vault.azure.net",
                "https://x.vault.azure.net",
                "https://x.vault.azure.net:443",
                "https://vault.azure.net",
            ),
            (
                Scheme::Https,
                "X.vault.azure.net:443",
                "https://x.vault.azure.net",
                "https://x.vault.azure.net:443",
                "https://vault.azure.net",
            ),
            (
                Scheme::Http,
                "demo.vault.localhost",
                "https://demo.vault.localhost",
                "http://demo.vault.localhost:80",
                "https://vault.localhost",
            ),
            (
                Scheme::Https,
                "x.localhost:8443",
                "https://x.localhost:8443",
                "https://x.localhost:8443",
                "https://localhost:8443",
            ),
            (
                Scheme::Https,
                "localhost:8443",
                "https://localhost:8443",
                "https://localhost:8443",
                "https://vault.azure.net",
            ),
            (
                Scheme::Https,
                "127.0.0.1:8443",
                "https://127.0.0.1:8443",
                "https://127.0.0.1:8443",
                "https://vault.azure.net",
            ),
            (Scheme::Https, "[::1]:8443", "https://[::1]:8443", "https://[::1]:8443", "https://vault.azure.net"),
            (Scheme::Https, "[::1]", "https://[::1]", "https://[::1]:443", "https://vault.azure.net"),
        ] {
            let origin = Origin::parse(scheme, host).unwrap();
            assert_eq!((origin.id_base(), origin.link_base()), (id.into(), link.into()));
            assert_eq!(origin.resource(), resource);
        }
    }

    #[test]
    fn hosts_that_would_break_a_link_are_refused() {
        for host in ["", ":443", "a b", "a/b", "a\"b", "a:port"] {
            assert!(Origin::parse(Scheme::Https, host).is_none(), "{host:?}");
        }
    }
}
