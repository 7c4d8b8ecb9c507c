//! PFX turned into PEM, as vaults do for `outContentType`: the key, its certificate, and then the chain.
//! Without the cargo feature `pfx` it is refused.

use zeroize::Zeroizing;

use super::errors::Refusal;

#[cfg(not(feature = "pfx"))]
pub(super) fn of_pfx(_: &str) -> Result<Zeroizing<String>, Refusal> {
    Err(Refusal::built_without_pfx())
}

/// The PEM of a certificate's secret: standard base64 of a PFX without a password.
#[cfg(feature = "pfx")]
pub(super) fn of_pfx(value: &str) -> Result<Zeroizing<String>, Refusal> {
    archive::read(value).map(|archive| archive::pem(&archive)).ok_or_else(Refusal::unreadable_pfx)
}

#[cfg(feature = "pfx")]
mod archive {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use p12_keystore::{CertificateBag, Pkcs12Archive};
    use pem::{EncodeConfig, LineEnding, Pem};
    use zeroize::Zeroizing;

    pub(super) fn read(value: &str) -> Option<Pkcs12Archive> {
        let bytes = Zeroizing::new(STANDARD.decode(value).ok()?);
        Pkcs12Archive::from_pkcs12(&bytes, "").ok()
    }

    pub(super) fn pem(archive: &Pkcs12Archive) -> Zeroizing<String> {
        let keys = archive.keys.iter().map(|bag| block("PRIVATE KEY", bag.key.as_der()));
        let certificates = leaf_first(archive).into_iter().map(|bag| block("CERTIFICATE", bag.cert.as_der()));
        Zeroizing::new(keys.chain(certificates).collect())
    }

    fn block(label: &str, der: &[u8]) -> String {
        pem::encode_config(&Pem::new(label, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
    }

    /// From the key's certificate up by issuers; what is not in that chain stands at the end.
    fn leaf_first(archive: &Pkcs12Archive) -> Vec<&CertificateBag> {
        let key = archive.keys.first().and_then(|key| key.local_key_id.as_ref());
        let is_leaf = |bag: &CertificateBag| match (key, &bag.local_key_id) {
            (Some(key), Some(id)) => key.as_ref() == id.as_slice(),
            _ => false,
        };
        let mut rest: Vec<_> = archive.certs.iter().collect();
        let mut ordered: Vec<&CertificateBag> = Vec::new();
        let mut next = rest.iter().position(|bag| is_leaf(bag));
        while let Some(at) = next {
            let found = rest.remove(at);
            ordered.push(found);
            next = rest.iter().position(|bag| bag.cert.subject() == found.cert.issuer());
        }
        ordered.extend(rest);
        ordered
    }
}
